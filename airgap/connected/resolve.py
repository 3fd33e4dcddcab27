"""From names to digests: which manifests and blobs a request comes to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from airgap.bundle.contents import ImageEntry
from airgap.connected.registry_protocol import Registry
from airgap.errors import IntegrityError, NotFoundError
from airgap.oci import image_tree
from airgap.oci.artifact import artifact
from airgap.oci.manifest import Descriptor, Index, Manifest, blobs_of, is_document, is_index
from airgap.oci.platform import Platform, preference
from airgap.oci.reference import Reference
from airgap.oci.retry import retry
from airgap.spec.bundle_spec import Request, WantedImage

_HOST = re.compile(r"https?://([A-Za-z0-9._:\[\]-]{1,100})(?:[/?#]|$)")
# Manifests of formats that nothing reads any more. Registries serve no such thing as a blob.
_FORGOTTEN = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.oci.artifact.manifest.v1+json",
    "application/vnd.cncf.oras.artifact.manifest.v1+json",
)


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """An image with everything that is carried of it.

    Attributes:
        entry: What the contents will say.
        bodies: Digest to bytes of its index and manifests, in the order to carry them.
        documents: The same, parsed.
        blobs: Configs, layers, and entries of indexes that are blobs.
        notes: What people should know of it, a line each.
        configs: Digest of a manifest to the platform of its config, where that was read; also of
            manifests that are not carried.
    """

    entry: ImageEntry
    bodies: Mapping[str, bytes]
    documents: Mapping[str, Manifest | Index]
    blobs: tuple[Descriptor, ...]
    notes: tuple[str, ...] = ()
    configs: Mapping[str, Platform] = field(default_factory=dict)

    @property
    def reference(self) -> Reference:
        """Its name, parsed."""
        return self.entry.reference


def resolve_image(source: Registry, image: WantedImage, pinned: str = "") -> ResolvedImage:
    """Resolve one image, with one request for its tag.

    Args:
        source: Where registries are asked.
        image: What is wanted.
        pinned: The digest that an earlier run resolved the tag to, if there was one.

    Raises:
        NotFoundError: The image or one of its platforms does not exist, or it is no image.
        IntegrityError: What the registry serves is broken.
        AirgapError: Whatever the registry answered; see `Source`.
    """
    reference = image.reference
    resolved = replace(reference, digest=pinned) if pinned else reference
    top, body = source.manifest(resolved)
    upstream = _Upstream(source, reference, {top.digest: body})
    if is_index(top.media_type):
        found = _indexed(upstream, image, top)
    else:
        found = _single(upstream, image, top)
    return replace(found, notes=(*found.notes, *_check_foreign(source, found)))


def resolve_all(
    source: Registry, request: Request, pinned: Mapping[str, str], jobs: int = 1
) -> tuple[ResolvedImage, ...]:
    """Resolve every image of a request, in its order.

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


@dataclass(frozen=True, slots=True)
class _Upstream:
    """A registry as what holds an image: see `image_tree.Holder`.

    Attributes:
        source: Where registries are asked.
        reference: The image.
        bodies: Digest to bytes of what was fetched.
        wants: Which entries of indexes are looked at.
    """

    source: Registry
    reference: Reference
    bodies: dict[str, bytes]
    wants: Callable[[Descriptor], bool] = field(default=lambda _: True)

    def has(self, entry: Descriptor) -> bool:
        """Return whether an entry is wanted; the index has to state its size rightly."""
        if not self.wants(entry):
            return False
        if is_document(entry.media_type):
            if len(self.document(entry.digest)) != entry.size:
                raise wrong_size(self.reference, entry.digest)
            return True
        try:
            _open_blob(self.source, self.reference, entry)
        except NotFoundError:
            return False
        return True

    def document(self, digest: str) -> bytes:
        if digest not in self.bodies:
            try:
                _, body = self.source.manifest(replace(self.reference, digest=digest))
            except NotFoundError as error:
                raise NotFoundError(
                    f"{self.reference} names {digest}, which cannot be had: {error.message}",
                    meaning="Its index is not whole upstream, or names what is not an image.",
                    remedy="include only the platforms that are there: --platform PLATFORM",
                ) from error
            self.bodies[digest] = body
        return self.bodies[digest]

    def config(self, config: Descriptor) -> bytes:
        return self.source.small_blob(self.reference, config)

    def tree(
        self, top: Descriptor, wants: Callable[[Descriptor], bool]
    ) -> dict[str, Manifest | Index]:
        """Return the documents of an image, of those entries that are wanted."""
        holder = replace(self, wants=wants)
        return image_tree.read_tree(top.digest, top.media_type, str(self.reference), holder)


def _indexed(upstream: _Upstream, image: WantedImage, top: Descriptor) -> ResolvedImage:
    """Return an image with an index: with all of its entries, or with those for some platforms."""
    if not image.platforms:
        seen = documents = upstream.tree(top, lambda entry: entry.media_type not in _FORGOTTEN)
        platforms = image_tree.carried_platforms(top.digest, documents)
    else:
        seen = upstream.tree(top, lambda entry: _is_looked_at(entry, image.platforms))
        chosen = _choose(image, image.platforms, top.digest, seen)
        digests = {item.descriptor.digest for item in chosen}
        digests |= image_tree.attested(top.digest, seen, digests)
        digests |= image_tree.holders(top.digest, seen, digests)
        digests |= image_tree.attested(top.digest, seen, digests)
        documents = upstream.tree(
            top, lambda entry: is_document(entry.media_type) and entry.digest in digests
        )
        images = _images(image, chosen, documents)
        platforms = list(
            dict.fromkeys(str(item.platform.plain) for item in images if item.platform)
        )
    blobs = tuple(blobs_of(documents).values())
    if not blobs:
        raise NotFoundError(
            f"{image.reference} is an empty index",
            meaning="It names no image, so there is nothing to include.",
            remedy="check the name and the tag",
        )
    omitted = image_tree.omitted_platforms(top.digest, documents, platforms)
    entry = ImageEntry(
        str(image.reference),
        top.digest,
        documents[top.digest].media_type,
        tuple(platforms),
        tuple(omitted),
        image.roles,
    )
    bodies = {digest: upstream.bodies[digest] for digest in documents}
    notes = tuple(_left_out(entry, documents))
    return ResolvedImage(entry, bodies, documents, blobs, notes, _configs(seen))


def _configs(documents: Mapping[str, Manifest | Index]) -> dict[str, Platform]:
    return {
        digest: document.platform
        for digest, document in documents.items()
        if isinstance(document, Manifest) and document.platform
    }


def _single(upstream: _Upstream, image: WantedImage, top: Descriptor) -> ResolvedImage:
    """Return an image without an index has the platform that its config states.

    One that states none is good for every platform, as it is for the engines.
    """
    documents = upstream.tree(top, lambda _: False)
    document = documents[top.digest]
    if not isinstance(document, Manifest):
        raise IntegrityError(f"{image.reference} is not a manifest")
    if what := artifact(document):
        raise NotFoundError(
            f"{image.reference} is not an image, it is {what}",
            meaning="A bundle includes images, and what their indexes name.",
            remedy="leave it out, and copy it with the tool that made it",
        )
    found = image_tree.with_platform(document, str(image.reference), upstream.config).platform
    if found is not None:
        _check_single(image, found)
    entry = ImageEntry(
        str(image.reference),
        top.digest,
        document.media_type,
        (str(found.plain),) if found else (),
        (),
        image.roles,
    )
    return ResolvedImage(
        entry, {top.digest: upstream.bodies[top.digest]}, documents, document.blobs
    )


def _check_single(image: WantedImage, platform: Platform) -> None:
    """Make sure that a platform serves what is wanted.

    Raises:
        NotFoundError: It serves nothing that is wanted, or not all that somebody named.
    """
    missing = [item for item in image.named if preference(item, platform) is None]
    if missing or (image.platforms and not _serves(platform, image.platforms)):
        raise _not_made_for(image.reference, missing or image.platforms, [str(platform)])


def _serves(platform: Platform, platforms: Iterable[Platform]) -> bool:
    return any(preference(name, platform) is not None for name in platforms)


def _is_looked_at(entry: Descriptor, platforms: Iterable[Platform]) -> bool:
    """Return whether an entry may lead to an image for a platform, by the index alone."""
    if entry.attests is not None or not is_document(entry.media_type):
        return False
    if entry.platform is None:
        return True
    return is_index(entry.media_type) and _serves(entry.platform, platforms)


def _choose(
    image: WantedImage,
    platforms: Iterable[Platform],
    digest: str,
    documents: Mapping[str, Manifest | Index],
) -> list[image_tree.Entry]:
    """Return the entries that engines may choose for platforms.

    Raises:
        NotFoundError: There is none for one of them; all of those are named.
    """
    found = list(image_tree.entries(digest, documents))
    images = [item for item in found if _is_image(item, documents)]
    chosen = {item: image_tree.best(iter(images), item) for item in platforms}
    if not images:
        raise _no_image(image.reference, found, documents)
    if missing := [platform for platform, entries in chosen.items() if not entries]:
        known = [str(item.platform.plain) for item in images if item.platform]
        available = [name for name in dict.fromkeys(known) if not name.startswith("unknown")]
        raise _not_made_for(image.reference, missing, available)
    return [entry for entries in chosen.values() for entry in entries]


def _images(
    image: WantedImage,
    chosen: Iterable[image_tree.Entry],
    documents: Mapping[str, Manifest | Index],
) -> list[image_tree.Entry]:
    """Return the chosen entries that are images. Those with a stated platform are read only here.

    Raises:
        NotFoundError: All that engines may choose for a platform are artifacts.
    """
    images = [item for item in chosen if _is_image(item, documents)]
    for platform in image.platforms:
        if not image_tree.best(iter(images), platform):
            raise _no_image(image.reference, image_tree.best(iter(chosen), platform), documents)
    return images


def _no_image(
    reference: Reference,
    found: Iterable[image_tree.Entry],
    documents: Mapping[str, Manifest | Index],
) -> NotFoundError:
    """Return the error for an index that names no image."""
    named = [(item.descriptor, documents.get(item.descriptor.digest)) for item in found]
    words = dict.fromkeys(
        artifact(document) if isinstance(document, Manifest) else f"a blob of {item.media_type}"
        for item, document in named
    )
    return NotFoundError(
        f"{reference} is not an image, its index names {', '.join(words) or 'nothing'}",
        meaning="There is nothing in it for a platform.",
        remedy="leave it out, or include it as it is: --all-platforms"
        if words
        else "check the name",
    )


def wrong_size(reference: Reference, digest: str) -> IntegrityError:
    """Return the error for a descriptor that does not fit what it names."""
    return IntegrityError(
        f"{reference} states a wrong size for {digest}",
        meaning="No tool can verify this image: its index or manifest is wrong.",
        remedy="leave the image out, or have it made again",
    )


def _is_image(entry: image_tree.Entry, documents: Mapping[str, Manifest | Index]) -> bool:
    document = documents.get(entry.descriptor.digest)
    if isinstance(document, Manifest) and artifact(document):
        return False
    return is_document(entry.descriptor.media_type)


def _left_out(entry: ImageEntry, documents: Mapping[str, Manifest | Index]) -> Iterable[str]:
    """Return what is not carried of an index, other than the platforms that the contents name.

    Attestations of what is left out are not named.
    """
    found: dict[str, Descriptor] = {}
    for document in documents.values():
        if isinstance(document, Index):
            carried = {*documents, *(blob.digest for blob in document.blobs)}
            found |= {
                manifest.digest: manifest
                for manifest in document.manifests
                if manifest.digest not in carried
                and (manifest.attests is None or manifest.attests in carried)
            }
    names = [
        _described(item)
        for item in found.values()
        if item.platform is None or str(item.platform.plain) not in entry.omitted
    ]
    if names:
        few = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
        yield (
            f"{entry.reference.familiar}: {len(names)} entries of its index that state no platform "
            f"or no image are not included: {few}"
        )


def _described(entry: Descriptor) -> str:
    kind = "" if is_document(entry.media_type) else f" ({entry.media_type})"
    return f"{entry.digest[:19]}{kind}"


def _check_foreign(source: Registry, image: ResolvedImage) -> tuple[str, ...]:
    """Look for layers that a manifest says are elsewhere: the registry must have them, too.

    Nothing is fetched from the addresses that a manifest names.

    Returns:
        What people should know of them, a line each.

    Raises:
        NotFoundError: The registry does not have one.
    """
    foreign = {
        blob.digest: blob
        for blob in image.blobs
        if blob.urls or "foreign" in blob.media_type or "nondistributable" in blob.media_type
    }
    for blob in foreign.values():
        try:
            _open_blob(source, image.reference, blob)
        except NotFoundError as error:
            raise NotFoundError(
                f"{image.reference} has a foreign layer that its registry does not have: "
                f"{blob.digest}",
                meaning=f"Its manifest says that it is at {_host_of(blob)}, and airgap fetches "
                "from registries alone.",
                remedy="copy the image with all of its layers to a registry of yours, and name it "
                "there",
            ) from error
    hosts = dict.fromkeys(_host_of(blob) for blob in foreign.values() if blob.urls)
    if not hosts:
        return ()
    return (
        f"{image.reference.familiar}: its manifest says that layers are at {', '.join(hosts)}: "
        "Docker and BuildKit ask there first, and may fail on a host without a network",
    )


def _open_blob(source: Registry, reference: Reference, blob: Descriptor) -> None:
    """Make sure that a registry has a blob, before hours are spent on others.

    Raises:
        NotFoundError: It does not.
        AirgapError: Whatever else the registry answered.
    """

    def look() -> None:
        with source.blob(reference, blob.digest, blob.size, 0):
            """It is there."""

    retry(look, source.attempts(time.sleep))


def _host_of(blob: Descriptor) -> str:
    """Return the server that a descriptor names, fit to be shown."""
    host = next((_HOST.match(url) for url in blob.urls), None)
    return host[1] if host else "an address that is not stated"


def _not_made_for(
    reference: Reference, missing: Iterable[Platform], available: Iterable[str]
) -> NotFoundError:
    return NotFoundError(
        f"{reference} is not made for {', '.join(map(str, missing))}",
        meaning=f"It has {', '.join(available) or 'no platform'}.",
        remedy="give this image its own list of platforms in the spec, or leave it out",
    )
