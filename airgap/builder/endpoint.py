"""Which Docker the docker command of this process talks to, found as that command finds it.

`DOCKER_HOST` comes first, then the context that `DOCKER_CONTEXT` names, then the one that
`docker context use` has selected. A variable that is set and empty counts as not set. Without any
of them `DOCKER_TLS_VERIFY` and `DOCKER_TLS` select port 2376 of this host, and not the socket.
(docker/cli, `cli/command/cli.go`, `cli/context/store` and `opts/hosts.go`.)
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from airgap.docker_config import FILE_NAME, config_folder, parse_config, setting
from airgap.errors import HostError
from airgap.limits import LIMITS

DEFAULT_SOCKET = "/var/run/docker.sock"

_DEFAULT = "default"
_TLS_ADDRESS = "tcp://localhost:2376"
_TLS = ("DOCKER_TLS_VERIFY", "DOCKER_TLS")
_UNIX = "unix://"
_OWN = "Only the Docker of the host where airgap runs can be set up. Nothing was changed."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a Docker is, and what names it.

    Attributes:
        address: `unix:///var/run/docker.sock`, `tcp://HOST:PORT`, `ssh://HOST`.
        named_by: `DOCKER_HOST`, or the context and what selects it; empty where nothing does.
        undo: What selects this host's own Docker again.
    """

    address: str = _UNIX + DEFAULT_SOCKET
    named_by: str = ""
    undo: str = ""

    @property
    def shown(self) -> str:
        """The address, and what names it, for people."""
        return f"{self.address}, which {self.named_by} names" if self.named_by else self.address

    @property
    def socket(self) -> Path:
        """Return its socket on this host.

        Raises:
            HostError: It is a Docker of another host.
        """
        if not self.address.startswith(_UNIX):
            raise self.of_another_host()
        return Path(self.address.removeprefix(_UNIX))

    def of_another_host(self) -> HostError:
        """Return the error for a Docker that is not this host's own."""
        what = f"{self.address} is the Docker of another host"
        if self.named_by:
            what = f"{self.named_by} names the Docker of another host, {self.address}"
        undo = f"{self.undo}, or " if self.undo else ""
        return HostError(what, meaning=_OWN, remedy=f"{undo}run airgap on that host")


def docker_endpoint(environment: Mapping[str, str] = os.environ) -> Endpoint:
    """Find the Docker that the docker command talks to.

    Args:
        environment: The variables of the command.

    Raises:
        HostError: A context is selected that is not there, or is broken.
    """
    if host := environment.get("DOCKER_HOST"):
        if not host.strip():
            return _default(environment)
        return Endpoint(_address(host), "DOCKER_HOST", "unset DOCKER_HOST")
    folder = config_folder(environment)
    if name := environment.get("DOCKER_CONTEXT"):
        by, undo = f"the context {name!r} (DOCKER_CONTEXT)", "unset DOCKER_CONTEXT"
    else:
        name = _selected(folder)
        by = f"the context {name!r} (docker context use, {folder / FILE_NAME})"
        undo = "docker context use default"
    if name == _DEFAULT:
        return _default(environment)
    return Endpoint(_address(_host_of(folder, name, by, undo)), by, undo)


def _default(environment: Mapping[str, str]) -> Endpoint:
    named = next((name for name in _TLS if environment.get(name)), "")
    return Endpoint(_TLS_ADDRESS, named, f"unset {' '.join(_TLS)}") if named else Endpoint()


def _selected(folder: Path) -> str:
    """Return the name of the selected context; the default one if the configuration is broken."""
    with suppress(OSError, ValueError):
        name = setting(parse_config(_read(folder / FILE_NAME)), "currentcontext")
        if isinstance(name, str) and name:
            return name.encode(errors="replace").decode()
    return _DEFAULT


def _host_of(folder: Path, name: str, by: str, undo: str) -> str:
    path = (
        folder / "contexts" / "meta" / hashlib.sha256(os.fsencode(name)).hexdigest() / "meta.json"
    )
    try:
        endpoints = setting(parse_config(_read(path)), "endpoints")
        return str(setting(endpoints["docker"], "host") or "")
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        what = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise HostError(
            f"{by} {what}: {path}",
            meaning="So it is not known which Docker is meant.",
            remedy=f"{undo}, or make the context again: docker context create {name}",
        ) from error


def _read(path: Path) -> bytes:
    """Return a file of a user's, who may have put anything there for root to wait for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return file.read(LIMITS.spec_bytes)


def _address(text: str) -> str:
    """Return an address as the command completes it."""
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if not text or (scheme == "unix" and separator and not rest):
        return _UNIX + DEFAULT_SOCKET
    return text if separator else f"tcp://{text}"
