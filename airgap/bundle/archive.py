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
from airgap.bundle.whole import BUFFER_BYTES, open_whole
from airgap.errors import IntegrityError
from airgap.limits import LIMITS
from airgap.oci import manifest
from airgap.oci.digest import hex_of
from airgap.oci.manifest import Descriptor, Index, Manifest


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
            _check_present(media, contents)
            for volume in contents.volumes:
                descriptor = open_whole(media, volume)
                stack.callback(os.close, descriptor)
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
            if found[digest].media_type != media_type:
                raise broken(f"{digest} is said to be of two media types")
            return
        body = self.small_blob(digest, LIMITS.manifest_bytes)
        document = manifest.parse(body, media_type, what)
        found[digest] = document
        if isinstance(document, Index):
            for child in document.manifests:
                if child.digest in self.blobs and child.media_type in manifest.MANIFEST_TYPES:
                    self._check_carried(child, what)
                    self._read_document(child.digest, child.media_type, what, found)

    def _reach(self, image: ImageEntry, documents: Mapping[str, Manifest | Index]) -> set[str]:
        """All digests of an image, each checked to be carried with the size stated for it."""
        part = documents_of(image.digest, documents)
        reached = set(part)
        for document in part.values():
            for blob in document.blobs if isinstance(document, Manifest) else ():
                self._check_carried(blob, image.name)
                reached.add(blob.digest)
        self._check_platforms(image, documents)
        return reached

    def _check_carried(self, stated: Descriptor, what: str) -> None:
        entry = self.blobs.get(stated.digest)
        if entry is None or entry.size != stated.size:
            raise broken(f"{what} needs {stated.digest} of {stated.size} bytes")

    def _check_platforms(
        self, image: ImageEntry, documents: Mapping[str, Manifest | Index]
    ) -> None:
        """What the contents say that an image is made for is what its own documents say."""
        top = documents[image.digest]
        if isinstance(top, Index):
            carried = {str(platform) for platform in framing.manifests_of(top, documents)}
            omitted = {str(platform) for platform in top.platforms} - set(image.platforms)
        else:
            config = self.small_blob(top.config.digest, LIMITS.config_bytes)
            carried, omitted = {str(manifest.config_platform(config, image.name))}, set()
        if not set(image.platforms) <= carried:
            raise broken(f"{image.name} does not hold the platforms that are stated")
        if set(image.omitted) != omitted:
            raise broken(f"{image.name} does not leave out the platforms that are stated")

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
        return IntegrityError(
            f"{self._volume_at(offset)} differs from what bundle.json says near byte {offset}",
            meaning="The file is damaged or was changed: other tools could read other images "
            "from it.",
            remedy="copy it again from where the bundle was made",
        )

    def damaged(self, entry: BlobEntry) -> IntegrityError:
        """The error for a blob whose bytes are not those of its digest."""
        first, last = (
            self._volume_at(offset) for offset in (entry.offset, entry.offset + entry.size)
        )
        volumes = f"{first} is damaged" if first == last else f"{first} or {last} is damaged"
        return IntegrityError(
            f"{volumes}: the blob at byte {entry.offset} is not {entry.digest}",
            meaning="The medium is faulty, or the file was changed.",
            remedy="copy it again from where the bundle was made; airgap verify tells which",
        )

    def _check(self, entry: BlobEntry, actual: str) -> None:
        if actual != hex_of(entry.digest):
            raise self.damaged(entry)

    def _volume_at(self, offset: int) -> str:
        """The volume that has this byte of the tar, as messages name it."""
        volumes = [volume for start, _, volume in self._volumes if start <= offset]
        return self.contents.numbered(volumes[-1])

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


def documents_of(
    digest: str, documents: Mapping[str, Manifest | Index]
) -> dict[str, Manifest | Index]:
    """Those of `documents` that an image has: its own, and its children if it is an index."""
    top = documents[digest]
    children = top.manifests if isinstance(top, Index) else ()
    reached = [digest, *(child.digest for child in children)]
    return {one: documents[one] for one in reached if one in documents}


def _check_present(media: Media, contents: Contents) -> None:
    """All volumes are there: else all that are not are named at once.

    Raises:
        IntegrityError: One is missing.
    """
    volumes = contents.volumes
    missing = [contents.numbered(volume) for volume in volumes if not media.holds(volume.name)]
    if missing and len(volumes) > 1:
        raise IntegrityError(
            f"missing from {', '.join(map(str, media.folders))}: {', '.join(missing)}",
            meaning="The tar lies in several files, and all are needed at once.",
            remedy="give all media: DIR DIR…",
        )
