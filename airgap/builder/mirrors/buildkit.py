"""BuildKit: `buildkitd.toml`."""

from __future__ import annotations

from dataclasses import replace

from airgap.builder.config import buildkitd_toml
from airgap.builder.mirrors.mirror import (
    HEADER,
    EngineConfig,
    Mirror,
    authority_path,
)
from airgap.builder.registry_server import RegistryServer
from airgap.oci.registries import is_loopback

_FOLDER = "/etc/buildkit"
_AUTHORITIES = f"{_FOLDER}/certs"

_NOTES = (
    "Give the file to buildkitd with --config, or to docker buildx create with "
    "--buildkitd-config. buildx reads it once, and the authorities at the paths that it names: "
    "a builder that exists keeps what it was created with.",
    "BuildKit cannot be told never to ask the upstream: it does so after the mirror, and fails "
    "at once only where there is no route or where a proxy refuses.",
)
_LOOPBACK = (
    "In a container with a network of its own, and in a pod, 127.0.0.1 is the container or pod "
    "itself. For clusters give --elsewhere."
)


def buildkit(mirror: Mirror) -> EngineConfig:
    """Return the configuration of buildkitd, on its host or in a container that buildx makes."""
    text = buildkitd_toml(
        mirror.upstreams,
        [_placed(server) for server in mirror.servers],
        [_placed(server) for server in mirror.registries],
        header=HEADER,
    )
    files = {f"{_FOLDER}/buildkitd.toml": text, **mirror.authority_files(_AUTHORITIES)}
    loopback = any(is_loopback(server.address) for server in mirror.all_servers)
    return EngineConfig(files, (*_NOTES, *([_LOOPBACK] if loopback else [])))


def _placed(server: RegistryServer) -> RegistryServer:
    """Return the server with its CA where buildkitd reads it."""
    return replace(server, ca=authority_path(_AUTHORITIES, server)) if server.ca else server
