"""The plan: every blob, its size and its place, known before the first byte is fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from airgap.bundle import framing
from airgap.bundle.contents import BlobEntry, Contents, ImageEntry
from airgap.bundle.framing import Piece
from airgap.bundle.volumes import Volume, cut
from airgap.connected.resolve import ResolvedImage, wrong_size
from airgap.oci import image_tree
from airgap.oci.manifest import Index, Manifest
from airgap.oci.reference import Reference


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """All that is to be written.

    Attributes:
        contents: The contents but for `files`.
        framing: All bytes of the tar that are no blob: its head, what lies before each blob, and
            its end.
        volumes: The files that joined are the tar.
        bodies: Digest to bytes of manifests and indexes, which are here already.
        sources: Digest to the image through which each other blob is fetched.
        notes: What people should know of the images, a line each.
        image_bytes: Name of each image to the size of its manifests and blobs, in bytes; images
            may share blobs.
    """

    contents: Contents
    framing: tuple[Piece, ...]
    volumes: tuple[Volume, ...]
    bodies: Mapping[str, bytes]
    sources: Mapping[str, Reference]
    notes: tuple[str, ...] = ()
    image_bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def to_fetch(self) -> tuple[BlobEntry, ...]:
        """Blobs that are not here yet, in the order in which they lie."""
        return tuple(blob for blob in self.contents.blobs if blob.digest not in self.bodies)

    @property
    def fetch_bytes(self) -> int:
        """Bytes to fetch."""
        return sum(blob.size for blob in self.to_fetch)

    @property
    def tar_bytes(self) -> int:
        """The size of the tar."""
        return sum(volume.size for volume in self.volumes)


def make_plan(
    contents: Contents, images: Sequence[ResolvedImage], volume_bytes: int = 0
) -> BundlePlan:
    """Lay out the tar: manifests first, then configs and layers, large ones first.

    That is also the order in which they are fetched: so no connection is left alone with a large
    one at the end, and checksums can follow close behind.

    Args:
        contents: Name, serial and times; its images, blobs and files are replaced.
        images: What is carried.
        volume_bytes: The most that a volume may have; 0 for one of any size.

    Raises:
        IntegrityError: Two images state different sizes for one blob.
        UsageError: There would be too many volumes.
    """
    bodies: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    sources: dict[str, Reference] = {}
    for image in images:
        bodies |= image.bodies
        for blob in image.blobs:
            if sizes.setdefault(blob.digest, blob.size) != blob.size:
                raise wrong_size(image.reference, blob.digest)
            sources.setdefault(blob.digest, image.reference)
    lengths = {digest: len(body) for digest, body in bodies.items()}
    documents = _documents(images, {**sizes, **lengths})
    entries = tuple(_entry(image.entry, documents) for image in images)
    head = framing.head(
        entries, documents, lengths, contents.host_platforms, contents.created_seconds
    )
    fetched = [(digest, size) for digest, size in sizes.items() if digest not in lengths]
    fetched.sort(key=lambda blob: -blob[1])
    blobs = framing.place_blobs(len(head), [*lengths.items(), *fetched])
    pieces = tuple(framing.pieces(head, blobs, contents.created_seconds))
    volumes = cut(pieces[-1].offset + len(pieces[-1].data), volume_bytes)
    planned = replace(contents, images=entries, blobs=blobs)
    notes = tuple(dict.fromkeys(note for image in images for note in image.notes))
    image_bytes = {
        image.entry.name: sum(
            {
                **{digest: len(body) for digest, body in image.bodies.items()},
                **{blob.digest: blob.size for blob in image.blobs},
            }.values()
        )
        for image in images
    }
    return BundlePlan(planned, pieces, volumes, bodies, sources, notes, image_bytes)


def _documents(
    images: Sequence[ResolvedImage], sizes: Mapping[str, int]
) -> dict[str, Manifest | Index]:
    """Return the documents of all images, as a reader of the bundle finds them.

    What one image leaves out of its index another one may include.

    Raises:
        IntegrityError: An index states a wrong size for something that is carried.
    """
    found: dict[str, Manifest | Index] = {}
    platforms = {digest: config for image in images for digest, config in image.configs.items()}
    for image in images:
        image_tree.merge(found, image.documents)
        for index in image.documents.values():
            for entry in index.manifests if isinstance(index, Index) else ():
                if sizes.get(entry.digest, entry.size) != entry.size:
                    raise wrong_size(image.reference, entry.digest)
    for digest, item in found.items():
        if isinstance(item, Index):
            found[digest] = image_tree.with_blobs(item, lambda entry: entry.digest in sizes)
        elif item.platform is None:
            found[digest] = replace(item, platform=platforms.get(digest))
    return found


def _entry(entry: ImageEntry, documents: Mapping[str, Manifest | Index]) -> ImageEntry:
    """Return what the contents say of an image: other images may include further of its indexes."""
    if not isinstance(documents[entry.digest], Index):
        return entry
    omitted = image_tree.omitted_platforms(entry.digest, documents, entry.platforms)
    return replace(entry, omitted=tuple(omitted))
