"""From names to digests: which manifests and blobs a request comes to."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from airgap.bundle.contents import ImageEntry
from airgap.connected.source import Source
from airgap.errors import IntegrityError, NotFoundError
from airgap.oci import manifest
from airgap.oci.manifest import Descriptor, Index, Manifest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.spec.bundle_spec import Request, WantedImage


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """An image with everything that is carried of it.

    Attributes:
        entry: What the contents will say.
        bodies: Digest to bytes of its index and manifests, in the order to carry them.
        documents: The same, parsed.
        blobs: Configs and layers.
    """

    entry: ImageEntry
    bodies: Mapping[str, bytes]
    documents: Mapping[str, Manifest | Index]
    blobs: tuple[Descriptor, ...]

    @property
    def reference(self) -> Reference:
        """Its name, parsed."""
        return self.entry.reference


def resolve_image(source: Source, image: WantedImage, pinned: str = "") -> ResolvedImage:
    """Resolves one image, with one request for its tag.

    Args:
        source: Where registries are asked.
        image: What is wanted.
        pinned: The digest that an earlier run resolved the tag to, if there was one.

    Raises:
        NotFoundError: The image or one of its platforms does not exist.
        AirgapError: Whatever the registry answered; see `Source`.
    """
    reference = image.reference
    asked = replace(reference, digest=pinned) if pinned else reference
    top, body = source.manifest(asked)
    document = manifest.parse(body, top.media_type, str(reference))
    if isinstance(document, Manifest):
        return _single(source, image, top.digest, body, document)
    return _indexed(source, image, top.digest, body, document)


def resolve_all(
    source: Source, request: Request, pinned: Mapping[str, str], jobs: int = 1
) -> tuple[ResolvedImage, ...]:
    """Resolves every image of a request, in its order.

    Args:
        source: Where registries are asked.
        request: What is wanted.
        pinned: Fully qualified name to the digest that an earlier run resolved.
        jobs: How many are resolved at once.

    Raises:
        AirgapError: As for `resolve_image`, of the first image that fails.
    """

    def resolve(image: WantedImage) -> ResolvedImage:
        known = pinned.get(str(image.reference), "")
        return resolve_image(source, image, known)

    pool = ThreadPoolExecutor(jobs)
    try:
        return tuple(pool.map(resolve, request.images))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _indexed(
    source: Source, image: WantedImage, digest: str, body: bytes, index: Index
) -> ResolvedImage:
    children = {
        child.platform: child
        for child in reversed(index.manifests)
        if child.platform and child.attests is None and child.platform.os != "unknown"
    }
    available = list(reversed(children))
    wanted = image.platforms or tuple(available)
    _check_available(image.reference, wanted, available)
    kept = [children[platform] for platform in wanted]
    digests = {child.digest for child in kept}
    kept += [child for child in index.manifests if child.attests in digests]
    bodies = {digest: body}
    blobs: list[Descriptor] = []
    documents: dict[str, Manifest | Index] = {digest: index}
    for child in kept:
        _, inner = source.manifest(replace(image.reference, digest=child.digest))
        if len(inner) != child.size:
            raise IntegrityError(f"{image.reference} states a wrong size for {child.digest}")
        document = manifest.parse(inner, child.media_type, str(image.reference))
        if isinstance(document, Index):
            raise NotFoundError(f"{image.reference} has an index inside its index")
        bodies[child.digest], documents[child.digest] = inner, document
        blobs += document.blobs
    carried = tuple(str(platform) for platform in wanted)
    omitted = tuple(str(platform) for platform in available if str(platform) not in carried)
    entry = ImageEntry(
        str(image.reference), digest, index.media_type, carried, omitted, image.roles
    )
    return ResolvedImage(entry, bodies, documents, tuple(blobs))


def _single(
    source: Source, image: WantedImage, digest: str, body: bytes, document: Manifest
) -> ResolvedImage:
    """An image without an index has one platform, which its config states."""
    config = source.small_blob(image.reference, document.config)
    platform = manifest.config_platform(config, str(image.reference))
    _check_available(image.reference, image.named, [platform])
    if image.platforms and platform not in image.platforms:
        _check_available(image.reference, image.platforms, [platform])
    entry = ImageEntry(
        str(image.reference), digest, document.media_type, (str(platform),), (), image.roles
    )
    return ResolvedImage(entry, {digest: body}, {digest: document}, document.blobs)


def _check_available(
    reference: Reference, wanted: tuple[Platform, ...], available: list[Platform]
) -> None:
    missing = [str(platform) for platform in wanted if platform not in available]
    if missing:
        raise NotFoundError(
            f"{reference} is not made for {', '.join(missing)}",
            meaning=f"It has {', '.join(map(str, available)) or 'no platform'}.",
            remedy="give this image its own list of platforms in the spec, or leave it out",
        )
