"""Reading a tar of a bundle, joined from its volumes, at any offset."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import accumulate
from types import TracebackType
from typing import Self

from airgap.bundle import framing
from airgap.bundle.contents import BlobEntry, Contents, FileEntry, broken
from airgap.bundle.file_check import BUFFER_BYTES, open_whole
from airgap.bundle.media import Media
from airgap.bundle.open_files import FewOpen
from airgap.errors import IntegrityError, cannot_read
from airgap.oci.digest import hex_of


class TarReader:
    """A tar of a bundle whose contents are trusted; its bytes are not, until hashed.

    Safe to read from several threads.

    Args:
        media: Where the volumes are.
        contents: What they belong to.
        volumes: The files that joined are the tar.
        blobs: What is in it, in order.

    Raises:
        IntegrityError: A volume is missing, or not as large as it should be.
        HostError: The medium cannot be read.
    """

    def __init__(
        self,
        media: Media,
        contents: Contents,
        volumes: Sequence[FileEntry],
        blobs: Sequence[BlobEntry],
    ) -> None:
        self.contents = contents
        self.blobs: Mapping[str, BlobEntry] = {blob.digest: blob for blob in blobs}
        self.size = sum(volume.size for volume in volumes)
        self._volumes = volumes
        self._starts = list(accumulate((volume.size for volume in volumes), initial=0))[:-1]
        _check_present(media, contents, volumes)
        self._open = FewOpen(lambda number: open_whole(media, contents, volumes[number]))
        with ExitStack() as stack:
            stack.callback(self._open.close)
            for number in range(len(volumes)):  # each is there, and as large as it should be
                with self._open.use(number):
                    pass
            stack.pop_all()

    def __enter__(self) -> Self:
        """So that the volumes are closed on every way out."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the volumes."""
        self._open.close()

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` of the joined tar."""
        return b"".join(bytes(chunk) for chunk in self.chunks(offset, size))

    def chunks(self, offset: int, size: int) -> Iterator[memoryview]:
        """Yield the same in pieces of at most 1 MiB; each is valid until the next is asked for.

        Raises:
            HostError: The medium cannot be read.
            IntegrityError: A volume ends early.
        """
        buffer = memoryview(bytearray(min(size, BUFFER_BYTES)))
        end = offset + size
        while offset < end:
            number = bisect_right(self._starts, offset) - 1
            place = offset - self._starts[number]
            most = min(end - offset, self._volumes[number].size - place)
            count = self._read_volume(number, buffer[:most], place)
            yield buffer[:count]
            offset += count

    def blob(self, entry: BlobEntry) -> Iterator[memoryview]:
        """Yield the bytes of a blob, in pieces; the last one is given only if the digest holds.

        Raises:
            HostError: The medium cannot be read.
            IntegrityError: The bytes are not those of the digest.
        """
        digest = hashlib.sha256()
        left = entry.size
        for chunk in self.chunks(entry.offset, entry.size):
            digest.update(chunk)
            left -= len(chunk)
            if left == 0:
                self._check(entry, digest.hexdigest())
            yield chunk
        if entry.size == 0:
            self._check(entry, digest.hexdigest())

    def small_blob(self, digest: str, limit: int) -> bytes:
        """Return all bytes of a blob that is small: a manifest or a config.

        Raises:
            IntegrityError: It is not carried, is larger than `limit`, or is damaged.
        """
        entry = self.blobs.get(digest)
        if entry is None:
            raise broken(f"{digest} is not among the blobs")
        if entry.size > limit:
            raise broken(f"{digest} is larger than {limit} bytes")
        return b"".join(bytes(chunk) for chunk in self.blob(entry))

    def damaged(self, entry: BlobEntry) -> IntegrityError:
        """Return the error for a blob whose bytes are not those of its digest."""
        first = self._volume_at(entry.offset)
        last = self._volume_at(entry.offset + max(0, entry.size - 1))
        volumes = f"{first} is damaged" if first == last else f"one of {first} to {last} is damaged"
        return IntegrityError(
            f"{volumes}: the blob at byte {entry.offset} is not {entry.digest}",
            meaning="The medium is faulty, or the file was changed.",
            remedy="copy it again from where the bundle was made; airgap verify tells which",
        )

    def _check_framing(self, head: bytes, small_bytes: int = 0) -> None:
        """Read all framing and compare it with what the contents give.

        Args:
            head: What the tar must begin with.
            small_bytes: As for `framing.place_blobs`.

        Raises:
            IntegrityError: It differs, or an offset or the size of the tar is not what it must be.
        """
        blobs = tuple(self.blobs.values())
        framing.check_offsets(blobs, len(head), self.size, small_bytes)
        for piece in framing.pieces(head, blobs, self.contents.created_seconds):
            if piece.data and self.read(piece.offset, len(piece.data)) != piece.data:
                raise self._strange_framing(piece.offset)

    def _strange_framing(self, offset: int) -> IntegrityError:
        """Return the error for framing that differs at an offset."""
        return IntegrityError(
            f"{self._volume_at(offset)} differs from what bundle.json says near byte {offset}",
            meaning="The file is damaged or was changed: other tools could read other blobs "
            "from it.",
            remedy="copy it again from where the bundle was made",
        )

    def _check(self, entry: BlobEntry, actual: str) -> None:
        if actual != hex_of(entry.digest):
            raise self.damaged(entry)

    def _volume_at(self, offset: int) -> str:
        """Return the volume that has this byte of the tar, as messages name it."""
        return self.contents.numbered(self._volumes[bisect_right(self._starts, offset) - 1])

    def _read_volume(self, number: int, view: memoryview, position: int) -> int:
        volume = self._volumes[number]
        try:
            with self._open.use(number) as descriptor:
                count = os.preadv(descriptor, [view], position)
        except OSError as error:
            raise cannot_read(self.contents.numbered(volume), error) from error
        if count == 0:
            name = self.contents.numbered(volume)
            raise IntegrityError(f"{name} ends early, at byte {position}")
        return count


def _check_present(media: Media, contents: Contents, volumes: Sequence[FileEntry]) -> None:
    """Check that all volumes are there, and name all that are missing at once.

    Raises:
        IntegrityError: One is missing.
    """
    missing = [contents.numbered(volume) for volume in volumes if not media.holds(volume.name)]
    if missing and len(volumes) > 1:
        raise IntegrityError(
            f"missing from {', '.join(map(str, media.folders))}: {', '.join(missing)}",
            meaning="The tar lies in several files, and all are needed at once.",
            remedy="give all media: DIR DIR…",
        )
