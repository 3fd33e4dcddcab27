"""Manifests and indexes as data. The bytes that were served stay the source of truth.

Formats: OCI image spec `manifest.md`, `image-index.md`, `descriptor.md`; Docker image manifest
version 2, schema 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from airgap.bounded import read_json
from airgap.errors import IntegrityError, NotFoundError
from airgap.limits import LIMITS
from airgap.oci.digest import digest_of, is_digest
from airgap.oci.platform import UNKNOWN, Platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
"""How the media types of Docker's old manifests begin."""

_OTHER_DIGEST = re.compile(r"sha(?:384:[0-9a-f]{96}|512:[0-9a-f]{128})")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9!#$&^_.+-]{1,127}")
# How BuildKit marks attestations in an index (docs/attestations/attestation-storage.md).
_ATTESTATION_OF = "vnd.docker.reference.digest"
_ATTESTATION_TYPE = ("vnd.docker.reference.type", "attestation-manifest")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content.

    Attributes:
        media_type: Of the content.
        digest: Of the content.
        size: Of the content, in bytes.
        platform: For an index's children, if stated.
        annotations: Name to value.
        urls: Other addresses of the content, which engines ask first.
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()

    @property
    def attests(self) -> str | None:
        """The digest of the manifest that this attestation manifest is about, if it is one."""
        key, value = _ATTESTATION_TYPE
        if self.annotations.get(key) != value:
            return None
        return self.annotations.get(_ATTESTATION_OF)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of an image or of another artifact.

    Attributes:
        media_type: Its own.
        config: Of the image.
        layers: In order.
        artifact_type: What it is, where it says so.
        subject: The digest of the manifest that it is about; empty if it is about none.
        platform: What its config states, where somebody has read that: see `tree`.
    """

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str = ""
    subject: str = ""
    platform: Platform | None = None

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config first, then layers."""
        return (self.config, *self.layers)


@dataclass(frozen=True, slots=True)
class Index:
    """An image index (Docker: manifest list).

    Attributes:
        media_type: Its own.
        manifests: Its entries, which may be of any type.
        blobs: Those entries that are carried and are neither manifests nor indexes: see `tree`.
    """

    media_type: str
    manifests: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...] = ()


def parse(body: bytes, media_type: str, what: str) -> Manifest | Index:
    """Read the bytes of a manifest or an index.

    What the bytes say of their own type holds: registries serve them by it. An index must not be
    read as an image there, nor an image as an index (CVE-2021-41190).

    Args:
        body: The bytes, their digest already checked.
        media_type: As the registry or the descriptor states it.
        what: The name to use in errors.

    Raises:
        IntegrityError: The bytes are not a manifest or index of that kind, or pass a limit.
        NotFoundError: They use another digest than sha256.
    """
    document = load_json(body, what, LIMITS.manifest_bytes)
    stated = document.get("mediaType")
    if stated in ("", None):  # Go writes an empty one for none
        stated = media_type
    if _kind(stated) is None or _kind(stated) != _kind(media_type):
        raise _broken(what, f"says it is {_shown(stated)} and was served as {media_type!r}")
    if stated in INDEX_TYPES:
        _refuse_fields(document, ("config", "layers"), stated, what)
        entries = _list(document, "manifests", what)
        return Index(stated, tuple(_descriptor(entry, what) for entry in entries))
    _refuse_fields(document, ("manifests",), stated, what)
    layers = _list(document, "layers", what)
    artifact, subject = document.get("artifactType") or "", document.get("subject")
    if not isinstance(artifact, str):
        raise _broken(what, "has an artifactType that is not text")
    return Manifest(
        stated,
        _descriptor(document.get("config"), what),
        tuple(_descriptor(layer, what) for layer in layers),
        artifact,
        _descriptor(subject, what).digest if subject else "",
    )


def is_index(media_type: str) -> bool:
    """Return whether it is an index's media type."""
    return media_type in INDEX_TYPES


def is_document(media_type: str) -> bool:
    """Return whether this is the media type of a manifest or an index; all others are blobs."""
    return media_type in INDEX_TYPES + MANIFEST_TYPES


def sniffed_type(body: bytes) -> str:
    """Return the media type of a manifest or index that a registry served without one.

    Returns:
        What the document says, or what its fields show; empty if it is neither.
    """
    try:
        document = load_json(body, "", LIMITS.manifest_bytes)
    except IntegrityError:
        return ""
    stated = document.get("mediaType")
    if isinstance(stated, str) and stated:
        return stated
    if document.get("schemaVersion") == 1:
        return SCHEMA_1
    if "manifests" in document:
        return OCI_INDEX
    return OCI_MANIFEST if {"config", "layers"} <= document.keys() else ""


def _kind(media_type: object) -> str | None:
    if media_type in INDEX_TYPES:
        return "index"
    return "manifest" if media_type in MANIFEST_TYPES else None


def blobs_of(documents: Mapping[str, Manifest | Index]) -> dict[str, Descriptor]:
    """Return digest to descriptor, of all configs, layers and other blobs of manifests and indexes.

    Args:
        documents: Digest to manifest or index.
    """
    return {blob.digest: blob for document in documents.values() for blob in document.blobs}


def filter_index(
    body: bytes, carried: Collection[str], moved: Mapping[str, bytes] | None = None
) -> bytes:
    """Return an index with only the included entries; the same output for the same input.

    Args:
        body: The bytes of the index as it was served, already read by `parse`.
        carried: Digests of the manifests that are there.
        moved: Digest to the new bytes of an entry that is an index and has others now.

    Returns:
        The bytes as they were if nothing is missing; else others, with another digest.
    """
    document = json.loads(body)
    named = document["manifests"] or []
    kept = [
        {**entry, "digest": digest_of(new), "size": len(new)}
        if (new := (moved or {}).get(entry["digest"]))
        else entry
        for entry in named
        if entry["digest"] in carried
    ]
    if kept == named:
        return body
    return json.dumps({**document, "manifests": kept}, separators=(",", ":")).encode()


def config_platform(body: bytes, what: str) -> Platform | None:
    """Return the platform that an image config states (OCI image spec `config.md`), if it does.

    Raises:
        IntegrityError: The bytes are not an image config.
    """
    return _platform(load_json(body, what, LIMITS.config_bytes), what)


def load_json(body: bytes, what: str, limit: int) -> dict[str, Any]:
    """Read one JSON object within limits of size and depth.

    Raises:
        IntegrityError: Not a JSON object, too large, or too deep.
    """
    if len(body) > limit:
        raise _broken(what, f"is larger than {limit} bytes")
    try:
        document = read_json(body, limit)
    except ValueError as error:
        raise _broken(what, f"is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise _broken(what, "is not a JSON object")
    return document


def _refuse_fields(
    document: dict[str, Any], keys: tuple[str, ...], media_type: str, what: str
) -> None:
    """Refuse a document that is both an image and an index (CVE-2021-41190)."""
    for key in keys:
        if document.get(key):
            raise _broken(what, f"has {key!r}, which {media_type} has not")


def _list(document: dict[str, Any], key: str, what: str) -> list[Any]:
    value = document.get(key)
    if value is None and key in document:
        return []  # how Go writes a list that nobody made
    if not isinstance(value, list) or len(value) > LIMITS.manifest_entries:
        raise _broken(what, f"has no list {key!r} of at most {LIMITS.manifest_entries} entries")
    return value


def _descriptor(entry: object, what: str) -> Descriptor:
    if not isinstance(entry, dict):
        raise _broken(what, "has a descriptor that is not an object")
    media_type, digest, size = entry.get("mediaType"), entry.get("digest"), entry.get("size")
    if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
        raise _broken(what, f"has a descriptor with the media type {_shown(media_type)}")
    if isinstance(digest, str) and _OTHER_DIGEST.fullmatch(digest):
        raise NotFoundError(
            f"{what[:300]} uses digests of another kind than sha256: {digest[:20]}…",
            meaning="A bundle, and the mirror's registry, name everything by sha256.",
            remedy="have the image pushed again with sha256 digests, or leave it out",
        )
    if not isinstance(digest, str) or not is_digest(digest):
        raise _broken(what, f"has a descriptor with the digest {_shown(digest)}")
    if type(size) is not int or not 0 <= size <= LIMITS.blob_bytes:
        raise _broken(what, f"has a descriptor with the size {_shown(size)}")
    annotations = entry.get("annotations") or {}
    if not isinstance(annotations, dict) or not all(
        isinstance(value, str) for value in annotations.values()
    ):
        raise _broken(what, "has annotations that are not a mapping of text to text")
    stated = entry.get("platform")
    if stated is not None and not isinstance(stated, dict):
        raise _broken(what, "has a platform that is not an object")
    platform = _platform(stated, what) if stated else None
    urls = entry.get("urls") or []
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise _broken(what, "has urls that are not a list of text")
    return Descriptor(media_type, digest, size, platform, annotations, tuple(urls))


def _platform(fields: dict[str, Any], what: str) -> Platform | None:
    """Return the platform in an object's fields; None where it states no architecture.

    A text that nobody could ask for is an unknown platform: it serves no other.
    """
    values = [fields.get(key) for key in ("os", "architecture", "variant", "os.version")]
    parts = ["" if value is None else value for value in values]
    features = fields.get("os.features") or []
    texts = [*parts, *features] if isinstance(features, list) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise _broken(what, "has a platform whose fields are not text")
    os, architecture, variant, version = parts
    if not architecture:
        return None
    platform = Platform.of(os, architecture, variant, version, tuple(features))
    return platform if platform.is_well_formed else UNKNOWN


def _shown(value: object) -> str:
    return repr(value)[:100]


def _broken(what: str, why: str) -> IntegrityError:
    return IntegrityError(f"{what[:300]} {why}", meaning="It cannot be used.")
