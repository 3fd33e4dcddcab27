"""containerd: a folder with `hosts.toml` for each upstream host.

Source: containerd's `docs/hosts.md` and `core/remotes/docker/config/hosts.go`. The upstream would
be asked last; in its place stands the mirror again, as `server`.
"""

from __future__ import annotations

from airgap.builder.mirrors.mirror import HEADER, EngineConfig, Mirror, authority_path, endpoint
from airgap.builder.registry_server import RegistryServer
from airgap.spec.toml import text, texts

_FOLDER = "/etc/containerd/certs.d"
_CAPABILITIES = ("pull", "resolve")

_PLUGINS = {3: "io.containerd.cri.v1.images", 2: "io.containerd.grpc.v1.cri"}
"""The version of containerd's own configuration to the plugin that pulls for Kubernetes."""


def config_path(version: int) -> str:
    """Return what has Kubernetes' pulls look into the folder; containerd's own default does not.

    The default of containerd 2 is a list of two folders, which it takes for one (its issue 12808).

    Args:
        version: That of containerd's configuration: 3, or 2, which containerd 1 reads too.
    """
    return f"[plugins.{text(_PLUGINS[version])}.registry]\n  config_path = {text(_FOLDER)}\n"


_NOTES = (
    "containerd reads these files again for each pull, and never asks the upstream: server is the "
    "mirror too.",
    "For Kubernetes it does so only with this in /etc/containerd/config.toml, and after a restart. "
    f"In a file of version 3, which containerd 2 has:\n{config_path(3)}"
    f"In a file of version 2:\n{config_path(2)}",
    f"ctr takes --hosts-dir {_FOLDER}; that of containerd 2 also --local --skip-metadata, because "
    "bundles leave platforms out. nerdctl reads the files by itself.",
)


def containerd(mirror: Mirror) -> EngineConfig:
    """Return the configuration of containerd, for Kubernetes (CRI), nerdctl and ctr."""
    return EngineConfig(host_folders(mirror, _FOLDER), _NOTES)


def host_folders(mirror: Mirror, folder: str) -> dict[str, str]:
    """Below a folder: `hosts.toml` of each upstream, and the authorities."""
    hosts = {f"{folder}/{host}/hosts.toml": _hosts_toml(mirror, host) for host in mirror.upstreams}
    return hosts | mirror.authority_files(folder)


def _hosts_toml(mirror: Mirror, host: str) -> str:
    last = mirror.servers[-1]
    # containerd 1 refuses a file without a table, so that the last server is there twice.
    tables = (
        f"\n[host.{text(_url(server, host))}]\n{_settings(server, '  ')}"
        for server in mirror.servers
    )
    return f"{HEADER}server = {text(_url(last, host))}\n{_settings(last, '')}{''.join(tables)}"


def _settings(server: RegistryServer, indent: str) -> str:
    lines = [f"capabilities = {texts(_CAPABILITIES)}", "override_path = true"]
    if server.ca:
        # A relative path begins at the host's own folder.
        lines.append(f"ca = {text(authority_path('..', server))}")
    return "".join(f"{indent}{line}\n" for line in lines)


def _url(server: RegistryServer, host: str) -> str:
    path = server.mirrored(host).removeprefix(server.address)
    return f"{endpoint(server)}/v2{path}"
