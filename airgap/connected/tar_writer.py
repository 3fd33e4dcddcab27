"""The tar that is being written: one file, or several volumes, at any offset."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from airgap.bundle.open_files import FewOpen
from airgap.bundle.volumes import Volume
from airgap.connected.checkpoint import not_written
from airgap.connected.output import open_file
from airgap.disk import sync_data
from airgap.limits import MIB


class TarWriter:
    """The volumes, open. Safe to use from threads.

    Args:
        folder: The bundle's.
        volumes: What the tar is cut into.
        durable: Whether `sync` waits for the disk.

    Raises:
        HostError: A file cannot be opened.
    """

    def __init__(self, folder: Path, volumes: Sequence[Volume], *, durable: bool = True) -> None:
        self.durable = durable
        self._volumes = volumes
        self._open = FewOpen(lambda number: open_file(folder, volumes[number].name))
        # What is written and not synced yet; a file may have been closed in between.
        self._unsynced = set(range(len(volumes)))
        with ExitStack() as stack:
            stack.callback(self._open.close)
            for number, volume in enumerate(volumes):  # each can be written to
                try:
                    with self._open.use(number) as descriptor:
                        _cut_off(descriptor, volume.size)
                except OSError as error:
                    raise not_written(folder / volume.name, error) from error
            stack.pop_all()

    def __enter__(self) -> Self:
        """So that the files are closed on every way out."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        self._open.close()

    def holds(self, start: int, end: int) -> bool:
        """Return whether the volumes are large enough to hold the range."""
        return all(
            self._size(number) >= min(end, volume.start + volume.size) - volume.start
            for number, volume in enumerate(self._volumes)
            if volume.start < end and start < volume.start + volume.size
        )

    def _size(self, number: int) -> int:
        with self._open.use(number) as descriptor:
            return os.fstat(descriptor).st_size

    def write(self, data: bytes, offset: int) -> None:
        """Write all of `data` to its place."""
        view = memoryview(data)
        while view:
            number, volume = self._at(offset)
            position = offset - volume.start
            with self._open.use(number) as descriptor:
                count = os.pwrite(descriptor, view[: volume.size - position], position)
            self._unsynced.add(number)
            view, offset = view[count:], offset + count

    def chunks(self, offset: int, size: int) -> Iterator[memoryview]:
        """`size` bytes from `offset`, in pieces of at most 1 MiB, each valid until the next."""
        buffer = memoryview(bytearray(min(size, MIB)))
        end = offset + size
        while offset < end:
            number, volume = self._at(offset)
            position = offset - volume.start
            most = min(end - offset, volume.size - position)
            with self._open.use(number) as descriptor:
                count = os.preadv(descriptor, [buffer[:most]], position)
            if count == 0:
                raise OSError(errno.EIO, f"{volume.name} ended early")
            yield buffer[:count]
            offset += count

    def sync(self) -> None:
        """Return once everything that was written lasts through a power cut."""
        for number in sorted(self._unsynced) if self.durable else ():
            self._unsynced.discard(number)  # whoever writes to it from now on adds it again
            try:
                with self._open.use(number) as descriptor:
                    sync_data(descriptor)
            except OSError:
                self._unsynced.add(number)
                raise

    def _at(self, offset: int) -> tuple[int, Volume]:
        # All volumes but the last have one size.
        number = offset // self._volumes[0].size
        return number, self._volumes[number]


def _cut_off(descriptor: int, size: int) -> None:
    """Remove bytes behind the end of a volume, which are not ours: readers refuse them."""
    if os.fstat(descriptor).st_size > size:
        os.ftruncate(descriptor, size)
