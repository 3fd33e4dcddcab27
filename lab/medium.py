"""Media: file systems of a given size, written on one side and read-only on the other."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Literal

from lab.cache import cache_root
from lab.cleanup import removed_at_end
from lab.resource import Resource
from lab.run import run

FileSystem = Literal["ext4", "ext2"]

_numbers = itertools.count(1)
_DROP_CACHES = Path("/proc/sys/vm/drop_caches")


class Medium(Resource):
    """A loop-mounted file system, as on a drive of this size.

    Attributes:
        path: Where it is mounted on the connected side: writable, until it is sealed.
        device: The block device that an isolated host mounts.
    """

    def __init__(self, size: int, file_system: FileSystem = "ext4") -> None:
        """Describes a medium; entering the context makes it.

        Args:
            size: Of the drive in bytes; the file system itself takes a few percent of it.
            file_system: What it is formatted with.
        """
        super().__init__()
        self._size = size
        self._file_system = file_system
        self._folder = cache_root() / "media" / f"{os.getpid()}-{next(_numbers)}"
        self._image = self._folder / "image"
        self._pulled = self._folder / "pulled"
        self.path = self._folder / "mounted"
        self.device = ""

    def _begin(self) -> None:
        """Makes the file system, with an empty root folder, and mounts it writable."""
        self._resources.enter_context(removed_at_end("folder", str(self._folder)))
        self.path.mkdir(parents=True)
        with self._image.open("wb") as image:
            image.truncate(self._size)
        run([f"mkfs.{self._file_system}", "-q", "-F", "-m", "0", self._image])
        self._resources.enter_context(removed_at_end("loop", str(self._image)))
        self._plug_in()
        self._resources.enter_context(removed_at_end("mount", str(self.path)))
        run(["mount", self.device, self.path])
        (self.path / "lost+found").rmdir()

    def seal(self) -> None:
        """Mounts it read-only, as it has to be before a host takes it."""
        self._mount_again("ro")

    def unseal(self) -> None:
        """Mounts it writable again, to change it between two hosts."""
        self._mount_again("rw")

    def pull_out(self) -> None:
        """Pulls a sealed medium out while hosts have it mounted: every read of it fails now."""
        run(["cp", "--sparse=always", self._image, self._pulled])
        os.truncate(self._image, 0)
        # As memory would run out of what was read before: else some reads still succeed.
        _DROP_CACHES.write_text("3")

    def put_back(self) -> None:
        """Plugs it in again, sealed, as another device; no host may have it mounted any more."""
        run(["umount", self.path])
        run(["losetup", "--detach", self.device])
        self._pulled.replace(self._image)
        self._plug_in()
        run(["mount", "-o", "ro", self.device, self.path])

    def _plug_in(self) -> None:
        self.device = run(["losetup", "--find", "--show", self._image]).strip()

    def _mount_again(self, mode: str) -> None:
        run(["umount", self.path])
        run(["mount", "-o", mode, self.device, self.path])
