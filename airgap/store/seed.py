"""Filling the store from a bundle: each blob is read once, hashed as it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from threading import Event

from airgap.bundle.archive import Archive
from airgap.bundle.contents import BlobEntry, Contents, ImageEntry
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.tar_reader import TarReader
from airgap.errors import translate_write_errors
from airgap.oci.image_tree import documents_of
from airgap.oci.manifest import Index, Manifest, blobs_of
from airgap.parallel import run_all
from airgap.progress import Progress
from airgap.store.store import Store
from airgap.store.tags import check_tag_collisions, tags_of

_WORKERS = 4
# Images whose links wait to be synced together.
_LINKED_AT_ONCE = 500


def missing_blobs(store: Store, tar: TarReader) -> list[BlobEntry]:
    """Return the blobs of a tar that the store has not, in the order in which they lie."""
    return [blob for blob in tar.blobs.values() if not store.has_blob(blob.digest, blob.size)]


def seed(
    store: Store,
    archive: Archive,
    progress: Progress,
    images: Sequence[ImageEntry] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Copy images of the bundle into the store.

    Args:
        store: Where to.
        archive: The bundle.
        progress: Sees the bytes that are written.
        images: Those that are wanted; all of them if not given.
        tags: `REPOSITORY:TAG` to digest, of each tag that is set; those of the images if not
            given.

    Raises:
        IntegrityError: A blob or the framing is damaged, or two images would have one tag in
            the mirror; no tag was changed.
        HostError: The medium cannot be read, or the store not written.
        SpaceError: The disk is full; finished blobs stay.
    """
    check_tag_collisions(archive.contents.images)
    documents = archive.manifests()
    archive.check_framing(documents)
    chosen = archive.contents.images if images is None else images
    blobs = missing_blobs(store, archive)
    if images is not None:
        needed = needed_by(chosen, documents)
        blobs = [blob for blob in blobs if blob.digest in needed]
    with _writing(store):
        _write(store, archive, blobs, "seeding the mirror", progress)
        for number, image in enumerate(chosen, start=1):
            store.link_image(image, documents_of(image.digest, documents))
            if number % _LINKED_AT_ONCE == 0:
                store.sync()
        store.set_tags(tags_of(chosen) if tags is None else tags)


def seed_documents(store: Store, archive: Archive, images: Sequence[ImageEntry]) -> None:
    """Copy manifests and configs alone of images whose layers are elsewhere.

    Raises:
        IntegrityError: One is damaged.
        HostError: The medium cannot be read, or the store not written.
        SpaceError: The disk is full; finished blobs stay.
    """
    documents = archive.manifests()
    with _writing(store):
        for image in images:
            part = documents_of(image.digest, documents)
            configs = [item.config.digest for item in part.values() if isinstance(item, Manifest)]
            for blob in (archive.blobs[digest] for digest in (*configs, *part)):
                if not store.has_blob(blob.digest, blob.size):
                    chunks = archive.chunks(blob.offset, blob.size)
                    store.write_blob(blob.digest, chunks, archive.damaged(blob))
            others = [
                blob for item in part.values() if isinstance(item, Index) for blob in item.blobs
            ]
            store.link_documents(image, reversed(list(part)), [blob.digest for blob in others])
        store.sync()


def link_carried(store: Store, contents: Contents) -> None:
    """Make the images of a bundle readable by digest, whose blobs are here already.

    Raises:
        NotFoundError: A blob is not here.
        IntegrityError: A manifest was damaged on this disk.
    """
    digests = {blob.digest for blob in contents.blobs}
    for image in contents.images:
        store.link_image(image, store.carried(image, digests))
    store.sync()


def seed_replay(store: Store, replay: ReplayTar, progress: Progress) -> None:
    """Copy all that the recordings of the bundle need into the store.

    Raises:
        IntegrityError: A blob or the framing is damaged.
        HostError: The medium cannot be read, or the store not written.
        SpaceError: The disk is full; finished blobs stay.
    """
    replay.check_framing()
    with _writing(store):
        _write(store, replay, missing_blobs(store, replay), "fetching the recordings", progress)
        store.sync_blobs(replay.blobs)


def needed_by(images: Sequence[ImageEntry], documents: Mapping[str, Manifest | Index]) -> set[str]:
    """Return the digests of all that images reach."""
    needed: set[str] = set()
    for image in images:
        part = documents_of(image.digest, documents)
        needed |= {*part, *blobs_of(part)}
    return needed


def _write(
    store: Store, tar: TarReader, blobs: list[BlobEntry], what: str, progress: Progress
) -> None:
    """Write blobs, several at once."""
    progress.start(what, sum(blob.size for blob in blobs))
    try:
        _write_all(store, tar, blobs, progress)
    finally:
        progress.finish()


def _write_all(store: Store, tar: TarReader, blobs: list[BlobEntry], progress: Progress) -> None:
    stop = Event()

    def chunks(blob: BlobEntry) -> Iterator[memoryview]:
        for chunk in tar.chunks(blob.offset, blob.size):
            if stop.is_set():
                raise InterruptedError
            yield chunk
            progress.advance(len(chunk))

    def write(blob: BlobEntry) -> None:
        # The store hashes what it writes; the medium is not hashed a second time for it.
        store.write_blob(blob.digest, chunks(blob), tar.damaged(blob))

    run_all(write, blobs, _WORKERS, stop)


def _writing(store: Store) -> AbstractContextManager[None]:
    kept = "Finished blobs are kept; no tag was changed."
    return translate_write_errors(store.root, kept=kept)
