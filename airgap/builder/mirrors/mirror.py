"""What engines are to be told of the mirror, and what that comes to for one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airgap.builder.registry_server import RegistryServer
from airgap.oci.reference import DOCKER_HUB

HEADER = "# Written by airgap mirrors.\n"
"""Begins every file that can have a comment: by it a file is known as ours."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """The mirror, and the registries beside it.

    Attributes:
        servers: Where the mirror is reached, the first one asked first; at least one.
        hosts: Upstream hosts whose images it has. Docker Hub counts always.
        registries: Those that people push to.
        authorities: The `ca` of a server to the text of that file (PEM).
    """

    servers: Sequence[RegistryServer]
    hosts: Sequence[str]
    registries: Sequence[RegistryServer] = ()
    authorities: Mapping[str, str] = field(default_factory=dict)

    @property
    def upstreams(self) -> list[str]:
        """The hosts that engines find in the mirror."""
        return sorted({DOCKER_HUB, *self.hosts})

    @property
    def all_servers(self) -> list[RegistryServer]:
        """Mirror and registries, each address once."""
        return list(
            {server.address: server for server in (*self.servers, *self.registries)}.values()
        )

    def authority_files(self, folder: str) -> dict[str, str]:
        """Return the authorities as `FOLDER/ADDRESS/ca.crt`, where most engines look for them."""
        return {
            authority_path(folder, server): HEADER + self.authorities[server.ca]
            for server in self.all_servers
            if server.ca
        }


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What sends an engine to the mirror.

    Attributes:
        files: Path on the engine's host to content.
        notes: What a person has to know beside that, a paragraph each.
    """

    files: Mapping[str, str]
    notes: Sequence[str]


def authority_path(folder: str, server: RegistryServer) -> str:
    """Return where the CA of a server lies, below an engine's folder for them."""
    return f"{folder}/{server.address}/ca.crt"


def endpoint(server: RegistryServer) -> str:
    """Return a server's address with its scheme."""
    return f"{'http' if server.http else 'https'}://{server.address}"
