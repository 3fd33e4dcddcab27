"""k3s and RKE2: `registries.yaml`.

Source: their documentation, "Private Registry Configuration". The rules of `rewrite` are Go's
regular expressions; they hold for all endpoints of a host.
"""

from __future__ import annotations

import json

from airgap.builder.mirrors.mirror import (
    HEADER,
    EngineConfig,
    Mirror,
    authority_path,
    endpoint,
)
from airgap.oci.registries import is_loopback

_LOOPBACK = (
    "127.0.0.1 is each node itself: this works on this host alone. For nodes elsewhere give "
    "--elsewhere."
)


def k3s(mirror: Mirror) -> EngineConfig:
    """Return the configuration of k3s, for every node."""
    return _config(mirror, "k3s")


def rke2(mirror: Mirror) -> EngineConfig:
    """Return the configuration of RKE2, for every node."""
    return _config(mirror, "rke2")


def _config(mirror: Mirror, name: str) -> EngineConfig:
    folder = f"/etc/rancher/{name}"
    files = {
        f"{folder}/registries.yaml": _registries_yaml(mirror, f"{folder}/certs"),
        f"{folder}/config.yaml.d/airgap.yaml": f"{HEADER}disable-default-registry-endpoint: true\n",
        **mirror.authority_files(f"{folder}/certs"),
    }
    notes = [
        f"The files belong on every node; {name} reads them when it starts.",
        f"config.yaml.d/airgap.yaml has {name} never ask the upstream. Releases before January "
        "2024 do not know that setting: leave the file out there, and they ask the upstream after "
        "the mirror.",
    ]
    if any(is_loopback(server.address) for server in mirror.servers):
        notes.append(_LOOPBACK)
    return EngineConfig(files, notes)


def _registries_yaml(mirror: Mirror, authorities: str) -> str:
    first, *others = mirror.servers
    servers = [first, *(server for server in others if server.prefix == first.prefix)]
    lines = ["mirrors:"]
    for host in mirror.upstreams:
        path = first.mirrored(host).removeprefix(first.address).lstrip("/")
        lines += [
            f"  {_text(host)}:",
            "    endpoint:",
            *(f"      - {_text(endpoint(server))}" for server in servers),
            "    rewrite:",
            f"      {_text('^(.*)$')}: {_text(f'{path}/$1'.lstrip('/'))}",
        ]
    with_authority = [server for server in mirror.all_servers if server.ca]
    if with_authority:
        lines.append("configs:")
    for server in with_authority:
        ca = authority_path(authorities, server)
        lines += [f"  {_text(server.address)}:", "    tls:", f"      ca_file: {_text(ca)}"]
    return HEADER + "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """Return a YAML double-quoted scalar: JSON's strings are some of them."""
    return json.dumps(value)
