"""An image of the store as a tar that `docker load` reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airgap.bundle import framing
from airgap.bundle.contents import ImageEntry
from airgap.oci.manifest import Manifest
from airgap.store.layout import blob_data
from airgap.store.store import Store


def export(store: Store, image: ImageEntry, host_platforms: Sequence[str]) -> Iterator[bytes]:
    """The tar in pieces: an OCI image layout with a `manifest.json`, every blob hashed.

    Args:
        store: Where the blobs are.
        image: Which image, with all of its platforms that the store holds.
        host_platforms: Preferred where the engine can hold one platform only.

    Raises:
        NotFoundError: A blob is missing.
        IntegrityError: A blob was damaged on this disk.
    """
    documents = store.documents(image)
    digests = dict.fromkeys(documents)
    for document in documents.values():
        if isinstance(document, Manifest):
            digests.update(dict.fromkeys(blob.digest for blob in document.blobs))
    sizes = {digest: (store.root / blob_data(digest)).stat().st_size for digest in digests}
    head = framing.head([image], documents, sizes, host_platforms, mtime=0)
    blobs = framing.place_blobs(len(head), sizes.items())
    frame = iter(framing.pieces(head, blobs, mtime=0))
    yield next(frame).data
    for blob in blobs:
        yield next(frame).data
        yield from store.blob(blob.digest)
    yield next(frame).data
