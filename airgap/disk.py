"""What both sides ask of a disk."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from airgap.errors import UsageError

# How a file system says that it has no modes, or does not sync a folder.
_CANNOT = (errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
_OTHERS = 0o077


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(one for one in (folder, *folder.parents) if one.exists())


def read_given(path: Path, limit: int, what: str = "") -> bytes:
    """All bytes of a file that somebody named.

    Args:
        path: The file.
        limit: How many bytes it may have.
        what: What it should be, for the message: `the spec `.

    Raises:
        UsageError: It cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"cannot read {what}{path}: {error.strerror}") from error
    if len(data) > limit:
        raise UsageError(f"{path} is larger than {limit} bytes")
    return data


def write_whole(path: Path, data: bytes, mode: int = 0o644, *, folder: int | None = None) -> None:
    """Writes a file so that it is there, for good, whole or not at all.

    Args:
        path: The file; a name alone where `folder` is given.
        data: All its bytes.
        mode: Its mode, where the file system has modes.
        folder: The descriptor of the folder that it is in; None for where `path` says.

    Raises:
        OSError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    # Never through a link, which whoever made the medium may have put there; and open for us
    # alone until it is complete.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            _set_mode(file.fileno(), mode)
            sync_open(file.fileno())
        os.replace(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise
    if folder is None:
        sync(path.parent)
    else:
        sync_open(folder)


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, last, where its file system can."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync_open(descriptor)
    finally:
        os.close(descriptor)


def sync_open(descriptor: int) -> None:
    """Does what `sync` does for a file or a folder that is open."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise


def _set_mode(descriptor: int, mode: int) -> None:
    """Sets the mode of a new file, where that means something.

    A file system without modes (FAT, exFAT, a share) refuses it, and gives all files one mode.

    Raises:
        OSError: The file is to be private, and others can read it there.
    """
    known = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if known == mode:
        return
    try:
        os.fchmod(descriptor, mode)
    except OSError as error:
        if error.errno not in _CANNOT or (known & _OTHERS and not mode & _OTHERS):
            raise
