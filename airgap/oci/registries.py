"""Which servers are asked for a registry host, from a TOML file (`--registries FILE`).

    [registry."docker.io"]
    mirrors = ["harbor.example.internal/dockerhub"]  # asked first, in order: HOST[:PORT][/PREFIX]
    # or, so that docker.io itself is never asked:
    # replace = "harbor.example.internal/dockerhub"

    [registry."harbor.example.internal"]
    http = true           # plain HTTP
    ca = "site-ca.pem"    # trusted beside the system's CAs; relative to the TOML file

A mirror reads its own section, keyed by host and port without a path, as in buildkitd.toml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airgap.bounded import read_toml
from airgap.disk import read_user_file
from airgap.errors import UsageError
from airgap.limits import LIMITS
from airgap.oci.reference import DOCKER_HUB, Reference, is_repository

_KEYS = ("mirrors", "replace", "http", "ca")
_HOST = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
# Docker Hub's name is not the name of the server that has its API.
_API_HOSTS = {DOCKER_HUB: "registry-1.docker.io"}


def is_loopback(server: str) -> bool:
    """Return whether `HOST[:PORT]` is this machine."""
    host = server if server.endswith("]") else server.rsplit(":", 1)[0]
    return host in ("localhost", "[::1]") or re.fullmatch(r"127(\.\d+){3}", host) is not None


def bracketed(host: str) -> str:
    """Return a host as it stands before a port: IPv6 addresses in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """One `[registry."HOST"]` section."""

    mirrors: tuple[str, ...] = ()
    replace: str = ""
    http: bool = False
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to ask for a repository.

    Attributes:
        name: The host as people and credentials know it (`docker.io`).
        server: Host and port to connect to.
        repository: The repository's path there.
        http: Plain HTTP was asked for.
        ca: A CA file for requests to this server and to where it sends, beside the system's.
        public: Only public addresses are connected to: others than the user named it.
        sent_by: The registry that redirects here; empty if nobody does. Such a server gets no
            credentials.
    """

    name: str
    server: str
    repository: str
    http: bool = False
    ca: Path | None = None
    public: bool = False
    sent_by: str = ""

    @property
    def is_loopback(self) -> bool:
        """Whether the server is this machine: then HTTP and HTTPS are both tried."""
        return is_loopback(self.server)


@dataclass(frozen=True, slots=True)
class Registries:
    """The whole configuration: host to its section."""

    sections: Mapping[str, RegistryConfig] = field(default_factory=dict)

    def endpoints(self, reference: Reference) -> list[Endpoint]:
        """Return the places to ask for a reference, in order."""
        section = self.sections.get(reference.host, RegistryConfig())
        if section.replace:
            return [self._prefixed(section.replace, reference.repository)]
        mirrors = [self._prefixed(mirror, reference.repository) for mirror in section.mirrors]
        return [*mirrors, self._endpoint(reference.host, reference.repository)]

    @property
    def authorities(self) -> dict[str, Path]:
        """The server of each section to its CA file, for those that have one."""
        return {
            _API_HOSTS.get(host, host): section.ca
            for host, section in self.sections.items()
            if section.ca
        }

    def _prefixed(self, mirror: str, repository: str) -> Endpoint:
        host, _, prefix = mirror.partition("/")
        return self._endpoint(host, f"{prefix}/{repository}" if prefix else repository)

    def _endpoint(self, host: str, repository: str) -> Endpoint:
        section = self.sections.get(host, RegistryConfig())
        server = _API_HOSTS.get(host, host)
        return Endpoint(host, server, repository, section.http, section.ca)


def load_registries(path: Path) -> Registries:
    """Read the file.

    Raises:
        UsageError: It cannot be read, or says something that is not allowed; the message names
            the file and the line or key.
    """
    data = read_user_file(path, LIMITS.spec_bytes)
    try:
        document = read_toml(data, LIMITS.spec_bytes)
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    unknown = sorted(set(document) - {"registry"})
    if unknown:
        raise UsageError(
            f"{path}: unknown key {unknown[0][:80]}", remedy='allowed here: [registry."HOST"]'
        )
    sections = document.get("registry", {})
    if not isinstance(sections, dict):
        raise UsageError(f'{path}: registry must be sections [registry."HOST"]')
    return Registries({host: _section(value, host, path) for host, value in sections.items()})


def _section(value: object, host: str, path: Path) -> RegistryConfig:
    where = f'{path}: registry."{host[:80]}"'
    if not _HOST.fullmatch(host):
        raise UsageError(f"{where}: the section's name must be HOST or HOST:PORT")
    if host == "index.docker.io":
        raise UsageError(f"{where} is never asked", remedy=f'write [registry."{DOCKER_HUB}"]')
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a table", remedy=f"allowed keys: {', '.join(_KEYS)}")
    unknown = sorted(set(value) - set(_KEYS))
    if unknown:
        raise UsageError(
            f"{where}: unknown key {unknown[0][:80]}", remedy=f"allowed keys: {', '.join(_KEYS)}"
        )
    mirrors, replace = value.get("mirrors", []), value.get("replace")
    if not isinstance(mirrors, list) or not all(is_server(mirror) for mirror in mirrors):
        raise UsageError(f'{where}: mirrors must be a list of "HOST[:PORT][/PREFIX]"')
    if replace is not None and not is_server(replace):
        raise UsageError(f'{where}: replace must be "HOST[:PORT][/PREFIX]"')
    if replace and mirrors:
        raise UsageError(f"{where}: replace and mirrors exclude each other")
    return RegistryConfig(
        tuple(mirrors), replace or "", _http(value, where), _ca(value, where, path)
    )


def _http(section: dict[str, Any], where: str) -> bool:
    value = section.get("http", False)
    if not isinstance(value, bool):
        raise UsageError(f"{where}: http must be true or false")
    return value


def _ca(section: dict[str, Any], where: str, path: Path) -> Path | None:
    value = section.get("ca")
    if value is None:
        return None
    if not isinstance(value, str) or not _is_file(path.parent / value):
        raise UsageError(f"{where}: ca must name a file, and {str(value)[:300]!r} does not")
    return path.parent / value


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or a folder that may not be entered
        return False


def is_server(value: object) -> bool:
    """Return whether it is `HOST[:PORT][/PREFIX]`, with the prefix part of a repository's path."""
    if not isinstance(value, str):
        return False
    host, slash, prefix = value.partition("/")
    return _HOST.fullmatch(host) is not None and (not slash or is_repository(prefix))
