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
from airgap.errors import IntegrityError
from airgap.limits import LIMITS
from airgap.oci.digest import is_digest
from airgap.oci.platform import Platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)

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
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def attests(self) -> str | None:
        """The digest of the manifest that this attestation manifest is about, if it is one."""
        key, value = _ATTESTATION_TYPE
        if self.annotations.get(key) != value:
            return None
        return self.annotations.get(_ATTESTATION_OF)


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest: its config and layers, in order."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config first, then layers."""
        return (self.config, *self.layers)


@dataclass(frozen=True, slots=True)
class Index:
    """An image index (Docker: manifest list)."""

    media_type: str
    manifests: tuple[Descriptor, ...]

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """Those that it has an image for, whether carried or not."""
        stated = (child.platform for child in self.manifests if child.attests is None)
        return tuple(dict.fromkeys(one for one in stated if one and one.os != "unknown"))


def parse(body: bytes, media_type: str, what: str) -> Manifest | Index:
    """Reads the bytes of a manifest or an index.

    Args:
        body: The bytes, their digest already checked.
        media_type: As the registry or the descriptor states it; the body's own must agree.
        what: The name to use in errors.

    Raises:
        IntegrityError: The bytes are not a manifest or index of that type, or pass a limit.
    """
    document = load_json(body, what, LIMITS.manifest_bytes)
    stated = document.get("mediaType", media_type)
    if stated != media_type:
        raise _broken(what, f"says it is {_shown(stated)} and was served as {media_type!r}")
    if media_type in INDEX_TYPES:
        _refuse_fields(document, ("config", "layers"), media_type, what)
        entries = _list(document, "manifests", what)
        return Index(media_type, tuple(_descriptor(entry, what) for entry in entries))
    if media_type in MANIFEST_TYPES:
        _refuse_fields(document, ("manifests",), media_type, what)
        layers = _list(document, "layers", what)
        return Manifest(
            media_type,
            _descriptor(document.get("config"), what),
            tuple(_descriptor(layer, what) for layer in layers),
        )
    raise _broken(what, f"is of the media type {media_type!r}, which is none of image or index")


def blobs_of(documents: Mapping[str, Manifest | Index]) -> dict[str, Descriptor]:
    """Digest to descriptor, of all configs and layers of some manifests.

    Args:
        documents: Digest to manifest, or to index, which has none.
    """
    return {
        blob.digest: blob
        for document in documents.values()
        if isinstance(document, Manifest)
        for blob in document.blobs
    }


def index_of_carried(body: bytes, carried: Collection[str]) -> bytes:
    """An index with those entries alone whose manifests are carried; the same for the same input.

    Args:
        body: The bytes of the index as it was served, already read by `parse`.
        carried: Digests of the manifests that are there.

    Returns:
        The bytes as they were if nothing is missing; else others, with another digest.
    """
    document = json.loads(body)
    kept = [entry for entry in document["manifests"] if entry["digest"] in carried]
    if kept == document["manifests"]:
        return body
    return json.dumps({**document, "manifests": kept}, separators=(",", ":")).encode()


def config_platform(body: bytes, what: str) -> Platform:
    """The platform that an image config states (OCI image spec `config.md`).

    Raises:
        IntegrityError: The bytes are not an image config.
    """
    platform = _platform(load_json(body, what, LIMITS.config_bytes), what)
    if platform is None:
        raise _broken(what, "states no platform")
    return platform


def load_json(body: bytes, what: str, limit: int) -> dict[str, Any]:
    """Reads one JSON object within limits of size and depth.

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
    """One digest must not be read as an image here and as an index there (CVE-2021-41190)."""
    for key in keys:
        if document.get(key):
            raise _broken(what, f"has {key!r}, which {media_type} has not")


def _list(document: dict[str, Any], key: str, what: str) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list) or len(value) > LIMITS.manifest_entries:
        raise _broken(what, f"has no list {key!r} of at most {LIMITS.manifest_entries} entries")
    return value


def _descriptor(entry: object, what: str) -> Descriptor:
    if not isinstance(entry, dict):
        raise _broken(what, "has a descriptor that is not an object")
    media_type, digest, size = entry.get("mediaType"), entry.get("digest"), entry.get("size")
    if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
        raise _broken(what, f"has a descriptor with the media type {_shown(media_type)}")
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
    return Descriptor(media_type, digest, size, platform, annotations)


def _platform(fields: dict[str, Any], what: str) -> Platform | None:
    """The platform in an object's fields; None if they are absent, null or empty."""
    values = [fields.get(key) for key in ("os", "architecture", "variant")]
    parts = ["" if value is None else value for value in values]
    if not all(isinstance(part, str) for part in parts):
        raise _broken(what, "has a platform whose fields are not text")
    platform = Platform.of(*parts)
    if not platform.os and not platform.architecture:
        return None
    if not platform.is_well_formed:
        raise _broken(what, f"has the platform {_shown(str(platform))}")
    return platform


def _shown(value: object) -> str:
    return repr(value)[:100]


def _broken(what: str, why: str) -> IntegrityError:
    return IntegrityError(f"{what[:300]} {why}", meaning="It cannot be used.")
