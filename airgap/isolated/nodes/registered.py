"""The nodes of this host's builder: other machines that build for their own platform.

Each node that is reached by TCP has a CA of its own, which signs the node and for
this host towards it. Its key is forgotten at once: nobody can sign anybody else later, and
renewal means another CA.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from airgap.canonical import canonical
from airgap.errors import HostError, IntegrityError, NotFoundError, UsageError
from airgap.isolated.host.files import not_writable, write_file
from airgap.isolated.host.system import docker_group
from airgap.isolated.nodes.node_file import NODE_NAME, NodeFile, Port, split_address
from airgap.isolated.state.layout import State
from airgap.limits import LIMITS
from airgap.oci.platform import native_platform, parse_platform
from airgap.trust.certificates import Purpose, issue, new_authority, not_after

_ABOUT = "node.json"
_SSH = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9\[][A-Za-z0-9.:\]-]*")


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that builds for others.

    Attributes:
        name: What people call it.
        endpoint: `ssh://[USER@]HOST[:PORT]` or `tcp://HOST:PORT`.
        platforms: What it builds for, in the place of this host.
        folder: Where certificates are.
    """

    name: str
    endpoint: str
    platforms: tuple[str, ...]
    folder: Path

    @property
    def is_ssh(self) -> bool:
        """Whether users reach it by their own ssh."""
        return self.endpoint.startswith("ssh://")

    @property
    def context(self) -> str:
        """The docker context by which users reach it."""
        return f"airgap-{self.name}"

    @property
    def tls_options(self) -> tuple[str, ...]:
        """What buildx's remote driver is given, to prove this host and to know the node."""
        if self.is_ssh:
            return ()
        files = {"cacert": "ca.crt", "cert": "client.crt", "key": "client.key"}
        return tuple(f"{option}={self.folder / name}" for option, name in files.items())

    @property
    def until(self) -> datetime | None:
        """When its certificates end; None if it has none.

        Raises:
            HostError: They cannot be read.
        """
        if self.is_ssh:
            return None
        try:
            return not_after((self.folder / "client.crt").read_bytes())
        except (OSError, IntegrityError) as error:
            raise HostError(
                f"the certificate of the node {self.name} cannot be read",
                remedy=f"airgap node renew {self.name}",
            ) from error


def parse_endpoint(text: str) -> str:
    """Return an endpoint as it is kept.

    Raises:
        UsageError: It is not an endpoint.
    """
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("ssh", "tcp") and bool(parts.hostname)
        known = known and not (parts.path.strip("/") or parts.query or parts.fragment)
        if parts.scheme == "tcp":
            split_address(parts.netloc)
        known = known and _SSH.fullmatch(parts.netloc) is not None and parts.port != 0
    except (ValueError, UsageError):
        known = False
    if not known:
        raise UsageError(
            f"{text[:100]!r} is no endpoint",
            remedy="write ssh://USER@HOST or tcp://HOST:PORT",
        )
    return f"{parts.scheme}://{parts.netloc}"


def nodes(state: State) -> list[Node]:
    """Return all of them, by name.

    Raises:
        HostError: What was kept of one cannot be read.
    """
    found = []
    for path in sorted(state.nodes.glob(f"*/{_ABOUT}")):
        try:
            with path.open("rb") as file:
                about = json.loads(file.read(LIMITS.node_bytes))
            platforms = tuple(about["platforms"])
            found.append(Node(path.parent.name, about["endpoint"], platforms, path.parent))
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = f"airgap node remove {path.parent.name}"
            raise HostError(f"{path} cannot be read: {error}", remedy=remedy) from error
    return found


def node(state: State, name: str) -> Node:
    """Return the one of a name.

    Raises:
        NotFoundError: There is none.
    """
    for node in nodes(state):
        if node.name == name:
            return node
    raise NotFoundError(f"there is no node {name[:80]!r}", remedy="airgap node list")


def check_new(state: State, name: str, endpoint: str, platforms: Sequence[str]) -> Node:
    """Return a node that may be added.

    Raises:
        UsageError: Its name, endpoint or platforms cannot be taken.
    """
    if not NODE_NAME.fullmatch(name):
        raise UsageError(
            f"a node cannot be called {name[:80]!r}",
            remedy="begin with a letter; then small letters, digits and dashes",
        )
    chosen = tuple(str(parse_platform(text)) for text in platforms)
    new = Node(name, parse_endpoint(endpoint), chosen, state.nodes / name)
    if str(native_platform()) in chosen:
        raise UsageError(f"this host builds for {native_platform()} itself")
    for node in nodes(state):
        if node.name == name:
            raise UsageError(f"there is a node {name} already", remedy=f"airgap node remove {name}")
        if both := set(node.platforms).intersection(chosen):
            raise UsageError(f"{node.name} builds for {', '.join(both)} already")
    return new


def keep(node: Node) -> None:
    """Keep a node, once it has its certificates.

    Raises:
        HostError: It cannot be written.
    """
    about = {"endpoint": node.endpoint, "platforms": list(node.platforms)}
    write_file(node.folder / _ABOUT, canonical(about))


def remove(node: Node) -> None:
    """Forget a node and the keys to it."""
    (node.folder / _ABOUT).unlink(missing_ok=True)
    shutil.rmtree(node.folder, ignore_errors=True)


def issue_server_certificate(node: Node, days: int) -> Port | None:
    """Make new certificates for a node; those for this host are kept here.

    Args:
        node: The node.
        days: How long they hold.

    Returns:
        What the node needs; None if it is reached by ssh.

    Raises:
        HostError: Something cannot be written.
    """
    if node.is_ssh:
        return None
    address = node.endpoint.removeprefix("tcp://")
    host, _ = split_address(address)
    now = datetime.now(UTC)
    authority = new_authority(f"airgap node {node.name}, {now:%Y-%m-%d %H:%M}", host, now, days)
    client = issue(authority, "builder", Purpose.CLIENT, now, days)
    server = issue(authority, host, Purpose.SERVER, now, days)
    write_file(node.folder / "ca.crt", authority.certificate)
    write_file(node.folder / "client.key", client.key, 0o600)
    write_file(node.folder / "client.crt", client.certificate)
    _open_to_docker_users(node.folder / "client.key")
    return Port(address, authority.certificate, server)


def node_file(node: Node, port: Port | None, registries: Sequence[str], ca: str) -> NodeFile:
    """Return what the node is to be told.

    Args:
        node: The node.
        port: From `certify`.
        registries: What this host serves to others.
        ca: The file with the CA behind these; may be empty.
    """
    authority = Path(ca).read_bytes() if ca else b""
    return NodeFile(node.name, tuple(registries), authority, port)


def _open_to_docker_users(path: Path) -> None:
    """Let only users of Docker read the key: they are as powerful as root anyway."""
    try:
        os.chown(path, -1, docker_group())
        path.chmod(0o640)
    except OSError as error:
        raise not_writable(path, error) from error
