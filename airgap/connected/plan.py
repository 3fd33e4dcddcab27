"""The plan: every blob, its size and its place, known before the first byte is fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from airgap.bundle import framing
from airgap.bundle.contents import BlobEntry, Contents
from airgap.bundle.framing import Piece
from airgap.bundle.volumes import Volume, cut
from airgap.connected.resolve import ResolvedImage
from airgap.errors import IntegrityError
from airgap.oci.manifest import Index
from airgap.oci.reference import Reference
from airgap.progress import format_bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be written.

    Attributes:
        contents: The contents but for `files`.
        framing: All bytes of the tar that are no blob: its head, what lies before each blob, and
            its end.
        volumes: The files that joined are the tar.
        bodies: Digest to bytes of manifests and indexes, which are here already.
        sources: Digest to the image through which each other blob is fetched.
    """

    contents: Contents
    framing: tuple[Piece, ...]
    volumes: tuple[Volume, ...]
    bodies: Mapping[str, bytes]
    sources: Mapping[str, Reference]

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


def make_plan(contents: Contents, images: Sequence[ResolvedImage], volume_bytes: int = 0) -> Plan:
    """Lays out the tar: manifests first, then configs and layers, large ones first.

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
                raise IntegrityError(f"{image.reference} states a wrong size for {blob.digest}")
            sources.setdefault(blob.digest, image.reference)
    _check_sizes(images, sizes | {digest: len(body) for digest, body in bodies.items()})
    entries = tuple(image.entry for image in images)
    documents = {
        digest: document for image in images for digest, document in image.documents.items()
    }
    lengths = {digest: len(body) for digest, body in bodies.items()}
    head = framing.head(
        entries, documents, lengths, contents.host_platforms, contents.created_seconds
    )
    fetched = [(digest, size) for digest, size in sizes.items() if digest not in lengths]
    fetched.sort(key=lambda blob: -blob[1])
    blobs = framing.place_blobs(len(head), [*lengths.items(), *fetched])
    pieces = tuple(framing.pieces(head, blobs, contents.created_seconds))
    volumes = cut(pieces[-1].offset + len(pieces[-1].data), volume_bytes)
    return Plan(replace(contents, images=entries, blobs=blobs), pieces, volumes, bodies, sources)


def _check_sizes(images: Sequence[ResolvedImage], sizes: Mapping[str, int]) -> None:
    """Each index and manifest states the size of what is carried, also where another brings it."""
    for image in images:
        for one in image.documents.values():
            for child in one.manifests if isinstance(one, Index) else one.blobs:
                if sizes.get(child.digest, child.size) != child.size:
                    raise IntegrityError(
                        f"{image.reference} states a wrong size for {child.digest}"
                    )


def document(plan: Plan) -> dict[str, object]:
    """The plan for programs."""
    contents = plan.contents
    return {
        "name": contents.name,
        "serial": contents.serial,
        "images": [
            {"name": image.name, "digest": image.digest, "platforms": image.platforms}
            for image in contents.images
        ],
        "blobs": len(contents.blobs),
        "fetch_bytes": plan.fetch_bytes,
        "tar_bytes": plan.tar_bytes,
        "volumes": [volume.name for volume in plan.volumes],
    }


def describe(plan: Plan) -> str:
    """The plan as people read it: a line an image, then the sums."""
    lines = [
        f"{image.reference.familiar}  {', '.join(image.platforms)}  {image.digest[:19]}  "
        f"({', '.join(image.roles)})"
        for image in plan.contents.images
    ]
    blobs = len(plan.contents.blobs)
    volumes = f", in {len(plan.volumes)} volumes" if len(plan.volumes) > 1 else ""
    size = format_bytes(plan.fetch_bytes)
    lines.append(f"{len(lines)} images, {blobs} blobs, {size} to fetch{volumes}")
    return "\n".join(lines)
