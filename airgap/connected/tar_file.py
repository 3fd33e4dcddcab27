"""The tar that is being written: one file, or several volumes, at any offset."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from airgap.bundle.volumes import Volume
from airgap.connected.output import open_file
from airgap.connected.unfinished import not_written
from airgap.limits import MIB


class TarFile:
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
        self._files: list[tuple[Volume, int]] = []
        with ExitStack() as stack:
            for volume in volumes:
                path = folder / volume.name
                try:
                    descriptor = open_file(folder, volume.name)
                except OSError as error:
                    raise not_written(path, error) from error
                stack.callback(os.close, descriptor)
                self._files.append((volume, descriptor))
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        """So that the files are closed on every way out."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the files."""
        self._open.close()

    def holds(self, start: int, end: int) -> bool:
        """Whether there is something at all of these bytes."""
        return all(
            os.fstat(descriptor).st_size >= min(end, volume.start + volume.size) - volume.start
            for volume, descriptor in self._files
            if volume.start < end and start < volume.start + volume.size
        )

    def write(self, data: bytes, offset: int) -> None:
        """Writes all of `data` to its place."""
        view = memoryview(data)
        while view:
            volume, descriptor = self._at(offset)
            position = offset - volume.start
            count = os.pwrite(descriptor, view[: volume.size - position], position)
            view, offset = view[count:], offset + count

    def chunks(self, offset: int, size: int) -> Iterator[memoryview]:
        """`size` bytes from `offset`, in pieces of at most 1 MiB, each valid until the next."""
        buffer = memoryview(bytearray(min(size, MIB)))
        end = offset + size
        while offset < end:
            volume, descriptor = self._at(offset)
            position = offset - volume.start
            wanted = min(end - offset, volume.size - position)
            count = os.preadv(descriptor, [buffer[:wanted]], position)
            if count == 0:
                raise OSError(errno.EIO, f"{volume.name} ended early")
            yield buffer[:count]
            offset += count

    def sync(self) -> None:
        """Returns once everything that was written lasts through a power cut."""
        for _, descriptor in self._files if self.durable else ():
            os.fdatasync(descriptor)

    def _at(self, offset: int) -> tuple[Volume, int]:
        # All volumes but the last have one size.
        return self._files[offset // self._files[0][0].size]
