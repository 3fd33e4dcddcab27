"""This host as a node of another one's builder: what the file of that host said, kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from airgap.builder.config import Listener
from airgap.builder.registry_server import RegistryServer
from airgap.canonical import canonical
from airgap.errors import AirgapError, HostError
from airgap.isolated.host.addresses import local_ip
from airgap.isolated.host.files import write_file
from airgap.isolated.nodes.node_file import NodeFile, split_address
from airgap.isolated.state.layout import State
from airgap.limits import LIMITS
from airgap.oci.registries import bracketed
from airgap.trust.certificates import is_authority_of, not_after

_ABOUT = "node.json"
_AUTHORITY, _CLIENTS = "registry.crt", "clients.crt"
_CERTIFICATE, _KEY = "node.crt", "node.key"
_INSIDE = "/etc/airgap/node"


@dataclass(frozen=True, slots=True)
class Joined:
    """What this host is to another one.

    Attributes:
        name: What that one calls it.
        registries: What that one serves to others.
        address: `tcp://IP:PORT` where the builder listens for it; empty if it comes by ssh.
        folder: Where certificates are.
    """

    name: str
    registries: tuple[RegistryServer, ...]
    address: str
    folder: Path

    @property
    def listener(self) -> Listener | None:
        """Where the builder listens, with files as it sees them."""
        if not self.address:
            return None
        files = (f"{_INSIDE}/{name}" for name in (_CLIENTS, _CERTIFICATE, _KEY))
        return Listener(self.address, *files)

    @property
    def binds(self) -> dict[str, str]:
        """What the builder's container is given for that."""
        if not self.address:
            return {}
        names = (_CLIENTS, _CERTIFICATE, _KEY)
        return {str(self.folder / name): f"{_INSIDE}/{name}:ro,z" for name in names}

    @property
    def until(self) -> datetime | None:
        """When its certificate ends; None if it has none."""
        return not_after((self.folder / _CERTIFICATE).read_bytes()) if self.address else None


def joined(state: State) -> Joined | None:
    """Return what this host is to another one; None if it is nobody's node.

    Raises:
        HostError: What was kept of that cannot be read.
    """
    path = state.joined / _ABOUT
    try:
        with path.open("rb") as file:
            about = json.loads(file.read(LIMITS.node_bytes))
        ca = state.joined / _AUTHORITY
        registries = tuple(RegistryServer(item, ca=str(ca)) for item in about["registries"])
        _check_authority(ca, about["registries"])
        return Joined(about["name"], registries, about["address"], state.joined)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AirgapError) as error:
        raise HostError(f"{path} cannot be read: {error}", remedy="airgap node leave") from error


def _check_authority(path: Path, registries: Sequence[str]) -> None:
    """Check that the CA is limited to the registries: programs of this host will trust it.

    Raises:
        ValueError: It is another one: an earlier version took files that held more.
    """
    try:
        authority = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path.name}: {error.strerror}") from error
    for address in registries:
        host, _ = split_address(address)
        if not is_authority_of(authority, host):
            raise ValueError(f"the CA in {path.name} is not for {host} alone")


def join(state: State, file: NodeFile) -> None:
    """Keep what a file says, instead of what one said before.

    Raises:
        HostError: It wants an address that this host has not, or something cannot be written.
    """
    address = ""
    if file.port is not None:
        host, port = split_address(file.port.address)
        address = f"tcp://{bracketed(local_ip(host))}:{port}"
        write_file(state.joined / _CLIENTS, file.port.clients)
        write_file(state.joined / _KEY, file.port.server.key, 0o600)
        write_file(state.joined / _CERTIFICATE, file.port.server.certificate)
    write_file(state.joined / _AUTHORITY, file.authority)
    about = {"name": file.name, "registries": list(file.registries), "address": address}
    write_file(state.joined / _ABOUT, canonical(about))


def leave(state: State) -> None:
    """Remove everything that a host keeps as a node."""
    (state.joined / _ABOUT).unlink(missing_ok=True)
    shutil.rmtree(state.joined, ignore_errors=True)
