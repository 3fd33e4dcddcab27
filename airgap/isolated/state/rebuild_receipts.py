"""A new install log, where the old one is broken or gone.

It is made from the kept files of each bundle, whose signature is checked once more. When and by
whom they were installed is lost, and where nothing in storage tells, what was rolled back.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

from airgap.bundle.contents import Contents
from airgap.bundle.media import Media
from airgap.bundle.verify import VerifiedBundle, read_signed
from airgap.errors import AirgapError, TrustError
from airgap.isolated.state import receipts
from airgap.isolated.state.layout import State
from airgap.isolated.state.receipts import ReceiptLog
from airgap.store import layout
from airgap.store.tags import tags_of
from airgap.trust.keys import PublicKey


def read_log(state: State) -> ReceiptLog:
    """Return the receipts, which are there if anything was installed.

    Raises:
        TrustError: They are broken or gone.
    """
    log = ReceiptLog.read(state)
    if receipts.are_gone(state):
        raise TrustError(
            "bundles were installed here, but the install log is gone",
            meaning="airgap cannot tell what this host should be.",
            remedy="make a new log from the bundles that are kept: airgap doctor --fix",
        )
    return log


def renew_log(state: State, keys: Sequence[PublicKey]) -> list[str]:
    """Put the old log aside and begin a new one.

    Args:
        state: Where.
        keys: The trusted keys.

    Returns:
        `NAME-SERIAL` of the bundles that make up this host by it, in the order of their making.

    Raises:
        TrustError: What is kept of a bundle cannot be believed: without it nobody knows any more
            that it was here, and an older one could come back unseen.
    """
    kept = _kept(state, keys)
    active = _active(state, [signed.contents for signed in kept])
    # Whole before it takes the place of the old one: what a kill leaves is noticed.
    draft = State(state.root)
    draft.receipts = state.root / "receipts.new"
    if draft.receipts.exists():
        shutil.rmtree(draft.receipts)
    for signed in kept:
        receipts.write_receipt(draft, "begun", signed, "signature kept here")
        if signed.contents in active:
            receipts.write_receipt(draft, "installed", signed, "signature kept here")
        else:
            receipts.retract(draft, "dropped", ReceiptLog.read(draft).receipts[-1])
    receipts.quarantine(state)
    draft.receipts.rename(state.receipts)
    return [contents.identity for contents in active]


def is_whole(state: State, contents: Contents) -> bool:
    """Return whether all that a bundle includes is in storage."""
    stores = [(state.mirror, contents.blobs), (state.replay, contents.replay)]
    return all(store.has_blob(blob.digest, blob.size) for store, blobs in stores for blob in blobs)


def _kept(state: State, keys: Sequence[PublicKey]) -> list[VerifiedBundle]:
    """Return the bundles that are kept, in the order of their making."""
    kept = []
    for folder in sorted(state.bundles.glob("*")):
        try:
            signed = read_signed(Media([folder]), keys)
            if signed.contents.identity != folder.name:
                raise TrustError(f"it is {signed.contents.identity}")
        except AirgapError as error:
            raise TrustError(
                f"what is kept of a bundle in {folder} cannot be believed: {error.message}",
                meaning="A new log cannot be made from it; the old log does not change.",
                remedy="to begin with an empty log: airgap install DIR --allow-older",
            ) from error
        kept.append(signed)
    if not kept:
        raise TrustError(
            f"nothing is kept of any bundle in {state.bundles}",
            remedy="to begin with an empty log: airgap install DIR --allow-older",
        )
    return sorted(kept, key=lambda signed: (signed.contents.created, signed.contents.serial))


def _active(state: State, kept: Sequence[Contents]) -> list[Contents]:
    """Return bundles that are linked, so not pruned, and whose tags are set, so not rolled back."""
    active: list[Contents] = []
    for contents in reversed(kept):
        later = {tag for item in active for tag in tags_of(item.images)}
        own = {tag: item for tag, item in tags_of(contents.images).items() if tag not in later}
        if not _is_pruned(state, contents) and not _is_rolled_back(state, own, kept):
            active.insert(0, contents)
    return active


def _is_rolled_back(state: State, own: Mapping[str, str], kept: Sequence[Contents]) -> bool:
    """Return whether every tag that bundles differ about is as another bundle has it."""
    others = [
        (tag, digest)
        for contents in kept
        for tag, digest in tags_of(contents.images).items()
        if digest != own.get(tag, digest)
    ]
    if any(state.mirror.tag(tag) == own[tag] for tag, _ in others):
        return False
    return any(state.mirror.tag(tag) == digest for tag, digest in others)


def _is_pruned(state: State, contents: Contents) -> bool:
    """Return whether links are gone: prune removes them first, and a blob alone may be lost."""
    maps = [layout.blob_data(recording.digest) for recording in contents.recordings]
    return not (
        all(state.mirror.is_linked(image) for image in contents.images)
        and all((state.replay.root / path).exists() for path in maps)
    )
