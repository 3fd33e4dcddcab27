"""`NAME.node`: what a node must know of the host whose builder it joins, in one file for one trip.

Whoever is given such a file may have made it: nothing in it counts that could do more to the node
than trust the registries that it names, and open the port that it names to whom it names.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from airgap.canonical import canonical
from airgap.disk import read_regular
from airgap.errors import IntegrityError, UsageError
from airgap.isolated.host.files import write_file
from airgap.limits import LIMITS
from airgap.oci.registries import is_server
from airgap.trust.certificates import (
    CertificateAndKey,
    is_authority_of,
    is_for,
    is_issued_by,
    key_matches,
    not_after,
)

_FORMAT = 1
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*):([1-9][0-9]{0,4})")
# Some programs read a name that ends like this as an IPv4 address: `127.1`, `0x7f000001`.
_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_LAST_PORT = 65535
NODE_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True, slots=True)
class Port:
    """Where a node listens for the builder's host.

    Attributes:
        address: `HOST:PORT`.
        clients: PEM: the CA of those who may connect.
        server: What the node proves itself with.
    """

    address: str
    clients: bytes
    server: CertificateAndKey


@dataclass(frozen=True, slots=True)
class NodeFile:
    """What a node must know.

    Attributes:
        name: What the builder's host calls it.
        registries: `HOST:PORT` of what that host serves to others.
        authority: PEM: signs these; empty if there are none.
        port: Where the node listens; None if it is reached by ssh.
    """

    name: str
    registries: tuple[str, ...]
    authority: bytes
    port: Port | None


def split_address(address: str) -> tuple[str, int]:
    """`HOST:PORT`, where IPv6 addresses are in brackets, in its parts without brackets.

    Raises:
        UsageError: It is something else.
    """
    found = _ADDRESS.fullmatch(address)
    if not found or int(found[2]) > _LAST_PORT:
        raise UsageError(f"{address[:100]!r} is not HOST:PORT")
    return found[1].strip("[]").lower(), int(found[2])


def write_node_file(path: Path, file: NodeFile) -> None:
    """Write it for this user alone: it holds the node's private key.

    Raises:
        HostError: It cannot be written.
    """
    write_file(path, to_bytes(file), 0o600)


def to_bytes(file: NodeFile) -> bytes:
    """Return the one form that a node file has."""
    document: dict[str, object] = {
        "airgap-node": _FORMAT,
        "name": file.name,
        "registries": list(file.registries),
        "authority": file.authority.decode(),
    }
    if file.port is not None:
        document |= {
            "listen": file.port.address,
            "clients": file.port.clients.decode(),
            "certificate": file.port.server.certificate.decode(),
            "key": file.port.server.key.decode(),
        }
    return canonical(document)


def read_node_file(path: Path) -> NodeFile:
    """Read one, believing nothing.

    Raises:
        UsageError: It is not a node file, is broken, or has expired.
    """
    try:
        data = read_regular(path, LIMITS.node_bytes + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    try:
        if len(data) > LIMITS.node_bytes:
            raise UsageError(f"it is larger than {LIMITS.node_bytes} bytes")
        return parse_node_file(data, datetime.now(UTC))
    except (UsageError, IntegrityError) as error:
        raise UsageError(
            f"{path} cannot be used: {error.message}",
            remedy="have the other host write it again: airgap node renew NAME",
        ) from error


def parse_node_file(data: bytes, now: datetime) -> NodeFile:
    """Return what such a file says.

    Args:
        data: Its bytes.
        now: When it has to hold.

    Raises:
        UsageError: It is not one, or has expired.
        IntegrityError: A certificate in it is not one.
    """
    document = _document(data)
    name, authority = document["name"], document["authority"].encode()
    if not NODE_NAME.fullmatch(name):
        raise UsageError(f"{name[:100]!r} is no name of a node")
    registries = tuple(document["registries"])
    if len(registries) > LIMITS.node_registries:
        raise UsageError(f"it names more than {LIMITS.node_registries} registries")
    for address in registries:
        host, _ = split_address(address)
        # Any other name might be anybody's.
        if not (is_server(address) and _is_elsewhere(host) and is_authority_of(authority, host)):
            raise UsageError(f"its CA cannot sign {address}")
    if authority and not registries:
        raise UsageError("it has a CA, and names no registry")
    file = NodeFile(name, registries, authority, _port(document, now))
    if to_bytes(file) != data:
        raise UsageError("it is not in the form that airgap node add writes")
    return file


def _is_elsewhere(host: str) -> bool:
    """Return whether a host is another machine for every program: what runs here has its own CA.

    Args:
        host: An IP address or a name, in lower case, from `split_address`.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return not ("localhost" in host or host.endswith(".") or _NUMBER.fullmatch(host))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    return not (address.is_loopback or address.is_unspecified)


def _document(data: bytes) -> dict[str, str]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError("it is no file of airgap node add") from error
    if not isinstance(document, dict) or document.get("airgap-node") != _FORMAT:
        raise UsageError("it is no file of airgap node add, or of another version of it")
    registries = document.get("registries")
    texts = [document.get(key) for key in ("name", "authority")]
    texts += registries if isinstance(registries, list) else [None]
    if "listen" in document:
        texts += [document.get(key) for key in ("listen", "clients", "certificate", "key")]
    if not all(isinstance(text, str) and text.isascii() for text in texts):
        raise UsageError("something is missing in it")
    return document


def _port(document: dict[str, str], now: datetime) -> Port | None:
    if "listen" not in document:
        return None
    address, clients = document["listen"], document["clients"].encode()
    server = CertificateAndKey(document["certificate"].encode(), document["key"].encode())
    host, _ = split_address(address)
    if not key_matches(server) or not is_issued_by(server.certificate, clients):
        raise UsageError("its certificate, key and CA do not belong together")
    if not is_for(server.certificate, host):
        raise UsageError(f"its certificate is not for {host}")
    if not_after(server.certificate) <= now:
        raise UsageError(f"it was over on {not_after(server.certificate):%Y-%m-%d}")
    return Port(address, clients, server)
