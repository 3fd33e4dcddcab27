"""`airgap install DIR --repair`: what this disk has damaged or lost, from the medium again."""

from __future__ import annotations

from collections.abc import Sequence

from airgap.bundle.contents import Contents
from airgap.bundle.tar_reader import TarReader
from airgap.errors import translate_os_errors
from airgap.isolated.commands.apply import Outcome
from airgap.isolated.context import Context, OpenBundle
from airgap.isolated.steps.seed import bring
from airgap.store.check import damaged_blobs
from airgap.store.seed import missing_blobs, seed_replay
from airgap.store.store import Store


def repair(context: Context, bundle: OpenBundle, active: Sequence[Contents]) -> Outcome:
    """Hash every blob in storage, and write those again that the bundle has.

    A damaged one stays until a good one takes its place: its bundle may be another one.

    Args:
        context: The context.
        bundle: What is on the medium.
        active: The bundles that make up this host. Of one of them all is restored that is
            missing, also what only a rollback would need.

    Raises:
        IntegrityError: The bundle is damaged too.
        HostError: The medium cannot be read, or the storage not written.
        SpaceError: The disk is full; what was written stays.
    """
    mirror, replay = context.state.mirror, context.state.replay
    stores = [(mirror, bundle.archive), (replay, bundle.replay)]
    restored = left = 0
    with translate_os_errors("repair"):
        for store, tar in stores:
            again, others = _damaged(context, store, tar)
            for digest in again:
                blob = tar.blobs[digest]
                store.write_blob(digest, tar.chunks(blob.offset, blob.size), tar.damaged(blob))
                context.progress.message(f"damaged, and restored: {digest}")
            for digest in others:
                context.progress.message(f"damaged, and {_who_has(digest, active)}: {digest}")
            restored, left = restored + len(again), left + len(others)
        if bundle.signed.contents in active:
            before = sum(len(missing_blobs(store, tar)) for store, tar in stores)
            bring(context, bundle)
            seed_replay(replay, bundle.replay, context.progress)
            restored += before - sum(len(missing_blobs(store, tar)) for store, tar in stores)
    rest = f", {left} damaged ones are not in this bundle" if left else ""
    return Outcome("repair", restored > 0, f"{restored} blobs restored{rest}")


def _damaged(context: Context, store: Store, tar: TarReader) -> tuple[list[str], list[str]]:
    """Return digests of damaged blobs: those that a tar has, and the others."""
    digests = [f"sha256:{path.parent.name}" for path in damaged_blobs(store, context.progress)]
    here = [digest for digest in digests if digest in tar.blobs]
    return here, [digest for digest in digests if digest not in tar.blobs]


def _who_has(digest: str, active: Sequence[Contents]) -> str:
    """Return which bundle has it."""
    names = [
        item.identity
        for item in active
        if any(blob.digest == digest for blob in (*item.blobs, *item.replay))
    ]
    return f"in the bundle {names[-1]}" if names else "in no bundle of this host"
