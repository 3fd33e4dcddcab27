"""The one way to write to a bundle's folder: below it, nothing is reached through a link.

Whoever made the medium may have put links, devices or pipes where the files of a bundle belong.
The folder itself may be reached through a link: the user named it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from airgap.disk import write_atomic

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe is not waited for.
_FILE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def open_folder(output: Path, name: str = "", mode: int = 0o755) -> Iterator[int]:
    """Open a folder below a bundle's folder, and create it if it does not exist.

    Args:
        output: The bundle's folder.
        name: The folder, relative to `output`; empty for `output` itself, which must exist.
        mode: Of folders that are made.

    Yields:
        Its descriptor.

    Raises:
        OSError: It cannot be opened, or a part of `name` is not a folder.
    """
    opened = os.open(output, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in PurePosixPath(name).parts:
            with suppress(FileExistsError):
                os.mkdir(part, mode, dir_fd=opened)
            inner = _open_part(part, opened)
            os.close(opened)
            opened = inner
        yield opened
    finally:
        os.close(opened)


def open_file(output: Path, name: str) -> int:
    """Open a file below a bundle's folder for reading and writing, and make it if it is absent.

    Args:
        output: The bundle's folder.
        name: The file, relative to `output`.

    Returns:
        Its descriptor, which the caller closes.

    Raises:
        OSError: It cannot be opened, or it is not a regular file of ours with one name.
    """
    parent, _, last = name.rpartition("/")
    with open_folder(output, parent) as folder:
        try:
            descriptor = os.open(last, _FILE | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
        except FileExistsError:
            return _open_present(last, folder)
        return descriptor


def write_file(output: Path, name: str, data: bytes) -> None:
    """Write a file below a bundle's folder, whole or not at all; see `write_atomic`.

    Raises:
        OSError: It cannot be written.
    """
    parent, _, last = name.rpartition("/")
    with open_folder(output, parent) as folder:
        write_atomic(Path(last), data, folder=folder)


def _open_part(name: str, folder: int) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(errno.ENOTDIR, f"{name} is a link, or no folder") from error
        raise


def _open_present(name: str, folder: int) -> int:
    """Open a file that an earlier run made. Anything else is not even opened: it may be a device.

    Raises:
        OSError: It is something else.
    """
    _check_ours(os.stat(name, dir_fd=folder, follow_symlinks=False), name, folder)
    descriptor = os.open(name, _FILE, dir_fd=folder)
    try:
        _check_ours(os.fstat(descriptor), name, folder)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_ours(found: os.stat_result, name: str, folder: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EEXIST, f"{name} is not a regular file")
    if found.st_nlink != 1:
        raise OSError(errno.EEXIST, f"{name} has other names (hard links)")
    if found.st_uid != os.geteuid() and found.st_uid != _owner_of_new(folder):
        raise OSError(errno.EEXIST, f"{name} belongs to somebody else")


def _owner_of_new(folder: int) -> int:
    """Return the owner that a new file of ours gets here: on FAT or a share it need not be us."""
    name = f".airgap-owner-{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        return os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
        os.unlink(name, dir_fd=folder)
