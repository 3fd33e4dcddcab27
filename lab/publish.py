"""Pushes made-up images to a registry, byte for byte as a test wants them."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

Descriptor = dict[str, Any]
"""As in the OCI image specification, descriptor.md."""

_OCI = "application/vnd.oci.image."
_DOCKER = "application/vnd.docker."
_IN_TOTO = "application/vnd.in-toto+json"
_CREATED = "2026-01-01T00:00:00Z"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Media:
    """The media types of one family of manifests."""

    index: str
    manifest: str
    config: str
    layer: str


OCI = Media(
    index=f"{_OCI}index.v1+json",
    manifest=f"{_OCI}manifest.v1+json",
    config=f"{_OCI}config.v1+json",
    layer=f"{_OCI}layer.v1.tar+gzip",
)
DOCKER = Media(
    index=f"{_DOCKER}distribution.manifest.list.v2+json",
    manifest=f"{_DOCKER}distribution.manifest.v2+json",
    config=f"{_DOCKER}container.image.v1+json",
    layer=f"{_DOCKER}image.rootfs.diff.tar.gzip",
)


@dataclass(frozen=True, slots=True)
class Image:
    """An image for one platform.

    Attributes:
        platform: E.g. `linux/arm64` or `linux/arm/v7`.
        layers: Gzipped tar files.
        config: The `config` object of the image configuration: Entrypoint, Cmd, Env and so on.
    """

    platform: str
    layers: Sequence[Path]
    config: Mapping[str, object] = field(default_factory=dict)


class Publisher:
    """Pushes to a registry.

    Args:
        address: `host:port` of a registry that takes pushes, or a whole `http(s)://` address.
        session: For credentials and a CA.
    """

    def __init__(self, address: str, session: requests.Session | None = None) -> None:
        self._base = address if "://" in address else f"http://{address}"
        self._session = session or requests.Session()

    def publish(
        self,
        repository: str,
        tags: Sequence[str],
        images: Sequence[Image],
        *,
        media: Media = OCI,
        attested: bool = False,
    ) -> str:
        """Pushes an index of images, each tagged, and returns its digest.

        Args:
            repository: E.g. `docker.io/library/alpine`.
            tags: All name the same index.
            images: One for each platform.
            media: Media types of all documents.
            attested: Adds a made-up attestation for each image, as BuildKit does.
        """
        descriptors = [self.push_image(repository, image, media) for image in images]
        if attested:
            descriptors += [self._attest(repository, subject) for subject in descriptors]
        index = {"schemaVersion": 2, "mediaType": media.index, "manifests": descriptors}
        return self._tag(repository, tags, index)

    def publish_single(
        self, repository: str, tags: Sequence[str], image: Image, *, media: Media = OCI
    ) -> str:
        """Pushes an image without an index, and returns its manifest's digest."""
        return self._tag(repository, tags, self._manifest(repository, image, media))

    def push_image(self, repository: str, image: Image, media: Media = OCI) -> Descriptor:
        """Pushes an image without a tag, and returns the descriptor that an index has of it."""
        manifest = self._manifest(repository, image, media)
        system, architecture, *variant = image.platform.split("/")
        platform = {"architecture": architecture, "os": system}
        if variant:
            platform["variant"] = variant[0]
        return {**self.push_manifest(repository, None, manifest), "platform": platform}

    def _manifest(self, repository: str, image: Image, media: Media) -> dict[str, Any]:
        system, architecture, *variant = image.platform.split("/")
        config: dict[str, Any] = {"architecture": architecture, "os": system, "created": _CREATED}
        if variant:
            config["variant"] = variant[0]
        config["config"] = dict(image.config)
        config["rootfs"] = {"type": "layers", "diff_ids": [_diff_id(each) for each in image.layers]}
        config["history"] = [{"created": _CREATED} for _ in image.layers]
        layers = [self.push_file(repository, layer, media.layer) for layer in image.layers]
        return {
            "schemaVersion": 2,
            "mediaType": media.manifest,
            "config": self.push_blob(repository, _encoded(config), media.config),
            "layers": layers,
        }

    def _attest(self, repository: str, subject: Descriptor) -> Descriptor:
        """Pushes an attestation; its form is in BuildKit's attestation-storage.md."""
        statement = {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://slsa.dev/provenance/v0.2",
            "subject": [{"name": repository, "digest": {"sha256": subject["digest"][7:]}}],
            "predicate": {"builder": {"id": ""}, "buildType": "https://example.com/lab"},
        }
        layer = self.push_blob(repository, _encoded(statement), _IN_TOTO)
        config = {"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {}}
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI.manifest,
            "config": self.push_blob(repository, _encoded(config), OCI.config),
            "layers": [layer],
        }
        annotations = {
            "vnd.docker.reference.digest": subject["digest"],
            "vnd.docker.reference.type": "attestation-manifest",
        }
        return {
            **self.push_manifest(repository, None, manifest),
            "annotations": annotations,
            "platform": {"architecture": "unknown", "os": "unknown"},
        }

    def _tag(self, repository: str, tags: Sequence[str], document: Mapping[str, Any]) -> str:
        pushed = [self.push_manifest(repository, tag, document) for tag in tags]
        return str(pushed[0]["digest"])

    def push_manifest(
        self, repository: str, tag: str | None, document: Mapping[str, Any] | bytes
    ) -> Descriptor:
        """Pushes a manifest or an index, under its digest alone if there is no tag.

        Args:
            repository: Where to.
            tag: Its name there.
            document: The object, or its bytes where they matter.
        """
        data = document if isinstance(document, bytes) else _encoded(document)
        media_type = json.loads(data)["mediaType"]
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        address = f"{self._base}/v2/{repository}/manifests/{tag or digest}"
        headers = {"Content-Type": media_type}
        self._session.put(address, data=data, headers=headers, timeout=60).raise_for_status()
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def push_blob(self, repository: str, data: bytes, media_type: str) -> Descriptor:
        """Pushes bytes as a blob."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        address = self._begin(repository)
        self._session.put(
            address, params={"digest": digest}, data=data, timeout=60
        ).raise_for_status()
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def push_file(self, repository: str, path: Path, media_type: str) -> Descriptor:
        """Pushes a file as a blob, unless the repository has it."""
        digest = file_digest(path)
        known = f"{self._base}/v2/{repository}/blobs/{digest}"
        if self._session.head(known, timeout=60).status_code == requests.codes.not_found:
            with path.open("rb") as stream:
                self._session.put(
                    self._begin(repository), params={"digest": digest}, data=stream, timeout=600
                ).raise_for_status()
        return {"mediaType": media_type, "digest": digest, "size": path.stat().st_size}

    def _begin(self, repository: str) -> str:
        begun = self._session.post(f"{self._base}/v2/{repository}/blobs/uploads/", timeout=60)
        begun.raise_for_status()
        return begun.headers["Location"]


def file_digest(path: Path) -> str:
    """The digest of a file's bytes, e.g. `sha256:ab..`."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _diff_id(layer: Path) -> str:
    """The digest of a layer's tar before compression."""
    digest = hashlib.sha256()
    with gzip.open(layer) as tar:
        while chunk := tar.read(_CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()
