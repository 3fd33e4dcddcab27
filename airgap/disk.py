"""What both sides ask of a disk."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from airgap.errors import UsageError, is_full

# How a file system says that it has no modes, or does not sync a folder.
_CANNOT = (errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
_OTHERS = 0o077


def nearest_existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def read_user_file(path: Path, limit: int, what: str = "") -> bytes:
    """Return all bytes of a file that somebody named.

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


def read_regular(path: Path, limit: int, flags: int = 0) -> bytes:
    """Return the start of a file that somebody else may have named, made or changed.

    Args:
        path: The file.
        limit: How many bytes are read at most.
        flags: Further flags of `open(2)`, such as `os.O_NOFOLLOW`.

    Raises:
        OSError: The file cannot be read, or is no regular file: a pipe would be waited for.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | flags)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return file.read(limit)


def write_atomic(path: Path, data: bytes, mode: int = 0o644, *, folder: int | None = None) -> None:
    """Write a file so that it is there, for good, whole or not at all.

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


def write_theirs(path: Path, data: bytes) -> None:
    """Write a file that belongs to others, of which nothing but its content is to change.

    A link stays, and what it leads to is written. Owner, group, mode and attributes (an SELinux
    label, ACLs) stay too. The file is replaced at once where that keeps all of this. It is
    written in place where it has further names, is a mount, or cannot be replaced by one like it.

    Args:
        path: The file, which need not exist.
        data: Its new content.

    Raises:
        OSError: It cannot be written; it is as it was.
    """
    target = Path(os.path.realpath(path))
    try:
        before = target.stat()
    except FileNotFoundError:
        write_atomic(target, data)
        return
    if not stat.S_ISREG(before.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(target))
    if before.st_nlink > 1 or not _replaced_by_its_like(target, before, data):
        _overwrite(target, data)


def copy_theirs(source: Path, target: Path) -> None:
    """Copy a file of others with its owner, mode and attributes; a link is copied as a link.

    Args:
        source: The file or link.
        target: What is made; a file or link that is there is replaced.

    Raises:
        OSError: It cannot be copied.
    """
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)  # of a run that was killed
    shutil.copy2(source, temporary, follow_symlinks=False)
    before = source.lstat()
    os.chown(temporary, before.st_uid, before.st_gid, follow_symlinks=False)
    temporary.replace(target)
    sync(target.parent)


def check_writable(path: Path) -> None:
    """Make sure that a file or folder can be written, or made with the folders that it lacks.

    Nothing is changed for that.

    Args:
        path: A file or folder, or a link to one; it need not exist.

    Raises:
        OSError: It cannot be written.
    """
    target, path = Path(os.path.realpath(path)), path.absolute()
    nearest = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
    if not nearest.exists() and not (nearest == path and target.parent.is_dir()):
        raise FileNotFoundError(errno.ENOENT, "it is a link to what is missing", str(nearest))
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise OSError(errno.EINVAL, "it is not a regular file", str(target))
    there = target if target.exists() else nearest_existing(target.parent)
    if there != target and not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK):
        read_only = os.statvfs(there).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number), str(there))


def _replaced_by_its_like(target: Path, before: os.stat_result, data: bytes) -> bool:
    """Put a file with the same owner, mode and attributes there; False if that cannot be."""
    temporary = target.with_name(f".{target.name}.new")
    try:
        temporary.unlink(missing_ok=True)  # of a run that was killed
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            for name in os.listxattr(target):
                os.setxattr(file.fileno(), name, os.getxattr(target, name))
            os.fsync(file.fileno())
        temporary.replace(target)
        sync(target.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if is_full(error):
            raise
        return False
    return True


def _overwrite(target: Path, data: bytes) -> None:
    before = target.read_bytes()
    with target.open("r+b", buffering=0) as file:
        try:
            _put(file, data)
        except OSError:
            _put(file, before)
            raise


def _put(file: BinaryIO, data: bytes) -> None:
    file.seek(0)
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    file.truncate(len(data))
    sync_open(file.fileno())


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, last, where its file system can."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync_open(descriptor)
    finally:
        os.close(descriptor)


def sync_open(descriptor: int) -> None:
    """Do what `sync` does for a file or a folder that is open."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise


def sync_data(descriptor: int) -> None:
    """Make the bytes of an open file last, where the system can without its other metadata.

    macOS has no fdatasync(2).

    Raises:
        OSError: The disk failed.
    """
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _set_mode(descriptor: int, mode: int) -> None:
    """Set the mode of a new file, where that means something.

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
