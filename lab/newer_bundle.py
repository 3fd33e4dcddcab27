"""Bundles that renew what a host is set up with: other images under the same names."""

from __future__ import annotations

from pathlib import Path

from lab import full_run, images
from lab.parts import program
from lab.run import run
from lab.upstream import Upstream

IMAGES = {
    "docker.io/moby/buildkit:buildx-stable-1": "linux/amd64",
    "docker.io/library/registry:3": "linux/amd64",
    "docker.io/tonistiigi/binfmt:latest": "linux/amd64",
    "docker.io/arm64v8/alpine:latest": "linux/arm64",
}
"""What is renewed, and the platform that it keeps."""

LABEL = "serial"
"""What tells one version of an image from another."""

_SPEC = """\
name = "site"
[[images]]
name = "arm64v8/alpine"
platforms = ["linux/arm64"]
"""


def make_renewed(key: Path, folder: Path, serial: int) -> None:
    """Makes such a bundle, named `site`.

    Args:
        key: Signs.
        folder: The bundle's.
        serial: The label that the images get.
    """
    with Upstream(images.storage(), writable=True) as upstream:
        for name, platform in IMAGES.items():
            there = f"{upstream.address}/{name}"
            mutate = ["mutate", "--insecure", "--platform", platform, there]
            run([program("crane"), *mutate, "--label", f"{LABEL}={serial}", "-t", there])
        spec = folder.with_suffix(".toml")
        spec.write_text(_SPEC)
        full_run.make_bundle(upstream, key, folder, [spec])
