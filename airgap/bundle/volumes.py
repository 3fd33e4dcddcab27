"""Volumes: the files that joined are a tar, cut at any byte."""

from __future__ import annotations

from dataclasses import dataclass

from airgap.bundle.contents import IMAGES_TAR
from airgap.errors import UsageError
from airgap.limits import LIMITS


@dataclass(frozen=True, slots=True)
class Volume:
    """One file of a tar.

    Attributes:
        name: As `images.tar`, or `images.tar.000` and so on.
        start: Which byte of the tar is its first.
        size: Bytes.
    """

    name: str
    start: int
    size: int


def cut(tar_bytes: int, volume_bytes: int = 0, tar: str = IMAGES_TAR) -> tuple[Volume, ...]:
    """Return the volumes of a tar.

    Args:
        tar_bytes: Size of the tar.
        volume_bytes: The most that a volume may have; 0 for one of any size.
        tar: Its name.

    Raises:
        UsageError: That would be too many.
    """
    if not volume_bytes or tar_bytes <= volume_bytes:
        return (Volume(tar, 0, tar_bytes),)
    starts = range(0, tar_bytes, volume_bytes)
    if len(starts) > LIMITS.volumes:
        raise UsageError(
            f"{tar} would have {len(starts)} volumes, and {LIMITS.volumes} are the most",
            remedy="choose a larger --volume-size",
        )
    return tuple(
        Volume(f"{tar}.{number:03}", start, min(volume_bytes, tar_bytes - start))
        for number, start in enumerate(starts)
    )
