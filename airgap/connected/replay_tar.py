"""Writing `replay.tar`: all that recordings need, in one pass, hashed on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle import framing
from airgap.bundle.contents import REPLAY_TAR, BlobEntry, FileEntry, RecordingEntry
from airgap.bundle.framing import SMALL_BYTES
from airgap.bundle.volumes import Volume, cut
from airgap.connected.filesystem import check_room
from airgap.connected.tar_writer import TarWriter
from airgap.disk import sync
from airgap.errors import IntegrityError, UsageError
from airgap.oci.digest import digest_of
from airgap.progress import Progress
from airgap.replay.recording import Recording, parse_recording
from airgap.store.store import Store


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded for a bundle.

    Attributes:
        entries: The recordings.
        store: Holds their maps and all that these name.
        blobs: Digest to size in bytes, of all of that.
    """

    entries: tuple[RecordingEntry, ...]
    store: Store
    blobs: Mapping[str, int]

    @classmethod
    def of(
        cls,
        recording: Recording,
        store: Store,
        name: str,
        *,
        dockerfile: str = "",
        platforms: tuple[str, ...] = (),
        until: str = "",
    ) -> Recorded:
        """Return one recording, whose map is written beside what it names.

        Args:
            recording: What was recorded.
            store: Holds the bodies.
            name: The recording's; this and the others are as in `RecordingEntry`.
            dockerfile: Digest of the Dockerfile; empty for what was requested.
            platforms: What was built for.
            until: Until when apt takes it by itself.

        Raises:
            UsageError: No reader of bundles would take it.
        """
        body = recording.to_bytes()
        try:
            parse_recording(body)
        except IntegrityError as error:
            raise UsageError(
                f"what {name} downloads cannot be carried: {error.message}",
                remedy="record it as several builds, by target",
            ) from error
        digest = digest_of(body)
        store.write_blob(digest, [body])
        sizes = {response.digest: response.size for response in recording.responses.values()}
        entry = RecordingEntry(name, digest, dockerfile, platforms, until)
        return cls((entry,), store, {**sizes, digest: len(body)})

    def merge(self, other: Recorded) -> Recorded:
        """Return both; they must be in the same store."""
        if other.store.root != self.store.root:
            raise ValueError("recordings of different stores")
        blobs = {**self.blobs, **other.blobs}
        return Recorded((*self.entries, *other.entries), self.store, blobs)


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """All that is to be written of `replay.tar`: nothing where nothing was recorded.

    Attributes:
        blobs: The maps, then what is small, then all else, by digest: the same recordings give
            the same tar.
        volumes: The files that joined are the tar.
        mtime: Unix seconds for the headers.
    """

    blobs: tuple[BlobEntry, ...]
    volumes: tuple[Volume, ...]
    mtime: int

    @property
    def tar_bytes(self) -> int:
        """The size of the tar."""
        return sum(volume.size for volume in self.volumes)


def plan_replay(recorded: Recorded, mtime: int, volume_bytes: int = 0) -> ReplayPlan:
    """Lay out the tar.

    Args:
        recorded: What it holds.
        mtime: Unix seconds for the headers.
        volume_bytes: The most that a volume may have; 0 for one of any size.

    Raises:
        UsageError: There would be too many volumes.
    """
    if not recorded.entries:
        return ReplayPlan((), (), mtime)
    maps = dict.fromkeys(entry.digest for entry in recorded.entries)
    others = sorted(
        set(recorded.blobs) - set(maps),
        key=lambda digest: (recorded.blobs[digest] >= SMALL_BYTES, digest),
    )
    sizes = [(digest, recorded.blobs[digest]) for digest in (*maps, *others)]
    blobs = framing.place_blobs(0, sizes, SMALL_BYTES)
    size = framing.end_of(0, blobs) + framing.END_BYTES
    return ReplayPlan(blobs, cut(size, volume_bytes, REPLAY_TAR), mtime)


def remove_replay(output: Path) -> None:
    """Remove what an earlier run has written: it is recorded again, and may be cut otherwise.

    Raises:
        OSError: The folder cannot be written to.
    """
    for path in output.glob(f"{REPLAY_TAR}*"):
        path.unlink()


def write_replay(
    plan: ReplayPlan, store: Store, output: Path, progress: Progress, *, durable: bool = True
) -> list[FileEntry]:
    """Write the volumes; those of an earlier run must be gone: see `remove_replay`.

    Args:
        plan: From `plan_replay`.
        store: Holds the blobs.
        output: The bundle's folder.
        progress: Sees the bytes that are written.
        durable: Whether to wait until the disk has it.

    Returns:
        The volumes with their checksums.

    Raises:
        NotFoundError: The store lacks a blob.
        IntegrityError: A blob is not what its digest or its size says.
        SpaceError: The disk is too small.
        HostError: The folder cannot be written to.
        OSError: The disk failed, or is full after all.
    """
    if not plan.volumes:
        return []
    check_room(output, plan.volumes)
    progress.start(f"writing {REPLAY_TAR}", plan.tar_bytes)
    try:
        with TarWriter(output, plan.volumes, durable=durable) as tar:
            writer = _Writer(tar, plan.volumes, progress)
            for data in _all_bytes(plan, store):
                writer.write(data)
            tar.sync()
    finally:
        progress.finish()
    if durable:
        sync(output)
    return writer.entries


def _all_bytes(plan: ReplayPlan, store: Store) -> Iterator[bytes]:
    """Yield the tar from its beginning to its end."""
    frame = framing.pieces(b"", plan.blobs, plan.mtime)
    yield next(frame).data
    for blob in plan.blobs:
        yield next(frame).data
        if not store.has_blob(blob.digest, blob.size):
            size = store.blob_size(blob.digest)
            raise IntegrityError(f"{blob.digest} has {size} bytes and should have {blob.size}")
        yield from store.blob(blob.digest)
    yield next(frame).data


class _Writer:
    """Writes the tar from its beginning to its end and hashes each volume on the way.

    Attributes:
        entries: The volumes that are written in full.
    """

    def __init__(self, tar: TarWriter, volumes: tuple[Volume, ...], progress: Progress) -> None:
        self._tar, self._volumes, self._progress = tar, volumes, progress
        self._position = 0
        self._digest = hashlib.sha256()
        self.entries: list[FileEntry] = []

    def write(self, data: bytes) -> None:
        self._tar.write(data, self._position)
        view = memoryview(data)
        while view:
            volume = self._volumes[len(self.entries)]
            left = volume.start + volume.size - self._position
            self._digest.update(view[:left])
            self._position += len(view[:left])
            view = view[left:]
            if self._position == volume.start + volume.size:
                digest = self._digest.hexdigest()
                self.entries.append(FileEntry(volume.name, volume.size, digest))
                self._digest = hashlib.sha256()
        self._progress.advance(len(data))
