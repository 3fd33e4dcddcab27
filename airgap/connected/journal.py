"""The journal of an unfinished bundle: how much of each blob is on the disk for good.

A record of 16 bytes for each blob of the tar, in order: its bytes, in decimal, and a newline. The
number is the blob's whole size only once its digest was found right. Records are written after
the tar was synced, at most 256 MiB of new bytes apart. The file has all its room from the start,
so that it can be written on a full disk, and a record never crosses a sector.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from airgap.bundle.contents import BlobEntry
from airgap.connected.output import open_file
from airgap.connected.tar_writer import TarWriter
from airgap.disk import sync_data
from airgap.limits import MIB

SYNC_BYTES = 256 * MIB
# So that little is lost where little comes.
_SYNC_SECONDS = 5.0
_RECORD = re.compile(rb"[0-9]{15}\n")
_RECORD_BYTES = 16


class Journal:
    """Notes what was written, and syncs in a thread of its own.

    Args:
        path: Its file; neither it nor its folder may be a link.
        tar: What is written to.
        blobs: All blobs of the tar.
    """

    def __init__(self, path: Path, tar: TarWriter, blobs: Sequence[BlobEntry]) -> None:
        self._tar = tar
        self._file = open_file(path.parent.parent, f"{path.parent.name}/{path.name}")
        self.done = self._read(blobs)
        """Blob's number in the tar to its bytes that are there; finished if they are all."""
        self._notes: dict[int, int] = {}
        self._unsynced = self._written = 0
        self._changed = threading.Condition()
        self._closing = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @contextmanager
    def writing(self, count: int) -> Iterator[None]:
        """Around writing `count` bytes to the tar: waits while too many are not synced.

        Raises:
            OSError: The disk failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended() or self._unsynced + count <= SYNC_BYTES)
            if self._ended():
                raise self._error or InterruptedError
            self._unsynced += count
        yield
        with self._changed:
            self._written += count
            if self._written >= SYNC_BYTES // 2:
                self._changed.notify_all()

    def note(self, number: int, done: int) -> None:
        """So many bytes of a blob are in the tar now; all of them only if its digest holds."""
        with self._changed:
            self._notes[number] = done

    def close(self) -> None:
        """Make all that was noted last, and ends.

        Raises:
            OSError: The disk failed, now or before.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        os.close(self._file)
        if self._error:
            raise self._error

    def _ended(self) -> bool:
        return self._closing or self._error is not None

    def _read(self, blobs: Sequence[BlobEntry]) -> dict[int, int]:
        """Return what an earlier run noted, as far as the tar has it."""
        length = len(blobs) * _RECORD_BYTES
        data = os.pread(self._file, length, 0)
        missing = length - len(data)
        os.pwrite(self._file, b"\n" * missing, len(data))
        done = {}
        for number, blob in enumerate(blobs):
            record = data[number * _RECORD_BYTES : (number + 1) * _RECORD_BYTES]
            count = int(record) if _RECORD.fullmatch(record) else 0
            if 0 < count <= blob.size and self._tar.holds(blob.offset, blob.offset + count):
                done[number] = count
        return done

    def _run(self) -> None:
        closing = False
        while not closing and not self._error:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closing or self._written >= SYNC_BYTES // 2, _SYNC_SECONDS
                )
                closing = self._closing
                notes, written = self._notes, self._written
                self._notes, self._written = {}, 0
            if notes or written:
                self._sync(notes, written)

    def _sync(self, notes: dict[int, int], written: int) -> None:
        error: Exception | None = None
        try:
            self._tar.sync()
            for number, done in sorted(notes.items()):
                os.pwrite(self._file, b"%015d\n" % done, number * _RECORD_BYTES)
            if self._tar.durable:
                sync_data(self._file)
        except Exception as caught:
            error = caught
        with self._changed:
            self._error = error
            self._unsynced -= written
            self._changed.notify_all()
