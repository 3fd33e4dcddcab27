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

_NOTES = (
    "containerd reads these files anew for each pull, and never asks the upstream: server is the "
    "mirror too.",
    "containerd 2 looks there unless its configuration says otherwise. containerd 1 does so for "
    "Kubernetes only with this in /etc/containerd/config.toml, after a restart:\n"
    '  [plugins."io.containerd.grpc.v1.cri".registry]\n'
    f"    config_path = {text(_FOLDER)}",
    f"nerdctl reads them too; ctr takes --hosts-dir {_FOLDER}.",
)


def containerd(mirror: Mirror) -> EngineConfig:
    """The configuration of containerd, for Kubernetes (CRI), nerdctl and ctr."""
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
