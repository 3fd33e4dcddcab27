"""Reads and writes files of this host, and says what the operating system refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airgap import disk
from airgap.disk import write_atomic
from airgap.errors import HostError, SpaceError, is_full


def read_regular(path: Path, limit: int) -> bytes:
    """The start of a file that is somebody's to change while root reads it.

    Args:
        path: The file.
        limit: How many bytes are read at most.

    Raises:
        FileNotFoundError: There is none.
        OSError: It is a link or no regular file, or cannot be read.
    """
    return disk.read_regular(path, limit, os.O_NOFOLLOW)


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file of this host, and the folders to it, as `write_atomic` does.

    Raises:
        HostError: It cannot be written.
        SpaceError: The disk is full.
    """
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(path, data, mode)
    except OSError as error:
        raise not_writable(path, error) from error


def not_writable(path: Path, error: OSError) -> HostError | SpaceError:
    """The error for a file or folder of this host that cannot be written to."""
    if is_full(error):
        return SpaceError(
            f"the disk of {path} is full", remedy="make room and give the same command again"
        )
    denied = error.errno in (errno.EACCES, errno.EPERM)
    return HostError(
        f"cannot write to {path}: {error.strerror}",
        remedy="use sudo, or choose another folder with --root" if denied else "",
    )


@contextmanager
def translate_os_errors(what: str) -> Iterator[None]:
    """Whatever the operating system refuses on the way, as an error for people.

    Raises:
        SpaceError: A disk is full.
        HostError: Any other refusal.
    """
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise SpaceError(
                f"a disk is full ({what})", remedy="make room and give the same command again"
            ) from error
        where = f" {error.filename}" if error.filename else ""
        raise HostError(f"{what}:{where} {error.strerror}") from error
