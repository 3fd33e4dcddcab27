"""Fetching blobs in parallel, each straight to its place in the tar."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from airgap.bundle import framing
from airgap.bundle.contents import BlobEntry
from airgap.connected.plan import Plan
from airgap.connected.source import Readable, Source
from airgap.connected.unfinished import Journal, not_written
from airgap.errors import AirgapError, IntegrityError, SpaceError
from airgap.limits import KIB, MIB
from airgap.oci.digest import hex_of
from airgap.oci.reference import Reference
from airgap.oci.registry import unbroken
from airgap.progress import Progress, format_bytes

_WORKERS = 4
# A worker notices at each buffer that it is to stop.
_BUFFER_BYTES = 256 * KIB
_GRACE_SECONDS = 2.0
# The tool, the README and file system overhead beside the tar.
_SPARE_BYTES = 32 * MIB


def check_space(folder: Path, plan: Plan, present: int) -> None:
    """Refuses to begin what cannot end.

    Args:
        folder: Where the bundle goes; it may be absent still.
        plan: What is to be written.
        present: Bytes of it that are on the disk already.

    Raises:
        SpaceError: The disk is too small.
    """
    folder = folder.absolute()
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    needed = plan.tar_bytes - present + _SPARE_BYTES
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise SpaceError(
            f"{folder} has {format_bytes(free)} free, and {format_bytes(needed)} are needed",
            meaning="Nothing was fetched.",
            remedy="make room, or give another folder with -o",
        )


def write_tar(
    tar: int, path: Path, plan: Plan, journal: Journal, source: Source, progress: Progress
) -> None:
    """Writes everything of the tar that the journal does not hold yet.

    Args:
        tar: File descriptor, open for reading and writing.
        path: Its name, for errors.
        plan: What goes where.
        journal: Which blobs are done.
        source: Where blobs come from.
        progress: Sees the bytes that are fetched.

    Raises:
        IntegrityError: A blob is not what its digest says.
        SpaceError: The disk is full; what was finished is kept.
        HostError: The folder cannot be written to.
        AirgapError: Whatever the registry answered.
    """
    blobs = [blob for blob in plan.to_fetch if blob.digest not in journal.finished]
    # Large ones first, so that no worker is left alone with one at the end.
    blobs.sort(key=lambda blob: -blob.size)
    progress.start("fetching", sum(blob.size for blob in blobs))
    try:
        os.ftruncate(tar, plan.tar_bytes)
        _write_framing(tar, plan)
        try:
            _fetch_all(_Job(tar, plan, journal, source, progress), blobs)
        finally:
            journal.flush()
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        progress.finish()


class _Job:
    """What the workers share."""

    def __init__(
        self, tar: int, plan: Plan, journal: Journal, source: Source, progress: Progress
    ) -> None:
        self.tar, self.plan, self.journal = tar, plan, journal
        self.source, self.progress = source, progress
        self.stop = threading.Event()
        self._local = threading.local()

    def fetch(self, blob: BlobEntry) -> None:
        """Writes a blob to its place, from the beginning again where the connection breaks."""
        unbroken(lambda: self._fetch(blob), self.stop.wait)
        self.journal.add(blob.digest)

    def _fetch(self, blob: BlobEntry) -> None:
        reference = self.plan.sources[blob.digest]
        digest, done = hashlib.sha256(), 0
        try:
            with self.source.blob(reference, blob.digest, blob.size) as reader:
                for chunk in self._chunks(reader):
                    if done + len(chunk) > blob.size:
                        raise _other_bytes(reference, blob, "more bytes than that came")
                    digest.update(chunk)
                    _write(self.tar, chunk, blob.offset + done)
                    done += len(chunk)
                    self.progress.advance(len(chunk))
        except AirgapError:
            self.progress.advance(-done)
            raise
        if digest.hexdigest() != hex_of(blob.digest):
            raise _other_bytes(reference, blob, f"they are sha256:{digest.hexdigest()}")

    def _chunks(self, reader: Readable) -> Iterator[memoryview]:
        """What comes, in pieces that are valid until the next one; ends early if it is to stop."""
        buffer = self._buffer()
        while count := reader.readinto(buffer):
            if self.stop.is_set():
                raise InterruptedError(errno.EINTR, "fetching was stopped")
            yield buffer[:count]

    def _buffer(self) -> memoryview:
        """One buffer a thread, used again for each blob."""
        if not hasattr(self._local, "buffer"):
            self._local.buffer = memoryview(bytearray(_BUFFER_BYTES))
        buffer: memoryview = self._local.buffer
        return buffer


def _fetch_all(job: _Job, blobs: Sequence[BlobEntry]) -> None:
    pool = ThreadPoolExecutor(_WORKERS)
    futures = [pool.submit(job.fetch, blob) for blob in blobs]
    try:
        ended = wait(futures, return_when=FIRST_EXCEPTION).done
    finally:
        job.stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        # Who waits for a registry longer than this finds out later, and writes nothing more.
        wait([future for future in futures if future.running()], timeout=_GRACE_SECONDS)
    for future in ended:
        future.result()


def _other_bytes(reference: Reference, blob: BlobEntry, what: str) -> IntegrityError:
    return IntegrityError(
        f"{reference}: the bytes served for {blob.digest} are others",
        meaning=f"{blob.size} bytes were stated, and {what}. "
        "The registry, or something before it, is faulty.",
        remedy="give the same command again: finished blobs are kept",
    )


def _write_framing(tar: int, plan: Plan) -> None:
    mtime = plan.contents.created_seconds
    for piece in framing.pieces(plan.head, plan.contents.blobs, mtime):
        _write(tar, memoryview(piece.data), piece.offset)
    for blob in plan.contents.blobs:
        if blob.digest in plan.bodies:
            _write(tar, memoryview(plan.bodies[blob.digest]), blob.offset)


def _write(tar: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(tar, data, offset)
        data, offset = data[count:], offset + count
