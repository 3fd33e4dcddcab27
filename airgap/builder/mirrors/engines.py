"""The engines that can be sent to the mirror, by the names that people give."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from airgap.builder.mirrors.buildkit import buildkit
from airgap.builder.mirrors.containerd import containerd
from airgap.builder.mirrors.docker import docker
from airgap.builder.mirrors.k3s import k3s, rke2
from airgap.builder.mirrors.mirror import EngineConfig, Mirror
from airgap.builder.mirrors.podman import podman

ENGINES: Mapping[str, Callable[[Mirror], EngineConfig]] = {
    "buildkit": buildkit,
    "containerd": containerd,
    "podman": podman,
    "k3s": k3s,
    "rke2": rke2,
    "docker": docker,
}
