"""The whole path, as a person goes it: bundle, carry, check with stock tools, install.

The demo and the end-to-end tests take the same steps, with the commands of the README.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lab.machine import MOUNT_POINT, Machine
from lab.run import run
from lab.upstream import Upstream
from lab.workstation import Workstation

BUNDLES = Path(__file__).parents[1] / "bundles"
APP = Path(__file__).with_name("app")
"""The context of a build with two stages and RUN steps."""

RECORDED = Path(__file__).with_name("recorded")
"""Contexts of builds that download, one for each way."""

ON_MEDIUM = f"{MOUNT_POINT}/bundle"
"""Where a host sees the bundle that `make_bundle` wrote to a medium."""

# The medium's files are copied into a folder of root's, and checked there before one of them runs.
_CHECK = """
set -e
install -d -m 0700 /root/airgap
cd /root/airgap
cp "$1"/SHA256SUMS "$1"/SHA256SUMS.sig .
install -D "$1"/tool/airgap.pyz tool/airgap.pyz
openssl dgst -sha256 -verify /root/site.pub -signature SHA256SUMS.sig SHA256SUMS
sha256sum --ignore-missing -c SHA256SUMS
"""
TOOL = ["python3", "-I", "/root/airgap/tool/airgap.pyz"]
"""The checked tool on a host that has never seen it."""


def airgap(*arguments: str | Path) -> str:
    """Runs `airgap` on the connected side and returns what it printed."""
    return run([Path(sys.prefix) / "bin" / "airgap", *arguments])


def make_key(folder: Path) -> Path:
    """Makes a pair of keys named `site`, and returns the path of the private one."""
    airgap("keygen", folder / "site")
    return folder / "site.key"


def make_bundle(
    upstream: Upstream, key: Path, output: Path, references: Sequence[str | Path], *options: str
) -> str:
    """Bundles from the upstream, which stands for Docker Hub and the others."""
    return airgap(*bundle_arguments(upstream, key, output, references, *options))


def record_bundle(
    workstation: Workstation, upstream: Upstream, key: Path, output: Path, builds: Sequence[Path]
) -> str:
    """Bundles on a workstation with Docker, which records builds, all that a host is set up with.

    Args:
        workstation: Where.
        upstream: Stands for Docker Hub and the others.
        key: Signs.
        output: The bundle's folder.
        builds: Folders with a Dockerfile.
    """
    arguments = record_arguments(upstream, key, output, builds)
    return workstation.run(["airgap", *arguments], timeout=3000).stdout


def record_arguments(
    upstream: Upstream, key: Path, output: Path, builds: Sequence[Path], *options: str
) -> list[str | Path]:
    """What follows `airgap` to record builds, folders or specs, besides what a host needs."""
    specs = [BUNDLES / "arm64-builder.toml", *(path for path in builds if path.is_file())]
    recorded = [part for path in builds if path.is_dir() for part in ("--record", str(path))]
    return bundle_arguments(upstream, key, output, specs, *recorded, *options)


def bundle_arguments(
    upstream: Upstream, key: Path, output: Path, references: Sequence[str | Path], *options: str
) -> list[str | Path]:
    """What follows `airgap` to bundle from the upstream."""
    registries = key.with_name("registries.toml")
    registries.write_text(upstream.registries())
    signed = ["--key", str(key), "--registries", str(registries), "--output", str(output)]
    return ["--quiet", "bundle", *references, *options, *signed]


def check_by_hand(host: Machine, public_key: Path, bundle: str = ON_MEDIUM) -> str:
    """Checks the medium's tool with openssl and sha256sum; the key came another way."""
    host.write("/root/site.pub", public_key.read_bytes())
    return host.run(["sh", "-c", _CHECK, "sh", bundle]).stdout


def install(host: Machine, *options: str) -> str:
    """First visit: trusts the key, and installs with the tool that was checked."""
    host.run([*TOOL, "trust", "add", "/root/site.pub"])
    return host.run([*TOOL, "install", ON_MEDIUM, *options], timeout=600).stdout
