"""Storage of blobs: the mirror's, filled on disk while its registry serves it read-only.

What recordings need is kept in the same form.

A blob becomes visible by a rename, only after its bytes were hashed and synced; a tag is written
after everything that it needs is on the disk for good. So neither a killed install nor a power
cut ever shows half an image.

>>> from tempfile import TemporaryDirectory
>>> from airgap.oci.digest import digest_of
>>> folder = TemporaryDirectory()
>>> store, digest = Store(Path(folder.name)), digest_of(b"hello")
>>> store.write_blob(digest, [b"help"])
Traceback (most recent call last):
airgap.errors.IntegrityError: ...
>>> store.has_blob(digest, size=5)
False
>>> store.write_blob(digest, [b"hel", b"lo"])
>>> store.has_blob(digest, size=5), b"".join(store.blob(digest))
(True, b'hello')
>>> folder.cleanup()
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from airgap.bundle.contents import ImageEntry
from airgap.disk import sync
from airgap.errors import HostError, IntegrityError, NotFoundError
from airgap.limits import LIMITS, MIB
from airgap.oci import manifest
from airgap.oci.digest import hex_of
from airgap.oci.image_tree import read_tree
from airgap.oci.manifest import Descriptor, Index, Manifest, is_document
from airgap.store import layout

# So much new is worth telling the kernel of.
_BEGIN_BYTES = 8 * MIB
# File systems write the waiting ones of many at once.
_SYNCS_AT_ONCE = 8


class Store:
    """A registry's storage folder.

    Args:
        root: The folder that the registry mounts as its root directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._unsynced: dict[Path, None] = {}

    def has_content(self) -> bool:
        """Return whether anything was ever seeded."""
        return (self.root / "docker").is_dir()

    def has_blob(self, digest: str, size: int) -> bool:
        """Return whether the blob is in place, whole (its rename came after its hash)."""
        try:
            return (self.root / layout.blob_data(digest)).stat().st_size == size
        except OSError:
            return False

    def write_blob(
        self,
        digest: str,
        chunks: Iterable[memoryview | bytes],
        damaged: IntegrityError | None = None,
    ) -> None:
        """Write a blob and make it visible if its digest holds.

        Args:
            digest: What it must have.
            chunks: Its bytes, not verified yet.
            damaged: What to raise if they are others, from who knows where they come from.

        Raises:
            IntegrityError: The bytes are others.
        """
        path = self.root / layout.blob_data(digest)
        actual = hashlib.sha256()
        with _AtomicFile(path) as file:
            for chunk in chunks:
                actual.update(chunk)
                file.write(chunk)
            if actual.hexdigest() != hex_of(digest):
                raise damaged or IntegrityError(
                    f"the bytes for {digest} are others",
                    remedy="copy the bundle again from where it was made",
                )
            file.publish()

    def new_blob(self) -> BlobWriter:
        """Return a writer for a blob whose digest is not known yet; enter it to write."""
        return BlobWriter(self.root)

    def drop_new_blobs(self) -> None:
        """Remove new blobs that a killed run left; nobody may be writing any."""
        for leftover in (self.root / layout.new_blob("x")).parent.glob("*"):
            leftover.unlink(missing_ok=True)

    def blob(self, digest: str) -> Iterator[bytes]:
        """Yield the bytes of a blob in pieces; the last one is given only if the digest holds.

        Raises:
            NotFoundError: It is not here.
            IntegrityError: It was damaged on this disk.
        """
        actual = hashlib.sha256()
        held = b""
        with self._open(digest) as file:
            while chunk := file.read(MIB):
                actual.update(chunk)
                if held:
                    yield held
                held = chunk
        if actual.hexdigest() != hex_of(digest):
            raise IntegrityError(
                f"{self.root / layout.blob_data(digest)} is damaged",
                meaning="This disk, or something on this host, changed it after the install.",
                remedy="restore it from its bundle: airgap install DIR --repair",
            )
        if held:
            yield held

    def blob_size(self, digest: str) -> int:
        """Return the size of a blob in bytes.

        Raises:
            NotFoundError: It is not here.
        """
        with self._open(digest) as file:
            return os.fstat(file.fileno()).st_size

    def small_blob(self, digest: str, limit: int) -> bytes:
        """Return all bytes of a manifest or config.

        Raises:
            NotFoundError: It is not here.
            IntegrityError: It was damaged, or is larger than `limit` bytes.
        """
        if self.blob_size(digest) > limit:
            raise IntegrityError(f"{digest} is larger than {limit} bytes")
        return b"".join(self.blob(digest))

    def manifests(self, image: ImageEntry) -> dict[str, Manifest | Index]:
        """Digest to manifest or index, of all that the image reaches and that is linked to it.

        A child that is here and not linked is of an install that was interrupted: nobody knows
        whether its blobs are here too.

        Raises:
            NotFoundError: One is not here.
            IntegrityError: One was damaged on this disk.
        """
        repository = layout.mirror_repositories(image.reference)[0]

        def is_linked(entry: Descriptor) -> bool:
            link = layout.revision_link if is_document(entry.media_type) else layout.layer_link
            return bool(self._read_link(link(repository, entry.digest)))

        return self._reached(image, is_linked)

    def carried(self, image: ImageEntry, digests: Container[str]) -> dict[str, Manifest | Index]:
        """Return digest to manifest or index, of all that the image reaches and a bundle has.

        Args:
            image: The image.
            digests: Of all blobs of its bundle; those are here.

        Raises:
            NotFoundError: One is not here.
            IntegrityError: One was damaged on this disk.
        """
        return self._reached(image, lambda entry: entry.digest in digests)

    def link_image(self, image: ImageEntry, documents: Mapping[str, Manifest | Index]) -> None:
        """Make an image readable by digest through its repositories.

        Raises:
            NotFoundError: A blob of it is not here.
        """
        blobs = manifest.blobs_of(documents)
        for digest in (*blobs, *documents):
            self.blob_size(digest)
            self._sync_later(layout.blob_data(digest))
        for repository in layout.mirror_repositories(image.reference):
            for digest in blobs:
                self._link(layout.layer_link(repository, digest), digest)
            for digest in reversed(list(documents)):  # an index after its children
                self._link(layout.revision_link(repository, digest), digest)

    def link_documents(
        self, image: ImageEntry, documents: Iterable[str], blobs: Iterable[str] = ()
    ) -> None:
        """Have `documents` find manifests and indexes whose layers may not be here.

        Args:
            image: The image.
            documents: Digests of what is here of it.
            blobs: Digests of the blobs that its indexes name, which may not be here either.
        """
        repository = layout.mirror_repositories(image.reference)[0]
        for digest in blobs:
            self._link(layout.layer_link(repository, digest), digest)
        for digest in documents:
            self._sync_later(layout.blob_data(digest))
            self._link(layout.revision_link(repository, digest), digest)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, each `REPOSITORY:TAG` to the digest of an image that was linked before."""
        links: dict[Path, str] = {}
        for name, digest in tags.items():
            repository, _, tag = name.rpartition(":")
            self._link(layout.tag_index_link(repository, tag, digest), digest)
            links[layout.tag_link(repository, tag)] = digest
        self.sync()
        with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
            # Each lasts before it takes the place of one that must never be lost.
            list(pool.map(partial(self._write_link, durable=True), links, links.values()))
        for link in links:
            self._sync_later(link)
        self.sync()

    def sync_blobs(self, digests: Iterable[str]) -> None:
        """Make blobs that are here last through a power cut: their folders name them for good."""
        for digest in digests:
            self._sync_later(layout.blob_data(digest))
        self.sync()

    def sync(self) -> None:
        """Make all that was linked, and the blobs behind it, last through a power cut."""
        paths, self._unsynced = self._unsynced, {}
        with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
            list(pool.map(sync, paths))

    def is_linked(self, image: ImageEntry) -> bool:
        """Return whether the image can be found by its digest, whatever of it is here."""
        repository = layout.mirror_repositories(image.reference)[0]
        return self._read_link(layout.revision_link(repository, image.digest)) == image.digest

    def tag(self, name: str) -> str:
        """Return the digest of a tag, `REPOSITORY:TAG`; empty if there is no such tag."""
        repository, _, tag = name.rpartition(":")
        return self._read_link(layout.tag_link(repository, tag))

    def is_tagged(self, image: ImageEntry, tags: Collection[str] | None = None) -> bool:
        """Return whether the image's name means its digest here (by revision where it sets no tag).

        Args:
            image: The image.
            tags: Those of its tags that count, as `REPOSITORY:TAG`; all of them if None.
        """
        chosen = layout.mirror_tags(image.reference) if tags is None else tags
        if chosen:
            return all(self.tag(name) == image.digest for name in chosen)
        return all(
            self._read_link(layout.revision_link(repository, image.digest)) == image.digest
            for repository in layout.mirror_repositories(image.reference)
        )

    def _reached(
        self, image: ImageEntry, is_carried: Callable[[Descriptor], bool]
    ) -> dict[str, Manifest | Index]:
        return read_tree(image.digest, image.media_type, image.name, _Stored(self, is_carried))

    def _open(self, digest: str) -> BinaryIO:
        try:
            return (self.root / layout.blob_data(digest)).open("rb")
        except FileNotFoundError as error:
            raise NotFoundError(
                f"{self.root} lacks {digest}",
                remedy="restore it from its bundle: airgap install DIR --repair",
            ) from error
        except PermissionError as error:
            raise HostError(
                f"cannot read {self.root}: {error.strerror}",
                meaning="It is for root and for users who may use Docker.",
                remedy="use sudo, or have root add you to the group docker",
            ) from error

    def _link(self, relative: Path, digest: str) -> None:
        """Write a link that will last after the next `sync`."""
        self._write_link(relative, digest, durable=False)
        # Also where it was there: the run that wrote it may have been killed before its sync.
        self._sync_later(relative)

    def _write_link(self, relative: Path, digest: str, *, durable: bool) -> None:
        if self._read_link(relative) != digest:
            with _AtomicFile(self.root / relative) as file:
                file.write(digest.encode())
                file.publish(durable=durable)

    def _read_link(self, relative: Path) -> str:
        try:
            return (self.root / relative).read_bytes().decode("ascii", "replace")
        except OSError:
            return ""

    def _sync_later(self, relative: Path) -> None:
        """Remember a file and all its folders: a rename is durable when its folder is synced."""
        self._unsynced |= dict.fromkeys(self.root / path for path in (relative, *relative.parents))


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a store holds of an image: see `tree.Holder`."""

    store: Store
    has: Callable[[Descriptor], bool]

    def document(self, digest: str) -> bytes:
        return self.store.small_blob(digest, LIMITS.manifest_bytes)

    def config(self, config: Descriptor) -> bytes | None:
        """Return a config; None if it is missing or damaged, which other checks report."""
        with suppress(NotFoundError, IntegrityError):
            return self.store.small_blob(config.digest, LIMITS.config_bytes)
        return None


class BlobWriter:
    """Bytes that become a blob once there are no more; nothing of them stays without `publish`.

    Args:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = _AtomicFile(root / layout.new_blob(secrets.token_hex(16)), leftovers=False)
        self._actual = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> BlobWriter:
        return self

    def write(self, data: bytes) -> None:
        """Add bytes to the blob."""
        self._actual.update(data)
        self._file.write(data)
        self._size += len(data)

    def reader(self) -> BinaryIO:
        """Return a reader of the bytes so far and later; it stays readable after `publish`."""
        return self._file.reader()

    def publish(self) -> tuple[str, int]:
        """Make the blob visible; a power cut may still take it.

        Returns:
            Its digest, and its size in bytes.
        """
        digest = f"sha256:{self._actual.hexdigest()}"
        path = self._root / layout.blob_data(digest)
        if not path.exists():
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._file.publish(durable=False, path=path)
        return digest, self._size

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)


class _AtomicFile:
    """A new version of a file, in the same folder; visible after `publish`, else removed."""

    def __init__(self, path: Path, *, leftovers: bool = True) -> None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if leftovers:
            _remove_leftovers(path)
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        self._file = self._temporary.open("xb", buffering=0)
        self._published = False
        self._written = self._begun = 0

    def __enter__(self) -> _AtomicFile:
        return self

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]
        self._written += len(data)
        if self._written - self._begun >= _BEGIN_BYTES:
            _start_writeback(self._file.fileno(), self._begun, self._written - self._begun)
            self._begun = self._written

    def reader(self) -> BinaryIO:
        return self._temporary.open("rb", buffering=0)

    def publish(self, *, durable: bool = True, path: Path | None = None) -> None:
        self._temporary.chmod(0o644)
        if durable:
            os.fsync(self._file.fileno())
        self._temporary.replace(path or self._path)
        self._published = True

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self._published:
            self._temporary.unlink(missing_ok=True)


def _start_writeback(descriptor: int, start: int, size: int) -> None:
    """Have the kernel write to the disk what was just written, so that a sync finds little to do.

    Linux begins that, and does not wait, for what posix_fadvise(2) says is not needed any more.
    What is not on the disk yet stays in memory all the same: who reads it next finds it there.
    """
    with suppress(OSError):  # some file systems cannot; the sync follows anyhow
        os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)


def _remove_leftovers(path: Path) -> None:
    """Remove what a killed run left of this file: it may be as large as the file."""
    for leftover in path.parent.glob(f".{path.name}.*"):
        leftover.unlink(missing_ok=True)
