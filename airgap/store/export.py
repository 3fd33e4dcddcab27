"""An image of the store as a tar that `docker load` reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from airgap.bundle import framing
from airgap.bundle.contents import ImageEntry
from airgap.errors import NotFoundError
from airgap.oci.image_tree import carried_platforms
from airgap.oci.manifest import Index, Manifest, blobs_of
from airgap.store.store import Store


def export(
    store: Store, image: ImageEntry, host_platforms: Sequence[str], name: str = ""
) -> Iterator[bytes]:
    """Yield the tar in pieces: an OCI image layout with a `manifest.json`, every blob hashed.

    Args:
        store: Where the blobs are.
        image: Which image, with all of its platforms that the store holds.
        host_platforms: Preferred where the engine can hold one platform only.
        name: What the engine is to call it, instead of its own name.

    Raises:
        NotFoundError: A blob is missing.
        IntegrityError: A blob was damaged on this disk; the tar ends before its last piece.
    """
    documents = store.manifests(image)
    _check_whole(image, documents)
    sizes = {digest: store.blob_size(digest) for digest in (*documents, *blobs_of(documents))}
    named = replace(image, name=name or _name(image))
    head = framing.head([named], documents, sizes, host_platforms, mtime=0)
    blobs = framing.place_blobs(len(head), sizes.items())
    frame = framing.pieces(head, blobs, mtime=0)
    yield next(frame).data
    for blob in blobs:
        yield next(frame).data
        yield from store.blob(blob.digest)
    yield next(frame).data


def _name(image: ImageEntry) -> str:
    """Return the image's own name, without a tag beside a digest: an engine would move that tag."""
    reference = image.reference
    return str(replace(reference, tag=reference.own_tag))


def _check_whole(image: ImageEntry, documents: Mapping[str, Manifest | Index]) -> None:
    top = documents[image.digest]
    if isinstance(top, Index):
        held = carried_platforms(image.digest, documents)
        if missing := set(image.platforms).difference(held):
            raise NotFoundError(
                f"the mirror's storage lacks {image.name} for {', '.join(sorted(missing))}",
                remedy="restore it from its bundle: airgap install DIR --repair",
            )
