"""Podman, Buildah, skopeo and CRI-O: a file in `registries.conf.d`.

Source: containers-registries.conf(5), version 2, and containers-certs.d(5). An image is looked for
in the mirrors and then at the location, which is the mirror too.
"""

from __future__ import annotations

from airgap.builder.mirrors.mirror import HEADER, EngineConfig, Mirror
from airgap.builder.registry_server import RegistryServer
from airgap.spec.toml import text

_FILE = "/etc/containers/registries.conf.d/airgap.conf"
_AUTHORITIES = "/etc/containers/certs.d"

_NOTES = (
    "For Podman, Buildah, skopeo and CRI-O. The first three read it with each command, CRI-O when "
    "it starts.",
    "Pulls never ask the upstream: location, which stands for it, is the mirror. skopeo inspect "
    "does, for the list of tags: give it --no-tags.",
)


def podman(mirror: Mirror) -> EngineConfig:
    """Return the configuration of engines that are built on containers/image."""
    sections = [_upstream(mirror, host) for host in mirror.upstreams]
    known = set(mirror.upstreams)
    sections += [
        f"[[registry]]\n{_place(server.address, server)}"
        for server in mirror.registries
        if server.http and server.address not in known
    ]
    files = {_FILE: "\n".join([HEADER, *sections]), **mirror.authority_files(_AUTHORITIES)}
    return EngineConfig(files, _NOTES)


def _upstream(mirror: Mirror, host: str) -> str:
    *others, last = mirror.servers
    mirrors = (
        f"\n[[registry.mirror]]\n{_place(server.mirrored(host), server)}" for server in others
    )
    place = _place(last.mirrored(host), last)
    return f"[[registry]]\nprefix = {text(host)}\n{place}{''.join(mirrors)}"


def _place(location: str, server: RegistryServer) -> str:
    insecure = "insecure = true\n" if server.http else ""
    return f"location = {text(location)}\n{insecure}"
