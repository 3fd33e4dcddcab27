"""A new record of what was installed here, where the old one is broken or gone.

It is made of what is kept of each bundle, whose signature is checked once more. When and by whom
they were installed is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airgap.bundle.contents import Contents, ImageEntry
from airgap.bundle.media import Media
from airgap.bundle.verify import Signed, read_signed
from airgap.errors import AirgapError, TrustError
from airgap.isolated import receipts
from airgap.isolated.state import State
from airgap.store.check import problem_with
from airgap.trust.keys import PublicKey


def check_record(state: State) -> None:
    """The receipts are whole, and there where anything was installed.

    Raises:
        TrustError: They are not.
    """
    record = receipts.read_receipts(state)
    receipts.history(state, record)
    if not record and state.mirror.has_content():
        raise TrustError(
            "the mirror holds images, but the receipts of what brought them are gone",
            meaning="It cannot be told what this host should be.",
            remedy="make a new record of the bundles that are kept: airgap doctor --fix",
        )


def renew_record(
    state: State, keys: Sequence[PublicKey], say: Callable[[str], object]
) -> list[str]:
    """Puts the old record aside and begins a new one.

    Args:
        state: Where.
        keys: The trusted keys.
        say: Is told which bundles are left out, and why.

    Returns:
        `NAME-SERIAL` of the bundles that make up this host by it, in the order of their making.

    Raises:
        TrustError: No bundle is kept that a trusted key has signed.
    """
    kept = _kept(state, keys, say)
    if not kept:
        raise TrustError(
            f"{state.bundles} has no bundle that a trusted key has signed",
            remedy="airgap install DIR --allow-older",
        )
    standing = _standing(state, [signed.contents for signed in kept])
    receipts.set_aside(state)
    for signed in kept:
        receipts.write_receipt(state, "begun", signed)
        if signed.contents in standing:
            receipts.write_receipt(state, "installed", signed)
        else:
            begun = receipts.read_receipts(state)[-1]
            receipts.take_out(state, "dropped", begun)
    return [contents.identity for contents in standing]


def is_whole(state: State, contents: Contents) -> bool:
    """Whether all that a bundle brings is in storage."""
    replay = all(state.replay.has_blob(blob.digest, blob.size) for blob in contents.replay)
    if not state.settings().registry_mirror:
        return replay and all(
            state.mirror.has_blob(blob.digest, blob.size) for blob in contents.blobs
        )
    try:  # layers are in the registry
        return replay and not any(
            problem_with(state.mirror, image, whole=False) for image in contents.images
        )
    except AirgapError:
        return False


def _kept(state: State, keys: Sequence[PublicKey], say: Callable[[str], object]) -> list[Signed]:
    """The bundles that are kept, in the order of their making."""
    kept = []
    for folder in sorted(state.bundles.glob("*")):
        try:
            signed = read_signed(Media([folder]), keys)
        except AirgapError as error:
            say(f"left out: {folder.name}: {error.message}")
            continue
        if signed.contents.identity == folder.name:
            kept.append(signed)
        else:
            say(f"left out: {folder.name}: it is {signed.contents.identity}")
    return sorted(kept, key=lambda signed: (signed.contents.created, signed.contents.serial))


def _standing(state: State, kept: Sequence[Contents]) -> list[Contents]:
    """Those that count: not rolled back, as their tags mean what they say, and not pruned."""
    standing: list[Contents] = []
    later: set[str] = set()

    def is_tagged(image: ImageEntry) -> bool:
        return image.name in later or state.mirror.is_tagged(image)

    tags_are_here = not state.settings().registry_mirror
    for contents in reversed(kept):
        if not is_whole(state, contents):
            continue
        if tags_are_here and not all(is_tagged(image) for image in contents.images):
            continue
        standing.insert(0, contents)
        later |= {image.name for image in contents.images}
    return standing
