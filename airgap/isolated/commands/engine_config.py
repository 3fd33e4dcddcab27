"""`airgap mirrors`: the configuration that sends other engines to this host's mirror."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from airgap.builder.mirrors.engines import ENGINES
from airgap.builder.mirrors.mirror import HEADER, EngineConfig, Mirror
from airgap.builder.registry_server import RegistryServer
from airgap.disk import write_theirs
from airgap.errors import HostError
from airgap.isolated.context import Context
from airgap.isolated.host.files import not_writable
from airgap.isolated.services import containers
from airgap.limits import LIMITS
from airgap.oci.registries import is_loopback


def engine_config(context: Context, engine: str, *, elsewhere: bool) -> EngineConfig:
    """Return what an engine is to be told.

    Args:
        context: Of this host.
        engine: A key of `ENGINES`.
        elsewhere: The engine is not on this host: only addresses that others reach count.

    Raises:
        HostError: No such address is served, or a CA cannot be read.
    """
    bridge = context.engine.bridge_gateway()
    mirrors = containers.mirror_servers(context)
    served = containers.listening(context).get(containers.MIRROR_TLS)
    if elsewhere and served:  # this host's own engines need no account with what is for others
        mirrors.append(served)
    servers = reached(mirrors, bridge, engine, elsewhere=elsewhere)
    registries = reached(containers.registry_servers(context), bridge, engine, elsewhere=elsewhere)
    if not servers:
        raise HostError(
            "the mirror is served to this host alone",
            meaning="Its addresses are loopback and Docker's bridge, which no other host has.",
            remedy="have it listen on an address of the network: "
            "airgap install DIR --listen ADDRESS, or keep it in a registry of your site: "
            "airgap install DIR --registry HOST/PREFIX",
        )
    known = (*servers, *registries)
    own = {*context.settings.site_registries, *(server.address for server in known)}
    hosts = [host for host in context.desired.hosts if host not in own]
    config = ENGINES[engine](Mirror(servers, hosts, registries, _authorities(known)))
    kept = sorted(own.intersection(context.desired.hosts))
    if not kept:
        return config
    note = f"Asked as before, not in the mirror, are this site's own: {', '.join(kept)}."
    return EngineConfig(config.files, (*config.notes, note))


def reached(
    servers: Sequence[RegistryServer], bridge: str, engine: str, *, elsewhere: bool
) -> list[RegistryServer]:
    """Return those of some servers that an engine is to know.

    Args:
        servers: All.
        bridge: This host's address on Docker's bridge, which is for containers; may be empty.
        engine: A key of `ENGINES`.
        elsewhere: The engine is not on this host.
    """
    if elsewhere:
        return [
            server
            for server in servers
            if not (is_loopback(server.address) or _is_at(server, bridge))
        ]
    # BuildKit may be in a container; the others are programs of the host.
    return [server for server in servers if engine == "buildkit" or not _is_at(server, bridge)]


def write(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write files below a folder, in the tree that they belong to.

    Args:
        files: Absolute path on the engine's host to content.
        folder: Stands for the root of that host.

    Returns:
        What is there now.

    Raises:
        HostError: A file is there that is not ours, or cannot be written; nothing was written.
        SpaceError: The disk is full.
    """
    targets = {folder / path.lstrip("/"): text.encode() for path, text in files.items()}
    there = {path: _content(path) for path in targets}
    mark = HEADER.encode()
    # A file that says the same without our mark is someone's own: it stays as it is.
    changed = {
        path: data
        for path, data in targets.items()
        if there[path] not in (data, data.removeprefix(mark))
    }
    foreign = [str(path) for path in changed if there[path] and not there[path].startswith(mark)]
    if foreign:
        raise HostError(
            f"there already, and not written by airgap mirrors: {', '.join(foreign)}",
            remedy="give another folder with --output, and merge the files by hand",
        )
    for path, data in changed.items():
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_theirs(path, data)  # a link into someone's configuration management stays
        except OSError as error:
            raise not_writable(path, error) from error
    return list(targets)


def _is_at(server: RegistryServer, host: str) -> bool:
    return bool(host) and server.address.rpartition(":")[0] == host


def _authorities(servers: Sequence[RegistryServer]) -> dict[str, str]:
    """Return the text of each authority's file."""
    found = {}
    for path in {server.ca for server in servers if server.ca}:
        try:
            with Path(path).open("rb") as file:
                data = file.read(LIMITS.spec_bytes + 1)
            if len(data) > LIMITS.spec_bytes:
                raise ValueError("it is too large")
            # Lists of distributions have names between the certificates, in any script.
            found[path] = data.decode("utf-8", "replace")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise HostError(f"the CA {path} cannot be read: {reason}") from error
    return found


def _content(path: Path) -> bytes:
    """Return what a file holds; nothing if there is none.

    Raises:
        HostError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(LIMITS.spec_bytes)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise not_writable(path, error) from error
