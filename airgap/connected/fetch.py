"""Fetching blobs in parallel, each straight to its place in the tar."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from airgap.bundle import framing
from airgap.bundle.contents import BlobEntry
from airgap.connected.plan import Plan
from airgap.connected.source import Source
from airgap.connected.unfinished import Journal, not_written
from airgap.errors import AirgapError, HostError, IntegrityError, SpaceError
from airgap.limits import MIB
from airgap.oci.digest import hex_of
from airgap.progress import Progress, format_bytes

_BUFFER_BYTES = MIB
# The tool, the README and file system overhead beside the tar.
_SPARE_BYTES = 32 * MIB


def check_space(folder: Path, plan: Plan, present: int) -> None:
    """Refuses to begin what cannot end.

    Args:
        folder: Where the bundle goes; it exists.
        plan: What is to be written.
        present: Bytes of it that are on the disk already.

    Raises:
        SpaceError: The disk is too small.
    """
    needed = plan.tar_bytes - present + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
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
        _fetch_all(_Job(tar, plan, journal, source, progress), blobs)
    except OSError as error:
        raise _failed(path, error) from error
    finally:
        progress.finish()
        journal.flush()


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
        reference = self.plan.sources[blob.digest]
        buffer = self._buffer()
        digest, done = hashlib.sha256(), 0
        with self.source.blob(reference, blob.digest, blob.size) as reader:
            while count := reader.readinto(buffer):
                if self.stop.is_set():
                    raise InterruptedError
                done += count
                if done > blob.size:
                    break
                digest.update(buffer[:count])
                _write(self.tar, buffer[:count], blob.offset + done - count)
                self.progress.advance(count)
        if done != blob.size or digest.hexdigest() != hex_of(blob.digest):
            raise IntegrityError(
                f"{reference}: the bytes served for {blob.digest} are others",
                meaning=f"{done} bytes came, with the digest sha256:{digest.hexdigest()}; "
                f"{blob.size} were stated. The registry, or something before it, is faulty.",
                remedy="give the same command again: finished blobs are kept",
            )
        self.journal.add(blob.digest, blob.size)

    def _buffer(self) -> memoryview:
        """One buffer a thread, used again for each blob."""
        if not hasattr(self._local, "buffer"):
            self._local.buffer = memoryview(bytearray(_BUFFER_BYTES))
        buffer: memoryview = self._local.buffer
        return buffer


def _fetch_all(job: _Job, blobs: Sequence[BlobEntry]) -> None:
    workers = min(4, max(1, len(blobs)))
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(job.fetch, blob) for blob in blobs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in futures if future.done() and future.exception()]
        finally:
            if not all(future.done() for future in futures):
                job.stop.set()
                pool.shutdown(cancel_futures=True)
        for future in failed:
            future.result()


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


def _failed(path: Path, error: OSError) -> AirgapError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpaceError(
            f"the disk of {path} is full",
            meaning="The blobs that were finished are kept.",
            remedy="make room and give the same command again",
        )
    if isinstance(error, InterruptedError):
        return HostError("fetching was stopped")
    return not_written(path, error)
