"""What both sides ask of a disk."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from airgap.errors import UsageError


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


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file so that it is there, for good, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)  # of a run that was killed
    # Never through a link, which whoever made the medium may have put there; and open for us
    # alone until it is complete.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, last, where its file system can."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
