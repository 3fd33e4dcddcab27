"""Reading `images.tar`, joined from its volumes, at any offset."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType

from airgap.bundle import framing
from airgap.bundle.contents import BlobEntry, Contents, FileEntry, ImageEntry, broken
from airgap.bundle.media import Media, unreadable
from airgap.errors import IntegrityError
from airgap.limits import LIMITS, MIB
from airgap.oci import manifest
from airgap.oci.digest import hex_of
from airgap.oci.manifest import Index, Manifest

BUFFER_BYTES = MIB


class Archive:
    """The joined tar of a bundle whose contents are trusted; its bytes are not, until hashed.

    Safe to read from several threads.
    """

    def __init__(self, media: Media, contents: Contents) -> None:
        self.contents = contents
        self.blobs: Mapping[str, BlobEntry] = {blob.digest: blob for blob in contents.blobs}
        self.size = sum(volume.size for volume in contents.volumes)
        self._volumes: list[tuple[int, int, FileEntry]] = []
        with ExitStack() as stack:
            start = 0
            for volume in contents.volumes:
                descriptor = media.open(volume.name)
                stack.callback(os.close, descriptor)
                _check_size(descriptor, volume)
                self._volumes.append((start, descriptor, volume))
                start += volume.size
            self._open = stack.pop_all()

    def __enter__(self) -> Archive:
        """So that the volumes are closed on every way out."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the volumes."""
        self._open.close()

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` of the joined tar."""
        return b"".join(bytes(chunk) for chunk in self.chunks(offset, size))

    def chunks(self, offset: int, size: int) -> Iterator[memoryview]:
        """The same in pieces of at most 1 MiB; each is valid until the next is asked for.

        Raises:
            HostError: The medium cannot be read.
            IntegrityError: A volume ends early.
        """
        buffer = memoryview(bytearray(min(size, BUFFER_BYTES)))
        end = offset + size
        for start, descriptor, volume in self._volumes:
            while start <= offset < min(end, start + volume.size):
                wanted = min(end, start + volume.size) - offset
                count = self._read_volume(descriptor, volume, buffer[:wanted], offset - start)
                yield buffer[:count]
                offset += count

    def blob(self, entry: BlobEntry) -> Iterator[memoryview]:
        """The bytes of a blob, in pieces; the last one is given only if the digest holds.

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
        """All bytes of a blob that is small: a manifest or a config.

        Raises:
            IntegrityError: It is not carried, is larger than `limit`, or is damaged.
        """
        entry = self.blobs.get(digest)
        if entry is None:
            raise broken(f"{digest} is not among the blobs")
        if entry.size > limit:
            raise broken(f"{digest} is larger than {limit} bytes")
        return b"".join(bytes(chunk) for chunk in self.blob(entry))

    def documents(self) -> dict[str, Manifest | Index]:
        """Digest to manifest or index, of all that the images reach and the bundle carries.

        Raises:
            IntegrityError: One is damaged, or the images and blobs do not fit each other.
        """
        found: dict[str, Manifest | Index] = {}
        reached: set[str] = set()
        for image in self.contents.images:
            self._read_document(image.digest, image.media_type, image.name, found)
            reached |= self._reach(image, found)
        unreached = [blob.digest for blob in self.contents.blobs if blob.digest not in reached]
        if unreached:
            raise broken(f"{unreached[0]} belongs to no image")
        return found

    def _read_document(
        self, digest: str, media_type: str, what: str, found: dict[str, Manifest | Index]
    ) -> None:
        if digest in found:
            return
        body = self.small_blob(digest, LIMITS.manifest_bytes)
        document = manifest.parse(body, media_type, what)
        found[digest] = document
        if isinstance(document, Index):
            for child in document.manifests:
                if child.digest in self.blobs and child.media_type in manifest.MANIFEST_TYPES:
                    self._read_document(child.digest, child.media_type, what, found)

    def _reach(self, image: ImageEntry, documents: Mapping[str, Manifest | Index]) -> set[str]:
        """All digests of an image, each checked to be carried with the size stated for it."""
        top = documents[image.digest]
        manifests = [top] if isinstance(top, Manifest) else []
        reached = {image.digest}
        if isinstance(top, Index):
            children = [child for child in top.manifests if child.digest in documents]
            reached |= {child.digest for child in children}
            manifests = [
                document
                for document in (documents[child.digest] for child in children)
                if isinstance(document, Manifest)
            ]
            carried = {str(found) for found in framing.manifests_of(top, documents)}
            if not set(image.platforms) <= carried:
                raise broken(f"{image.name} does not hold the platforms that are stated")
        for blob in (blob for document in manifests for blob in document.blobs):
            entry = self.blobs.get(blob.digest)
            if entry is None or entry.size != blob.size:
                raise broken(f"{image.name} needs {blob.digest} of {blob.size} bytes")
            reached.add(blob.digest)
        return reached

    def head(self, documents: Mapping[str, Manifest | Index]) -> bytes:
        """The bytes that the tar must begin with; checks that all offsets follow from them.

        Raises:
            IntegrityError: An offset, or the size of the tar, is not what it must be.
        """
        contents = self.contents
        sizes = {image.digest: self.blobs[image.digest].size for image in contents.images}
        head = framing.head(
            contents.images, documents, sizes, contents.host_platforms, contents.created_seconds
        )
        framing.check_places(contents.blobs, len(head), self.size)
        return head

    def check_framing(self, documents: Mapping[str, Manifest | Index]) -> None:
        """Reads all framing and compares it with what the contents give.

        Raises:
            IntegrityError: It differs: another tool would read another tar.
        """
        contents = self.contents
        head = self.head(documents)
        for piece in framing.pieces(head, contents.blobs, contents.created_seconds):
            if self.read(piece.offset, len(piece.data)) != piece.data:
                raise self.strange_framing(piece.offset)

    def strange_framing(self, offset: int) -> IntegrityError:
        """The error for framing that differs at an offset."""
        volume = self._volume_at(offset)
        return IntegrityError(
            f"{volume.name} differs from what bundle.json says near byte {offset}",
            meaning="The file is damaged or was changed: other tools could read other images "
            "from it.",
            remedy="copy it again from where the bundle was made",
        )

    def _check(self, entry: BlobEntry, actual: str) -> None:
        if actual != hex_of(entry.digest):
            volume = self._volume_at(entry.offset)
            raise IntegrityError(
                f"{volume.name} is damaged: the blob at byte {entry.offset} is not {entry.digest}",
                meaning="The medium is faulty, or the file was changed.",
                remedy="copy it again from where the bundle was made",
            )

    def _volume_at(self, offset: int) -> FileEntry:
        found = self._volumes[0][2]
        for start, _, volume in self._volumes:
            if start <= offset:
                found = volume
        return found

    def _read_volume(
        self, descriptor: int, volume: FileEntry, view: memoryview, position: int
    ) -> int:
        try:
            count = os.preadv(descriptor, [view], position)
        except OSError as error:
            raise unreadable(volume.name, error) from error
        if count == 0:
            raise IntegrityError(f"{volume.name} ends early, at byte {position}")
        return count


def _check_size(descriptor: int, volume: FileEntry) -> None:
    actual = os.fstat(descriptor).st_size
    if actual != volume.size:
        raise IntegrityError(
            f"{volume.name} has {actual} bytes and should have {volume.size}",
            meaning="It was not copied whole, or was changed.",
            remedy="copy it again from where the bundle was made",
        )
