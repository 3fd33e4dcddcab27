"""`airgap prune`: lets old bundles go, and frees what no kept one needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airgap.bundle.contents import Contents
from airgap.errors import HostError, translate_os_errors
from airgap.isolated.state import receipts
from airgap.isolated.state.layout import State
from airgap.isolated.state.receipts import Receipt, ReceiptLog
from airgap.progress import Progress
from airgap.store.bundle_set import BundleSet
from airgap.store.prune import Garbage, find_garbage, prune


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What pruning does.

    Attributes:
        dropped: Receipts of the bundles that are let go.
        images: Names of the images that are there no more.
        mirror: What goes from the mirror's storage.
        replay: What goes from that of the recordings.
    """

    dropped: Sequence[Receipt]
    images: Sequence[str]
    mirror: Garbage
    replay: Garbage

    @property
    def size(self) -> int:
        """What is freed, in bytes."""
        return self.mirror.size + self.replay.size


def plan_prune(state: State, keep: int) -> PrunePlan:
    """Return what would go if of each name the last `keep` bundles are kept.

    A bundle that the installation still uses is kept too. The last one loses nothing
    if its install did not end; one that another was installed after is given up.

    Raises:
        HostError: Nothing is installed, or a storage cannot be read.
        NotFoundError: A manifest that is needed is missing, so that nobody knows what it needs.
        IntegrityError: A manifest that is needed was damaged, so that nobody knows what it needs.
        TrustError: The receipts are broken.
    """
    log = ReceiptLog.read(state)
    active = log.active(unfinished=True)
    bundles = log.installed(unfinished=True)
    if not bundles:
        # With nothing to keep all would go.
        raise HostError(f"no receipt says what is installed here ({state.root})")
    installed = log.installed()
    unfinished = bundles[-1:] if log.unfinished() else []
    gone = [item for item in _to_drop(installed, keep) if item not in unfinished]
    kept = [bundle for bundle in bundles if bundle not in gone]
    before, after = BundleSet.of(bundles), BundleSet.of(kept)
    whole = [image for item in kept if item in installed for image in item.images]
    replay = [blob.digest for item in kept for blob in item.replay]
    with translate_os_errors("prune"):
        return PrunePlan(
            [receipt for receipt, item in zip(active, bundles, strict=True) if item in gone],
            sorted(image.name for name, image in before.images.items() if name not in after.images),
            find_garbage(
                state.mirror,
                whole,
                [image for item in unfinished for image in item.images],
                [blob.digest for item in unfinished for blob in item.blobs],
            ),
            find_garbage(state.replay, [], blobs=replay),
        )


def carry_out(state: State, plan: PrunePlan, progress: Progress) -> None:
    """Do it. The receipts come first: after a kill the same command continues.

    Raises:
        HostError: A storage cannot be changed.
    """
    for receipt in plan.dropped:
        receipts.retract(state, "dropped", receipt)
    with translate_os_errors("prune"):
        prune(state.mirror, plan.mirror, progress)
        prune(state.replay, plan.replay, progress)


def _to_drop(bundles: Sequence[Contents], keep: int) -> list[Contents]:
    """Return those bundles, in the order of their install, that are not kept."""
    last = {role: bundle for bundle in bundles for image in bundle.images for role in image.roles}
    return [
        bundle
        for number, bundle in enumerate(bundles)
        if sum(later.name == bundle.name for later in bundles[number:]) > keep
        and not any(bundle is provider for provider in last.values())
    ]
