"""Filling the store from a bundle: each blob is read once, hashed as it is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event

from airgap.bundle.archive import Archive, documents_of
from airgap.bundle.contents import BlobEntry, ImageEntry, broken
from airgap.errors import HostError, SpaceError, is_full
from airgap.progress import Progress
from airgap.store.layout import mirror_repositories
from airgap.store.store import Store

_WORKERS = 4
# Images whose links wait to be synced together.
_LINKED_AT_ONCE = 500


def missing_blobs(store: Store, archive: Archive) -> list[BlobEntry]:
    """The blobs of a bundle that the store has not, in the order in which they lie."""
    return [blob for blob in archive.contents.blobs if not store.has_blob(blob.digest, blob.size)]


def seed(store: Store, archive: Archive, progress: Progress) -> None:
    """Brings all images of the bundle into the store.

    Raises:
        IntegrityError: A blob or the framing is damaged, or two images would have one tag in
            the mirror; no tag was changed.
        HostError: The medium cannot be read, or the store not written.
        SpaceError: The disk is full; finished blobs stay.
    """
    _check_tags(archive.contents.images)
    documents = archive.documents()
    archive.check_framing(documents)
    blobs = missing_blobs(store, archive)
    progress.start("seeding the mirror", sum(blob.size for blob in blobs))
    try:
        _write_all(store, archive, blobs, progress)
        for number, image in enumerate(archive.contents.images, start=1):
            store.link_image(image, documents_of(image.digest, documents))
            if number % _LINKED_AT_ONCE == 0:
                store.sync()
        store.tag_images(archive.contents.images)
    except OSError as error:
        raise _not_written(store, error) from error
    finally:
        progress.finish()


def _write_all(store: Store, archive: Archive, blobs: list[BlobEntry], progress: Progress) -> None:
    stop = Event()

    def chunks(blob: BlobEntry) -> Iterator[memoryview]:
        for chunk in archive.chunks(blob.offset, blob.size):
            if stop.is_set():
                raise InterruptedError
            yield chunk
            progress.advance(len(chunk))

    def write(blob: BlobEntry) -> None:
        # The store hashes what it writes; the medium is not hashed a second time for it.
        store.write_blob(blob.digest, chunks(blob), archive.damaged(blob))

    with ThreadPoolExecutor(_WORKERS) as pool:
        futures = [pool.submit(write, blob) for blob in blobs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            failed = [future for future in futures if future.done() and future.exception()]
            if failed or not all(future.done() for future in futures):
                stop.set()
                pool.shutdown(cancel_futures=True)
        for future in failed:
            future.result()


def _check_tags(images: Sequence[ImageEntry]) -> None:
    """The mirror's paths can say less than names: `HOST/x` and `docker.io/HOST/x` are one."""
    wanted: dict[tuple[str, str], ImageEntry] = {}
    for image in images:
        for repository in mirror_repositories(image.reference):
            first = wanted.setdefault((repository, image.reference.tag), image)
            if image.reference.tag and first.digest != image.digest:
                raise broken(
                    f"{first.name} and {image.name} would both be {repository} in the mirror"
                )


def _not_written(store: Store, error: OSError) -> HostError | SpaceError:
    if is_full(error):
        return SpaceError(
            f"the disk of {store.root} is full",
            meaning="The blobs that were finished are kept; no tag was changed.",
            remedy="make room and give the same command again",
        )
    return HostError(f"cannot write to {store.root}: {error.strerror}")
