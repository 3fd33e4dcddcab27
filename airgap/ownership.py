"""Who else can change a file or folder of this host: one rule for state, keys, tool and locks.

The tool asks before its parts are in place, so this uses the standard library alone.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

_ATTEMPTS = 100
_LINKS = 40
"""So many links are followed at most (path_resolution(7))."""


def changeable_by_others(path: Path) -> Path | None:
    """Return the first part of a path that others than root and this user can change or replace.

    Every folder and link on the way counts. In a folder like `/tmp`, whose sticky bit keeps others
    from replacing what is ours, `path` may be below, but not be that folder.

    Args:
        path: A file or folder. What is not there yet cannot be changed; check again once it is.

    Returns:
        None if nobody else can.

    Raises:
        OSError: A part cannot be looked at.
    """
    passed = list(_way_to(path))
    for part, status in passed:
        if status is None:
            return None
        if status.st_uid not in (0, os.geteuid()):
            return part
        if stat.S_ISLNK(status.st_mode):
            continue  # whoever can change it can change its folder
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if is_open_to_others(status) and not (sticky and part != passed[-1][0]):
            return part
    return None


def is_open_to_others(status: os.stat_result) -> bool:
    """Return whether users other than the owner, or the owner's own group, can write."""
    if status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid):
        return True
    return bool(status.st_mode & stat.S_IWOTH)


def open_locked(path: Path, how: int) -> int:
    """Open and lock a file that nobody else can open, and so nobody else can lock.

    A file that others could open is replaced: somebody may have it open, and lock it for ever.

    Args:
        path: The file; made if it is not there. Its folder is one that others cannot change.
        how: An operation of `flock(2)`.

    Returns:
        The descriptor, which the caller closes.

    Raises:
        BlockingIOError: Another process has the lock, and `how` says not to wait.
        OSError: The file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for _ in range(_ATTEMPTS):
        descriptor = os.open(path, flags, 0o600)
        try:
            if _is_private(descriptor):
                fcntl.flock(descriptor, how)
                if _is_still(descriptor, path):
                    return descriptor
            elif _is_still(descriptor, path):
                path.unlink()
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError(errno.EPERM, "it cannot be kept from other users", str(path))


def _way_to(path: Path) -> Iterator[tuple[Path, os.stat_result | None]]:
    """Yield all that is passed on the way to a path, links included; None for what is not there."""
    at, waiting, links = Path("/"), list(path.absolute().parts[:0:-1]), 0
    yield at, at.lstat()
    while waiting:
        name = waiting.pop()
        if name == "..":
            at = at.parent
            continue
        try:
            status = (at / name).lstat()
        except (FileNotFoundError, NotADirectoryError):
            yield at / name, None
            return
        yield at / name, status
        if not stat.S_ISLNK(status.st_mode):
            at = at / name
            continue
        links += 1
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = (at / name).readlink()
        if target.is_absolute():
            at, target = Path("/"), target.relative_to("/")
        waiting += reversed(target.parts)


def _is_own_group(number: int) -> bool:
    """Return whether a group is a user's private group, with no other members."""
    if os.geteuid() == 0:
        return False
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(number)
    except KeyError:
        return False
    private = (user.pw_gid, user.pw_name) == (group.gr_gid, group.gr_name)
    return private and not {*group.gr_mem} - {user.pw_name}


def _is_private(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    return not status.st_mode & 0o077 and status.st_uid in (0, os.geteuid())


def _is_still(descriptor: int, path: Path) -> bool:
    """Return whether the path still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
