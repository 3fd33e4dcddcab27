"""An image as the tree of indexes and manifests that it is.

An index is a list of entries of any type: images for a platform, further indexes, attestations,
artifacts, blobs. This module is the only one that knows how to walk it. What it works with are
the documents that are at hand: digest to manifest or index, of those that are carried.

An entry that states no platform has that of its manifest's config, as in containerd.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeGuard

from airgap.errors import IntegrityError
from airgap.limits import LIMITS
from airgap.oci.artifact import artifact
from airgap.oci.manifest import (
    Descriptor,
    Index,
    Manifest,
    config_platform,
    is_document,
    is_index,
    parse,
)
from airgap.oci.platform import Platform, preference

Documents = Mapping[str, Manifest | Index]
"""Digest to manifest or index."""


class Holder(Protocol):
    """Whatever holds an image or a part of it: a registry, a bundle, a storage folder."""

    def has(self, entry: Descriptor) -> bool:
        """Return whether it holds that entry of an index."""

    def document(self, digest: str) -> bytes:
        """Return the verified bytes of a manifest or index that it holds."""

    def config(self, config: Descriptor) -> bytes | None:
        """Return the verified bytes of a config; None if they are not here."""


def read_tree(
    digest: str, media_type: str, what: str, holder: Holder
) -> dict[str, Manifest | Index]:
    """Read an image's index or manifest and all below it that is there.

    Args:
        digest: Of the image.
        media_type: Of the image.
        what: The image's name, for errors.
        holder: Where it is.

    Returns:
        Digest to document, each index before its entries.

    Raises:
        IntegrityError: A document is broken, or there are too many, or too many levels.
        AirgapError: Whatever the holder raises.
    """
    found: dict[str, Manifest | Index] = {}
    size = 0

    def read(digest: str, media_type: str) -> None:
        nonlocal size
        body = holder.document(digest)
        size += len(body)
        if len(found) == LIMITS.documents or size > LIMITS.documents_bytes:
            raise _broken(
                what,
                f"has more than {LIMITS.documents} manifests, or than {LIMITS.documents_bytes} "
                "bytes of them",
            )
        found[digest] = parse(body, media_type, what)

    read(digest, media_type)
    waiting = [digest]
    while waiting:
        document = found[waiting.pop()]
        for entry in document.manifests if isinstance(document, Index) else ():
            if not is_document(entry.media_type) or not holder.has(entry):
                continue
            known = found.get(entry.digest)
            if known is None:
                read(entry.digest, entry.media_type)
                waiting.append(entry.digest)
            elif isinstance(known, Index) is not is_index(entry.media_type):
                raise _broken(entry.digest, "is said to be of two media types")
    if _levels(digest, found) > LIMITS.index_depth + 1:
        raise _broken(what, f"has more than {LIMITS.index_depth} levels of indexes")
    return documents_of(digest, _completed(found, what, holder))


def documents_of(digest: str, documents: Documents) -> dict[str, Manifest | Index]:
    """Return the documents that an image has, each index before its entries.

    Args:
        digest: Of the image, which is among the documents.
        documents: Those at hand, perhaps also of other images.
    """
    parents: dict[str, int] = {digest: 0}
    waiting = [digest]
    while waiting:
        for child in _children(waiting.pop(), documents):
            if child not in parents:
                waiting.append(child)
            parents[child] = parents.get(child, 0) + 1
    ordered: dict[str, Manifest | Index] = {}
    ready = [digest]
    for item in ready:  # grows
        ordered[item] = documents[item]
        for child in _children(item, documents):
            parents[child] -= 1
            if parents[child] == 0:
                ready.append(child)
    return ordered


def merge(into: dict[str, Manifest | Index], documents: Documents) -> None:
    """Add the documents of an image to those of others, with all that is known of each.

    Args:
        into: Those of others.
        documents: Those of the image.

    Raises:
        IntegrityError: One has another media type here than there.
    """
    for digest, document in documents.items():
        known = into.setdefault(digest, document)
        if known.media_type != document.media_type:
            raise _broken(digest, "is said to be of two media types")
        if isinstance(known, Manifest) and known.platform is None:
            into[digest] = document


def heights(documents: Documents) -> dict[str, int]:
    """Return digest to how many levels are below a document: 0 for a manifest.

    Args:
        documents: As from `documents_of`: each index before its entries.
    """
    found: dict[str, int] = {}
    for digest in reversed(list(documents)):
        below = [found[child] for child in _children(digest, documents)]
        found[digest] = 1 + max(below, default=-1) if below else 0
    return found


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an index that may be an image for a platform.

    Attributes:
        descriptor: As the index has it.
        platform: What it states, or else its config; None if neither is known.
        stated: Whether the index itself states the platform; engines prefer such entries.
    """

    descriptor: Descriptor
    platform: Platform | None
    stated: bool


def entries(digest: str, documents: Documents) -> Iterator[Entry]:
    """Yield the entries of an image's indexes, carried or not, without indexes and attestations.

    Args:
        digest: Of an index among the documents.
        documents: Those at hand.
    """
    for document in documents_of(digest, documents).values():
        for descriptor in document.manifests if isinstance(document, Index) else ():
            if descriptor.attests is None and not is_index(descriptor.media_type):
                yield _entry(descriptor, documents)


def best(found: Iterator[Entry], platform: Platform) -> list[Entry]:
    """Return the entries that an engine may choose for a platform.

    There are several where an index has the same platform more than once, such as with layers
    compressed in two ways or for several versions of Windows: engines differ in which they take.

    Args:
        found: From `entries`.
        platform: The platform.
    """
    ranked: dict[tuple[bool, int], list[Entry]] = {}
    for entry in found:
        rank = preference(platform, entry.platform) if entry.platform else None
        if rank is not None:
            ranked.setdefault((not entry.stated, rank), []).append(entry)
    return ranked[min(ranked)] if ranked else []


def images_of(digest: str, documents: Documents) -> dict[Platform, Manifest]:
    """Platform to the first image for it, of those that are carried.

    Args:
        digest: Of an index among the documents.
        documents: Those that are carried.
    """
    found: dict[Platform, Manifest] = {}
    for entry in entries(digest, documents):
        document = documents.get(entry.descriptor.digest)
        if entry.platform and _is_image(document):
            found.setdefault(entry.platform.plain, document)
    return found


def image_for(digest: str, documents: Documents, platform: Platform) -> Manifest | None:
    """Return the carried image that serves a platform best.

    Args:
        digest: Of an index among the documents.
        documents: Those that are carried.
        platform: The platform.
    """
    for entry in best(entries(digest, documents), platform):
        document = documents.get(entry.descriptor.digest)
        if _is_image(document):
            return document
    return None


def carried_platforms(digest: str, documents: Documents) -> list[str]:
    """Return the platforms for which an image is carried, in the order of its index."""
    return [str(item) for item in images_of(digest, documents) if item.os != "unknown"]


def omitted_platforms(digest: str, documents: Documents, carried: Collection[str]) -> list[str]:
    """Return the platforms that an image's included indexes state, and that are not included."""
    indexes = {
        item: document
        for item, document in documents_of(digest, documents).items()
        if isinstance(document, Index)
    }
    named = [entry for index in indexes.values() for entry in index.manifests]
    # Of an index that is carried its own entries say it; an artifact has no platform.
    artifacts = {
        item for item, it in documents.items() if isinstance(it, Manifest) and not _is_image(it)
    }
    held = {
        *indexes,
        *artifacts,
        *(blob.digest for index in indexes.values() for blob in index.blobs),
    }
    platforms = [
        entry.platform.plain
        for entry in named
        if entry.platform and entry.attests is None and entry.digest not in held
    ]
    names = dict.fromkeys(str(platform) for platform in platforms if platform.os != "unknown")
    return [name for name in names if name not in carried]


def _is_image(document: Manifest | Index | None) -> TypeGuard[Manifest]:
    """Return whether this is an image's manifest, and not an artifact's."""
    return isinstance(document, Manifest) and not artifact(document)


def _entry(descriptor: Descriptor, documents: Documents) -> Entry:
    document = documents.get(descriptor.digest)
    own = document.platform if isinstance(document, Manifest) else None
    return Entry(descriptor, descriptor.platform or own, descriptor.platform is not None)


def attested(digest: str, documents: Documents, chosen: Collection[str]) -> set[str]:
    """Return the attestations and signatures of manifests, and of each other, in an index.

    Args:
        digest: Of the index.
        documents: Those at hand.
        chosen: Digests of the manifests.
    """
    entries = [
        entry
        for document in documents_of(digest, documents).values()
        for entry in (document.manifests if isinstance(document, Index) else ())
    ]
    found: set[str] = set()
    while True:
        about = {*chosen, *found}  # a signature may be about an attestation
        new = {item.digest for item in entries if _subjects(item, documents) & about} - about
        if not new:
            return found
        found |= new


def _subjects(entry: Descriptor, documents: Documents) -> set[str]:
    """Return the digests of what an entry is about."""
    document = documents.get(entry.digest)
    subject = document.subject if isinstance(document, Manifest) else ""
    return {attest for attest in (entry.attests, subject) if attest}


def holders(digest: str, documents: Documents, chosen: Collection[str]) -> set[str]:
    """Return the indexes of an image that lead to some of its entries.

    Args:
        digest: Of the image.
        documents: Those at hand.
        chosen: Digests of the entries.
    """
    found: set[str] = set()
    for item, document in reversed(documents_of(digest, documents).items()):
        named = document.manifests if isinstance(document, Index) else ()
        if any(entry.digest in chosen or entry.digest in found for entry in named):
            found.add(item)
    return found


def _children(digest: str, documents: Documents) -> list[str]:
    """Return the carried manifests and indexes of an index, each once."""
    document = documents[digest]
    named = document.manifests if isinstance(document, Index) else ()
    return list(dict.fromkeys(item.digest for item in named if item.digest in documents))


def _levels(digest: str, documents: Documents) -> int:
    return heights(documents_of(digest, documents))[digest] + 1


def _completed(documents: Documents, what: str, holder: Holder) -> dict[str, Manifest | Index]:
    """Return the documents with what they do not state themselves.

    Those are the platforms of manifests whose entries state none, and which entries that are
    blobs are here.
    """
    found = dict(documents)
    for digest, document in documents.items():
        if not isinstance(document, Index):
            continue
        found[digest] = with_blobs(document, holder.has)
        for entry in document.manifests:
            child = documents.get(entry.digest)
            if entry.platform is None and isinstance(child, Manifest):
                found[entry.digest] = with_platform(child, what, holder.config)
    return found


def with_blobs(index: Index, has: Callable[[Descriptor], bool]) -> Index:
    """Return an index with those of its entries that are blobs and are here."""
    others = (manifest for manifest in index.manifests if not is_document(manifest.media_type))
    return replace(index, blobs=tuple(other for other in others if has(other)))


def with_platform(
    manifest: Manifest, what: str, read: Callable[[Descriptor], bytes | None]
) -> Manifest:
    """Return a manifest with the platform of its config.

    Args:
        manifest: Of an image; any other is given back as it is.
        what: The image's name, for errors.
        read: Gives the bytes of a config; None if they are not here.

    Raises:
        IntegrityError: The config is broken.
        AirgapError: Whatever `read` raises.
    """
    body = None if artifact(manifest) else read(manifest.config)
    if body is None:
        return manifest
    return replace(manifest, platform=config_platform(body, f"the config of {what}"))


def _broken(what: str, why: str) -> IntegrityError:
    return IntegrityError(f"{what[:300]} {why}", meaning="It cannot be used.")
