"""Images as trees, of every shape that the OCI image spec allows, and a registry's pages of them.

    tree = Tree()
    inner = tree.index(tree.image("linux/arm64"))
    tree.tag("1", tree.index(tree.image("linux/amd64", stated=False), on(inner, "linux/arm64")))
    with Site(tree.pages("lab/app")) as site: ...

They are made here and not with the project's own pieces, which are what is tested.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
EMPTY = "application/vnd.oci.empty.v1+json"

Fields = dict[str, Any]


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def on(descriptor: Fields, platform: str, **more: object) -> Fields:
    """A descriptor that states a platform; `more` are further fields of it."""
    return {**descriptor, "platform": {**_fields(platform), **more}}


class Tree:
    """The documents and blobs of images, and their tags."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}

    def blob(self, data: bytes, media_type: str, **more: object) -> Fields:
        """A blob, and its descriptor with further fields."""
        self.blobs[digest_of(data)] = data
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}

    def document(self, document: object, media_type: str) -> Fields:
        """A manifest or index, and its descriptor."""
        body = json.dumps(document, indent=1).encode()
        self.documents[digest_of(body)] = media_type, body
        return {"mediaType": media_type, "digest": digest_of(body), "size": len(body)}

    def image(
        self,
        platform: str = "linux/amd64",
        text: str = "x",
        *,
        kind: str = LAYER,
        stated: bool = False,
        config: Fields | None = None,
        **more: object,
    ) -> Fields:
        """An image of one layer.

        Args:
            platform: Of its config.
            text: What is in its layer.
            kind: The media type of the layer.
            stated: Whether its descriptor states the platform.
            config: What its config states instead of the platform.
            more: Further fields of the manifest.
        """
        tar = _tar(text)
        said = _fields(platform) if config is None else config
        rootfs = {"type": "layers", "diff_ids": [digest_of(tar)]}
        body = json.dumps({**said, "config": {}, "rootfs": rootfs}).encode()
        found = self.manifest(
            self.blob(body, CONFIG), self.blob(gzip.compress(tar, mtime=0), kind), **more
        )
        return on(found, platform) if stated else found

    def manifest(self, config: Fields, *layers: Fields, **more: object) -> Fields:
        """A manifest of anything."""
        parts = {"config": config, "layers": list(layers)}
        return self.document({"schemaVersion": 2, "mediaType": MANIFEST, **parts, **more}, MANIFEST)

    def artifact(self, artifact_type: str, data: bytes = b"x", **more: object) -> Fields:
        """An artifact in the form of today: an empty config, which is in its descriptor too."""
        config = {**self.blob(b"{}", EMPTY), "data": "e30="}
        return self.manifest(
            config, self.blob(data, artifact_type), artifactType=artifact_type, **more
        )

    def chart(self) -> Fields:
        """A Helm chart."""
        config = self.blob(b'{"name":"x"}', "application/vnd.cncf.helm.config.v1+json")
        return self.manifest(
            config, self.blob(b"chart", "application/vnd.cncf.helm.chart.content.v1.tar+gzip")
        )

    def attestation(self, subject: Fields) -> Fields:
        """What BuildKit says of an image, in its index."""
        config = self.blob(b'{"architecture":"unknown","os":"unknown"}', CONFIG)
        layer = self.blob(f"of {subject['digest']}".encode(), "application/vnd.in-toto+json")
        return on(self.manifest(config, layer), "unknown/unknown") | {
            "annotations": {
                "vnd.docker.reference.digest": subject["digest"],
                "vnd.docker.reference.type": "attestation-manifest",
            }
        }

    def index(self, *entries: Fields, **more: object) -> Fields:
        """An index of them entries."""
        return self.document(
            {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries), **more}, INDEX
        )

    def tag(self, tag: str, descriptor: Fields) -> str:
        """Gives a document a tag, and returns its digest."""
        self.tags[tag] = str(descriptor["digest"])
        return self.tags[tag]

    def reached(self, digest: str) -> tuple[set[str], set[str]]:
        """The digests of documents and of blobs that a document leads to, itself included."""
        documents, blobs, waiting = set(), set(), [digest]
        while waiting:
            one = waiting.pop()
            documents.add(one)
            for entry in _named(json.loads(self.documents[one][1])):
                if entry["digest"] not in self.documents:
                    blobs.add(entry["digest"])
                elif entry["digest"] not in documents:
                    waiting.append(entry["digest"])
        return documents, blobs

    def answers(self, repository: str) -> Mapping[str, tuple[str, bytes]]:
        """Path to media type and bytes, as a registry has them."""
        base = f"/v2/{repository}"
        named = {**{one: one for one in self.documents}, **self.tags}
        manifests = {f"{base}/manifests/{name}": self.documents[one] for name, one in named.items()}
        stream = "application/octet-stream"
        return manifests | {
            f"{base}/blobs/{one}": (stream, data) for one, data in self.blobs.items()
        }


def _named(document: Fields) -> Iterator[Fields]:
    yield from document.get("manifests", ())
    yield from document.get("layers", ())
    if "config" in document:
        yield document["config"]


def _fields(platform: str) -> Fields:
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def _tar(text: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("file")
        info.size = len(text.encode())
        archive.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()
