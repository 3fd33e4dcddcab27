"""The plan: every blob, its size and its place, known before the first byte is fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from airgap.bundle import framing
from airgap.bundle.contents import BlobEntry, Contents
from airgap.connected.resolve import ResolvedImage
from airgap.errors import IntegrityError
from airgap.oci.reference import Reference
from airgap.progress import format_bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be written.

    Attributes:
        contents: The contents but for `files`.
        head: The tar's bytes before the first blob.
        bodies: Digest to bytes of manifests and indexes, which are here already.
        sources: Digest to the image through which each other blob is fetched.
    """

    contents: Contents
    head: bytes
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
        return framing.end_of(len(self.head), self.contents.blobs) + framing.END_BYTES


def make_plan(contents: Contents, images: Sequence[ResolvedImage]) -> Plan:
    """Lays out the tar: manifests first, then configs and layers, each blob once.

    Args:
        contents: Name, serial and times; its images, blobs and files are replaced.
        images: What is carried.

    Raises:
        IntegrityError: Two images state different sizes for one blob.
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
    entries = tuple(image.entry for image in images)
    documents = {
        digest: document for image in images for digest, document in image.documents.items()
    }
    lengths = {digest: len(body) for digest, body in bodies.items()}
    head = framing.head(
        entries, documents, lengths, contents.host_platforms, contents.created_seconds
    )
    ordered = lengths | {digest: size for digest, size in sizes.items() if digest not in lengths}
    blobs = framing.place_blobs(len(head), ordered.items())
    return Plan(replace(contents, images=entries, blobs=blobs), head, bodies, sources)


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
    }


def describe(plan: Plan) -> str:
    """The plan as people read it: a line an image, then the sums."""
    lines = [
        f"{image.reference.familiar}  {', '.join(image.platforms)}  {image.digest[:19]}  "
        f"({', '.join(image.roles)})"
        for image in plan.contents.images
    ]
    blobs = len(plan.contents.blobs)
    lines.append(f"{len(lines)} images, {blobs} blobs, {format_bytes(plan.fetch_bytes)} to fetch")
    return "\n".join(lines)
