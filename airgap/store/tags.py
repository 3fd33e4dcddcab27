"""Which tags a bundle sets: what a name means in the mirror, and in a registry that holds it.

Rules of age compare these tags and not names, for different names can lead to one tag:

    docker.io/library/alpine:3.20    sets docker.io/library/alpine:3.20 and library/alpine:3.20
    DOCKER.IO/library/alpine:3.20    sets docker.io/library/alpine:3.20
    alpine:3.20@sha256:...           sets none: it is found by its digest alone
"""

from __future__ import annotations

from collections.abc import Iterable

from airgap.bundle.contents import ImageEntry, broken
from airgap.store.layout import mirror_tags


def tags_of(images: Iterable[ImageEntry]) -> dict[str, str]:
    """Return the tags that images set, `REPOSITORY:TAG` to digest; of two, the later one."""
    return {tag: image.digest for image in images for tag in mirror_tags(image.reference)}


def colliding(images: Iterable[ImageEntry]) -> tuple[str, ImageEntry, ImageEntry] | None:
    """Return the first tag with two digests, and both images; None if there is none."""
    first: dict[str, ImageEntry] = {}
    for image in images:
        for tag in mirror_tags(image.reference):
            second = first.setdefault(tag, image)
            if second.digest != image.digest:
                return tag, second, image
    return None


def check_tag_collisions(images: Iterable[ImageEntry]) -> None:
    """Refuse the images of a bundle of which two would have one tag.

    Raises:
        IntegrityError: Two have one tag, and different digests.
    """
    if found := colliding(images):
        tag, first, second = found
        raise broken(f"{first.name} and {second.name} would both be {tag} in the mirror")
