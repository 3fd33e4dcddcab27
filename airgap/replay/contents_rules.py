"""Whether a bundle can be used: every rule that its contents must keep, whoever reads it.

`install` and `verify` apply them to what comes from a medium, and `bundle` to what it is about to
sign: what could not be installed is never signed.
"""

from __future__ import annotations

from collections.abc import Mapping

from airgap.bundle.archive import Archive
from airgap.bundle.contents import README_NAME, TOOL_NAME, Contents, broken, parse_contents
from airgap.bundle.media import Media
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.verify import read_file
from airgap.limits import LIMITS
from airgap.oci.manifest import Index, Manifest
from airgap.replay.recording_store import check_maps
from airgap.store.tags import check_tag_collisions

Documents = Mapping[str, Manifest | Index]


def check_contents(contents: Contents) -> None:
    """Check what `bundle.json` says, by the reader and by the rules of the mirror.

    Raises:
        IntegrityError: It breaks a rule of the format.
    """
    if parse_contents(contents.to_bytes()) != contents:
        raise broken("it reads as something else than was written")
    check_tag_collisions(contents.images)


def check_bundle(
    media: Media, contents: Contents, archive: Archive, replay: ReplayTar
) -> Documents:
    """Check a whole bundle but for its blobs, which are hashed when they are written.

    Args:
        media: Where it is.
        contents: Its contents, which are trusted.
        archive: Its images.
        replay: Its recordings.

    Returns:
        Digest to manifest or index, of all that it carries.

    Raises:
        IntegrityError: Something is damaged, or breaks a rule of the format.
        HostError: The medium cannot be read.
    """
    check_contents(contents)
    read_file(media, contents, README_NAME, LIMITS.response_bytes)
    read_file(media, contents, TOOL_NAME, LIMITS.tool_bytes)
    documents = archive.manifests()
    archive.check_framing(documents)
    replay.check_framing()
    check_maps(replay)
    return documents
