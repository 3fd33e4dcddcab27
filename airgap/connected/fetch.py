"""Fetching blobs in parallel, each straight to its place in the tar."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from airgap.bundle.contents import BlobEntry, FileEntry
from airgap.connected.checkpoint import not_written
from airgap.connected.concurrency import Connections, RateLimit
from airgap.connected.journal import Journal
from airgap.connected.plan import BundlePlan
from airgap.connected.registry_protocol import Registry
from airgap.connected.tar_writer import TarWriter
from airgap.connected.volume_hasher import Part, VolumeHasher
from airgap.errors import IntegrityError
from airgap.limits import KIB
from airgap.oci.digest import hex_of
from airgap.oci.reference import Reference
from airgap.oci.retry import WRONG_TRIES, RetryBudget, TemporaryError
from airgap.parallel import run_all
from airgap.progress import Progress

_NICENESS = 10
# More leave gaps in the tar, for which its checksums wait: only where they are faster.
_FIRST_CONNECTIONS = 2
# Patience begins again when so much more of a blob came than ever before.
_PROGRESS_BYTES = 64 * KIB


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """How hard servers, network and disk are used.

    Attributes:
        jobs: Connections at once, at most.
        bytes_per_second: Of all of them together; 0 for no limit.
        in_order: Write the tar from its beginning to its end, with one connection.
    """

    jobs: int = 4
    bytes_per_second: int = 0
    in_order: bool = False


def write_tar(  # noqa: PLR0913, PLR0917 - what the work needs
    tar: TarWriter,
    folder: Path,
    plan: BundlePlan,
    journal: Journal,
    source: Registry,
    pace: TransferLimits,
    progress: Progress,
) -> list[FileEntry]:
    """Write everything of the tar that the journal does not hold, and hashes what it does.

    Args:
        tar: The open volumes.
        folder: Where they are, for errors.
        plan: What goes where.
        journal: What is there already.
        source: Where blobs come from.
        pace: How many connections, and how fast.
        progress: Sees the bytes that are fetched.

    Returns:
        The volumes with their checksums.

    Raises:
        IntegrityError: A blob is not what its digest says, or does not read back as written.
        SpaceError: The disk is full; what was fetched is kept.
        HostError: The folder cannot be written to.
        AirgapError: Whatever the registry answered.
    """
    units = [piece.offset for piece in plan.framing]
    hasher = VolumeHasher(tar, plan.volumes, units, plan.tar_bytes, _parts(plan))
    try:
        try:
            _Job(tar, plan, journal, hasher, source, pace, progress).run()
        finally:
            progress.finish()
            journal.close()
        entries = hasher.result(progress)
        tar.sync()
    except OSError as error:
        raise not_written(folder, error) from error
    finally:
        hasher.stop()
    return entries


def _parts(plan: BundlePlan) -> list[Part]:
    """Return what every byte of the tar must be: framing and blobs in turn."""
    parts: list[Part] = []
    for number, piece in enumerate(plan.framing):
        digest = hashlib.sha256(piece.data).hexdigest()
        parts.append(Part(piece.offset + len(piece.data), digest))
        # The first and the last piece have no blob behind them.
        blobs = plan.contents.blobs[number - 1 : number] if number else ()
        parts += [Part(blob.offset + blob.size, hex_of(blob.digest)) for blob in blobs]
    return parts


@dataclass(slots=True)
class _Received:
    """How much of a blob is in the tar.

    Attributes:
        count: Bytes.
        digest: Their hash.
        most: How many there ever were.
        servers: Who sent them, in the order of their last turn. If they are wrong, whoever
            broke off before is blamed more than the server that continued.
    """

    count: int
    digest: hashlib._Hash
    most: int = 0
    servers: dict[str, None] = field(default_factory=dict)


class _Job:
    """What the workers share. A unit is a blob with the framing before it."""

    def __init__(  # noqa: PLR0913, PLR0917 - what the workers share
        self,
        tar: TarWriter,
        plan: BundlePlan,
        journal: Journal,
        hasher: VolumeHasher,
        source: Registry,
        pace: TransferLimits,
        progress: Progress,
    ) -> None:
        self._tar, self._plan, self._journal, self._hasher = tar, plan, journal, hasher
        self._source, self._progress = source, progress
        self._workers = 1 if pace.in_order else pace.jobs
        self._stop = threading.Event()
        self._connections = Connections(self._workers, _FIRST_CONNECTIONS)
        self._rate = RateLimit(pace.bytes_per_second, self._pause)

    def run(self) -> None:
        """Write all units, in the order in which they lie: manifests, then large blobs first."""
        self._progress.start("fetching", self._plan.fetch_bytes)
        blobs = self._plan.contents.blobs
        self._write_framing(0)
        run_all(
            self._write_unit,
            range(len(blobs)),
            self._workers,
            self._stop,
            initializer=_lower_priority,
        )
        self._write_framing(len(blobs) + 1)

    def _write_unit(self, number: int) -> None:
        blob = self._plan.contents.blobs[number]
        self._write_framing(number + 1)
        if blob.digest in self._plan.bodies:
            self._write(self._plan.bodies[blob.digest], blob.offset)
        else:
            self._fetch(number, blob)
            self._journal.note(number, blob.size)
        self._hasher.written(number + 1, blob.offset + blob.size)

    def _write_framing(self, unit: int) -> None:
        """Write the framing at the start of a unit."""
        piece = self._plan.framing[unit]
        self._write(piece.data, piece.offset)
        if unit in (0, len(self._plan.framing) - 1):
            self._hasher.written(unit, piece.offset + len(piece.data))

    def _fetch(self, number: int, blob: BlobEntry) -> None:
        """Write a blob to its place; tries again, from where it broke off, with patience."""
        self._progress.item(self._plan.sources[blob.digest].familiar)
        attempts = self._source.attempts(self._pause)
        received = self._resumed(number, blob)
        tries = WRONG_TRIES + (received.count > 0)  # the disk may have spoiled what was there
        for wrong in range(1, tries + 1):
            self._receive_all(number, blob, received, attempts)
            if received.digest.hexdigest() == hex_of(blob.digest):
                self._connections.succeeded()
                return
            found = f"they are sha256:{received.digest.hexdigest()}"
            for server in reversed(received.servers):  # avoided last, asked last
                self._source.avoid(server)
            self._restart(number, received)
            received.most = 0
            if wrong == tries:
                raise _digest_mismatch(self._plan.sources[blob.digest], blob, found)

    def _receive_all(
        self, number: int, blob: BlobEntry, received: _Received, attempts: RetryBudget
    ) -> None:
        """Receive the rest of a blob."""
        while received.count < blob.size:
            try:
                with self._connections.slot():
                    self._receive(number, blob, received, attempts)
            except TemporaryError as error:
                if error.overload:
                    self._connections.overloaded()
                attempts.failed(error)

    def _receive(
        self, number: int, blob: BlobEntry, received: _Received, attempts: RetryBudget
    ) -> None:
        self._check_stop()
        attempts.begin()
        reference = self._plan.sources[blob.digest]
        with self._source.blob(reference, blob.digest, blob.size, received.count) as stream:
            if stream.start != received.count:  # the server gives blobs only whole
                self._restart(number, received)
            received.servers.pop(stream.server, None)  # so that it is the last again
            received.servers[stream.server] = None
            while received.count < blob.size and (piece := stream.read(self._rate.piece_bytes)):
                self._rate.spend(len(piece))
                self._connections.look()
                self._take(number, blob, received, piece[: blob.size - received.count])
                if received.count >= received.most + _PROGRESS_BYTES:
                    received.most = received.count
                    attempts.progressed()

    def _take(self, number: int, blob: BlobEntry, received: _Received, piece: bytes) -> None:
        self._check_stop()
        received.digest.update(piece)
        self._write(piece, blob.offset + received.count)
        received.count += len(piece)
        self._progress.advance(len(piece))
        if received.count < blob.size:  # whole only once its digest was found right
            self._journal.note(number, received.count)
            self._hasher.written(number + 1, blob.offset + received.count)

    def _resumed(self, number: int, blob: BlobEntry) -> _Received:
        """Return what an earlier run received, its hash computed again from the disk."""
        received = _Received(0, hashlib.sha256())
        for chunk in self._tar.chunks(blob.offset, self._journal.done.get(number, 0)):
            self._check_stop()
            received.digest.update(chunk)
            received.count += len(chunk)
            self._progress.advance(len(chunk))
        received.most = received.count
        return received

    def _restart(self, number: int, received: _Received) -> None:
        self._journal.note(number, 0)
        self._hasher.restarted(number + 1)
        self._progress.advance(-received.count)
        received.count, received.digest, received.servers = 0, hashlib.sha256(), {}

    def _write(self, data: bytes, offset: int) -> None:
        with self._journal.writing(len(data)):
            self._tar.write(data, offset)

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise InterruptedError(errno.EINTR, "fetching was stopped")


def _lower_priority() -> None:
    """Let the thread of the checksums go first, so that they keep up where cores are few."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _digest_mismatch(reference: Reference, blob: BlobEntry, what: str) -> IntegrityError:
    return IntegrityError(
        f"{reference}: the bytes served for {blob.digest} are others",
        meaning=f"{blob.size} bytes were stated, and {what}. "
        "The registry, or something before it, is faulty.",
        remedy="run the same command again: finished blobs are kept",
    )
