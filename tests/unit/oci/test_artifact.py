"""What a manifest is of, by the media types that real projects use."""

from __future__ import annotations

import json

import pytest

from airgap.oci.artifact import artifact
from airgap.oci.manifest import Manifest, parse
from tests.trees import CONFIG, LAYER, MANIFEST, Tree

_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_EMPTY = "application/vnd.oci.empty.v1+json"


def _manifest(config: str, *layers: str, artifact_type: str = "") -> Manifest:
    tree = Tree()
    parts = [tree.blob(one.encode(), one) for one in layers]
    more = {"artifactType": artifact_type} if artifact_type else {}
    made = tree.manifest(tree.blob(b"{}", config), *parts, **more)
    found = parse(tree.documents[made["digest"]][1], MANIFEST, "example")
    assert isinstance(found, Manifest)
    return found


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (CONFIG, [LAYER]),
        (CONFIG, []),
        (CONFIG, ["application/vnd.oci.image.layer.v1.tar+zstd"]),
        (CONFIG, ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted"]),
        (CONFIG, ["application/vnd.oci.image.layer.nondistributable.v1.tar"]),
        (_DOCKER_CONFIG, [_DOCKER_LAYER, "application/vnd.docker.image.rootfs.foreign.diff.tar"]),
        (CONFIG, ["application/vnd.example.extra", LAYER]),
        ("application/octet-stream", [_DOCKER_LAYER]),
        ("text/html", [_DOCKER_LAYER]),
    ],
)
def test_an_image_is_no_artifact(config: str, layers: list[str]) -> None:
    assert artifact(_manifest(config, *layers)) == ""


@pytest.mark.parametrize(
    ("config", "layer", "artifact_type", "words"),
    [
        ("application/vnd.cncf.helm.config.v1+json", "a/b", "", "a Helm chart"),
        ("application/vnd.docker.plugin.v1+json", _DOCKER_LAYER, "", "a Docker plugin"),
        ("application/vnd.wasm.config.v0+json", "application/wasm", "", "a WebAssembly module"),
        (_EMPTY, "application/wasm", "", "a WebAssembly module"),
        (CONFIG, "application/vnd.dev.cosign.simplesigning.v1+json", "", "a cosign signature"),
        (CONFIG, "application/vnd.dsse.envelope.v1+json", "", "an attestation"),
        (CONFIG, "application/vnd.in-toto+json", "", "an attestation"),
        (_EMPTY, _EMPTY, "application/vnd.cncf.notary.signature", "a Notary signature"),
        (_EMPTY, "application/vnd.cyclonedx+json", "", "an SBOM"),
        (
            _EMPTY,
            "a/b",
            "application/vnd.example",
            "an artifact of the type application/vnd.example",
        ),
        (_EMPTY, _EMPTY, "", "an artifact without a type"),
        (_EMPTY, _EMPTY, "a/\x1b[2J", r"an artifact of the type 'a/\x1b[2J'"),
    ],
)
def test_an_artifact_is_named(config: str, layer: str, artifact_type: str, words: str) -> None:
    assert artifact(_manifest(config, layer, artifact_type=artifact_type)) == words


def test_a_manifest_says_what_it_is_about() -> None:
    tree = Tree()
    image = tree.image()
    made = tree.artifact("application/spdx+json", subject=image)
    body = tree.documents[made["digest"]][1]
    found = parse(body, MANIFEST, "example")
    assert isinstance(found, Manifest)
    assert (found.subject, found.artifact_type) == (image["digest"], "application/spdx+json")
    assert json.loads(body)["config"]["data"] == "e30="
