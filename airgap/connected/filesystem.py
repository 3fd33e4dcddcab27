"""What the file system of the bundle's folder can do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from airgap.bundle.contents import TOOL_NAME
from airgap.bundle.volumes import Volume
from airgap.disk import check_writable, nearest_existing
from airgap.errors import HostError, SpaceError, cannot_write
from airgap.limits import GIB, MIB
from airgap.progress import format_bytes

# The tool, the README and file system overhead beside the tar.
_SPARE_BYTES = 64 * MIB
# They know no holes: a byte written far behind the end has zeros written before it.
_WITHOUT_HOLES = ("vfat", "msdos", "exfat")
_FAT32 = ("vfat", "msdos")
_FAT32_FILE_BYTES = 4 * GIB - 1
_MOUNTS = Path("/proc/self/mountinfo")


def has_holes(folder: Path) -> bool:
    """Return whether a file can be written in any order without zeros being written in between."""
    return kind_of(folder) not in _WITHOUT_HOLES


def check_room(folder: Path, volumes: Sequence[Volume]) -> None:
    """Refuse to begin what cannot end.

    Args:
        folder: Where the bundle goes; it may be absent still.
        volumes: What is to be written.

    Raises:
        SpaceError: The disk is too small.
        HostError: It cannot hold files of that size.
    """
    largest = max(volume.size for volume in volumes)
    if largest > _FAT32_FILE_BYTES and kind_of(folder) in _FAT32:
        raise HostError(
            f"{folder} is on FAT32, which holds files of up to 4 GiB, and {volumes[0].name} "
            f"would have {format_bytes(largest)}",
            meaning="Nothing of it was written.",
            remedy="cut it: --volume-size 4GiB; or format the drive with ext4 or exFAT",
        )
    check_output(folder)
    needed = sum(volume.size for volume in volumes) - _present(folder, volumes) + _SPARE_BYTES
    free = shutil.disk_usage(nearest_existing(folder)).free
    if needed > free:
        raise SpaceError(
            f"{folder} has {format_bytes(free)} free, and {format_bytes(needed)} are needed",
            meaning="Nothing of it was written.",
            remedy="make room, or give another folder with -o",
        )


def check_output(folder: Path) -> None:
    """Make sure that files can be written to a folder, or that it can be made.

    Raises:
        HostError: They cannot.
    """
    try:
        check_writable(folder)
    except OSError as error:
        remedy = "choose another folder with -o"
        raise cannot_write(folder, error, kept="Nothing was fetched.", remedy=remedy) from error


def kind_of(folder: Path) -> str:
    """Return the kind of file system that a folder is on, such as `ext4`; empty if unknown.

    Source: `/proc/self/mountinfo`, proc(5).
    """
    device = os.stat(nearest_existing(folder)).st_dev  # noqa: PTH116 - its number
    number = b"%d:%d" % (os.major(device), os.minor(device))
    try:
        # Bytes: a mount point may have any name, in any encoding.
        lines = _MOUNTS.read_bytes().split(b"\n")
    except OSError:
        return ""
    for line in lines:
        mount, _, described = line.partition(b" - ")
        if described and mount.split()[2] == number:
            return described.split()[0].decode()
    return ""


def _present(folder: Path, volumes: Sequence[Volume]) -> int:
    """Return bytes that an interrupted run has taken of the disk."""
    paths = [folder / TOOL_NAME, *(folder / volume.name for volume in volumes)]
    found = [path.lstat() for path in paths if path.is_file() and not path.is_symlink()]
    return sum(item.st_blocks * 512 for item in found)
