"""What a manifest is of, where it is not an image's: a chart, a signature, a WebAssembly module.

Formats: OCI image spec `manifest.md`, "Guidelines for Artifact Usage"; the media types are those
that the projects themselves document.
"""

from __future__ import annotations

from airgap.oci.manifest import Manifest

_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
# Types under which registries and tools of 2016 kept configs; Docker still reads them.
_OLD_CONFIGS = ("application/octet-stream", "application/json", "text/html")
_LAYERS = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
_EMPTY = "application/vnd.oci.empty.v1+json"
# A part of a media type, and what has it; the first that is found counts.
_KINDS = (
    ("helm.chart.provenance", "the provenance of a Helm chart"),
    ("cncf.helm", "a Helm chart"),
    ("docker.plugin", "a Docker plugin"),
    ("buildkit.cacheconfig", "a build cache"),
    ("dev.cosign", "a cosign signature"),
    ("sigstore", "a Sigstore bundle"),
    ("notary.signature", "a Notary signature"),
    ("in-toto", "an attestation"),
    ("dsse", "an attestation"),
    ("spdx", "an SBOM"),
    ("cyclonedx", "an SBOM"),
    ("syft", "an SBOM"),
    ("sbom", "an SBOM"),
    ("wasm", "a WebAssembly module"),
    ("openpolicyagent", "an OPA policy bundle"),
    ("fluxcd", "a Flux artifact"),
)


def artifact(manifest: Manifest) -> str:
    """Return what a manifest is of, in words, if it is not an image's.

    Args:
        manifest: The manifest.

    Returns:
        Such as `a Helm chart`; empty for an image.
    """
    kind = manifest.config.media_type
    has_layers = any(layer.media_type.startswith(_LAYERS) for layer in manifest.layers)
    if kind in _CONFIGS and (has_layers or not manifest.layers):
        return ""
    if kind in _OLD_CONFIGS and has_layers:
        return ""
    layers = [layer.media_type for layer in manifest.layers]
    stated = [manifest.artifact_type, manifest.config.media_type, *layers]
    types = [item for item in stated if item and item != _EMPTY and item not in _CONFIGS]
    for part, words in _KINDS:
        if any(part in item.lower() for item in types):
            return words
    if not types:
        return "an artifact without a type"
    shown = types[0][:100]
    return f"an artifact of the type {shown if shown.isprintable() else ascii(shown)}"
