"""The folders that together hold one bundle, possibly on several media.

Files are opened without following links, regular ones only, and are never read past a limit.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from airgap.bundle.checksums import CHECKSUMS_NAME
from airgap.errors import AirgapError, HostError, IntegrityError, cannot_read

_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class Media:
    """Reads the named files of a bundle from the folders given.

    Args:
        folders: One a medium.
        finished: Whether the bundle must be; whoever is making it reads it before that.

    Raises:
        HostError: A folder does not exist or cannot be read.
        IntegrityError: None of them holds a bundle.
    """

    def __init__(self, folders: Sequence[Path], *, finished: bool = True) -> None:
        self.folders = tuple(folders)
        self._check_folders()
        if finished and not self.holds(CHECKSUMS_NAME):
            raise IntegrityError(
                f"there is no finished bundle in {', '.join(map(str, self.folders))}",
                meaning=f"It has no {CHECKSUMS_NAME}, which is written last.",
                remedy="run the same airgap bundle command again to finish it, or copy it whole",
            )

    def holds(self, name: str) -> bool:
        """Return whether one of the folders has something of that name.

        Raises:
            HostError: The medium cannot be read.
        """
        return any(_is_there(folder / name) for folder in self.folders)

    def open(self, name: str) -> int:
        """Open a file of the bundle; the caller closes the descriptor.

        Raises:
            IntegrityError: It is missing, or not a regular file.
            HostError: The medium cannot be read.
        """
        for folder in self.folders:
            if _is_there(folder / name):
                return _open_beneath(folder, name)
        self._check_folders()  # a medium that was pulled out lacks no file
        raise IntegrityError(
            f"{name} is missing from {', '.join(map(str, self.folders))}",
            meaning="The bundle was not copied whole.",
            remedy="copy it again, or give all media: airgap verify DIR DIR…",
        )

    def copies(self, name: str) -> list[int]:
        """Open a file of the bundle in every folder that has it, in their order.

        The caller closes the descriptors. A copy that cannot be opened is left out if others can.

        Raises:
            IntegrityError: It is missing, or not a regular file.
            HostError: The medium cannot be read.
        """
        if len(self.folders) == 1:
            return [self.open(name)]
        opened: list[int] = []
        failed: list[AirgapError] = []
        for folder in self.folders:
            try:
                if _is_there(folder / name):
                    opened.append(_open_beneath(folder, name))
            except AirgapError as error:
                failed.append(error)
        if not opened and failed:
            raise failed[0]
        return opened or [self.open(name)]

    def read(self, name: str, limit: int) -> bytes:
        """Return all bytes of a small file.

        Raises:
            IntegrityError: Missing, not regular, or larger than `limit` bytes.
            HostError: The medium cannot be read.
        """
        return read_small(self.open(name), name, limit)

    def unlisted(self, names: Iterable[str]) -> list[Path]:
        """Return files on the media that are not in `names`. They are never opened."""
        known = set(names)
        found = []
        for folder in self.folders:
            for parent, folders, files in os.walk(folder):
                links = [name for name in folders if (Path(parent) / name).is_symlink()]
                for name in sorted(files + links):
                    path = Path(parent) / name
                    if str(PurePosixPath(path.relative_to(folder))) not in known:
                        found.append(path)
        return found

    def _check_folders(self) -> None:
        for folder in self.folders:
            if not _is_there(folder) or not folder.is_dir():
                raise HostError(
                    f"{folder} is not a folder",
                    remedy="is the medium mounted? Give the folder that holds bundle.json",
                )


def read_small(descriptor: int, name: str, limit: int) -> bytes:
    """Return all bytes of an open file that is small; closes it.

    Raises:
        IntegrityError: It is larger than `limit` bytes.
        HostError: The medium cannot be read.
    """
    with os.fdopen(descriptor, "rb") as file:
        try:
            data = file.read(limit + 1)
        except OSError as error:
            raise cannot_read(name, error) from error
    if len(data) > limit:
        raise IntegrityError(f"{name} is larger than {limit} bytes, which none can be")
    return data


def _is_there(path: Path) -> bool:
    """Return whether something has this name; a medium that fails has not said that nothing has."""
    try:
        path.lstat()
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return False
        raise cannot_read(str(path), error) from error
    return True


def _open_beneath(folder: Path, name: str) -> int:
    """Open each part of `name` without following links."""
    *parents, last = PurePosixPath(name).parts
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise cannot_read(str(folder), error) from error
    try:
        for part in parents:
            inner = os.open(part, _READ_FOLDER, dir_fd=opened)
            os.close(opened)
            opened = inner
        descriptor = os.open(last, _READ_FILE, dir_fd=opened)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise IntegrityError(f"{folder / name} is not a regular file") from error
        raise cannot_read(str(folder / name), error) from error
    finally:
        os.close(opened)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IntegrityError(f"{folder / name} is not a regular file")
    return descriptor
