"""Reads and writes files of this host, and says what the operating system refuses."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from airgap import disk
from airgap.disk import write_atomic
from airgap.errors import HostError, SpaceError, cannot_write


def read_regular(path: Path, limit: int) -> bytes:
    """Return the start of a file that is someone's to change while root reads it.

    Args:
        path: The file.
        limit: How many bytes are read at most.

    Raises:
        FileNotFoundError: There is none.
        OSError: It is a link or no regular file, or cannot be read.
    """
    return disk.read_regular(path, limit, os.O_NOFOLLOW)


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file of this host, and the folders to it, as `write_atomic` does.

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
    """Return the error for a file or folder of this host that cannot be written to."""
    denied = error.errno in (errno.EACCES, errno.EPERM)
    remedy = "use sudo, or choose another folder with --root" if denied else ""
    return cannot_write(path, error, remedy=remedy)
