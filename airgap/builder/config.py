"""`buildkitd.toml`, for our own builder and for those that people make themselves.

Source: BuildKit's `docs/buildkitd.toml.md` and `util/resolver/resolver.go`. A mirror's own section
has to say that it speaks HTTP, and every upstream host needs a section: there is no wildcard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airgap.builder.registry_server import RegistryServer
from airgap.oci.reference import DOCKER_HUB
from airgap.spec.toml import text, texts

HEADER = "# Written by airgap. Changes are overwritten by the next airgap install.\n"


_SOCKET = "unix:///run/buildkit/buildkitd.sock"


@dataclass(frozen=True, slots=True)
class Listener:
    """Where BuildKit listens for other machines, beside its own socket.

    Attributes:
        address: `tcp://HOST:PORT`.
        clients: PEM file with the CA of those who may connect, as BuildKit reads it.
        certificate: PEM file, likewise.
        key: PEM file, likewise.
    """

    address: str
    clients: str
    certificate: str
    key: str


def buildkitd_toml(
    hosts: Iterable[str],
    mirrors: Sequence[RegistryServer],
    registries: Iterable[RegistryServer] = (),
    *,
    proxied: bool = False,
    listener: Listener | None = None,
    header: str = HEADER,
) -> str:
    """Return the configuration that sends BuildKit to the mirror.

    Args:
        hosts: Upstream hosts that the mirror has images of.
        mirrors: The mirror under each address at which it is reached, the first one first.
        registries: Further registries.
        proxied: Whether all builds have BuildKit's proxy network.
        listener: Where it listens for other machines; None for nowhere.
        header: The comment that it begins with.
    """
    sections: dict[str, list[str]] = {}
    for host in sorted({DOCKER_HUB, *hosts}):
        sections[host] = [f"mirrors = {texts(mirror.mirrored(host) for mirror in mirrors)}"]
    for address, server in {item.address: item for item in (*mirrors, *registries)}.items():
        sections.setdefault(address, []).extend(_settings(server))
    lines = [
        f"\n[registry.{text(host)}]\n" + "".join(f"  {setting}\n" for setting in settings)
        for host, settings in sections.items()
        if settings
    ]
    network = "proxyNetwork = true\n" if proxied else ""
    return header + network + "".join(lines) + (_grpc(listener) if listener else "")


def _grpc(listener: Listener) -> str:
    return f"""
[grpc]
  address = {texts([_SOCKET, listener.address])}

[grpc.tls]
  ca = {text(listener.clients)}
  cert = {text(listener.certificate)}
  key = {text(listener.key)}
"""


def _settings(server: RegistryServer) -> list[str]:
    if server.http:
        return ["http = true"]
    # BuildKit takes servers on loopback for HTTP, unless it is told otherwise.
    return ["http = false", f"ca = {texts([server.ca])}"] if server.ca else []
