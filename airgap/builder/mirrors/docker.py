"""Docker Engine: `daemon.json`, and with the containerd image store also `hosts.toml`.

Source: moby's `daemon/pkg/registry/config.go` and `daemon/hosts.go`.
"""

from __future__ import annotations

import json

from airgap.builder.mirrors.containerd import host_folders
from airgap.builder.mirrors.mirror import EngineConfig, Mirror, endpoint

_FILE = "/etc/docker/daemon.json"
_FOLDER = "/etc/docker/certs.d"

_FOR_HUB = (
    "daemon.json: registry-mirrors is for Docker Hub alone, and after the mirror Docker asks "
    "Docker Hub itself. Add the setting to the file if there is one, and reload Docker. "
    "airgap install has done that on this host."
)
_NO_PATH = (
    "registry-mirrors takes no path, and this mirror has one: without the containerd image store "
    "Docker itself cannot use it."
)
_FOR_ALL = (
    "certs.d: Docker Engine with the containerd image store, which new installs of Engine 29 have, "
    "reads hosts.toml for all hosts, again for each pull, and then never asks the upstream. With "
    "the other image store it does not: there docker pull finds images of Docker Hub alone."
)


def docker(mirror: Mirror) -> EngineConfig:
    """Return the configuration of dockerd."""
    files = host_folders(mirror, _FOLDER)
    if any(server.prefix for server in mirror.servers):
        return EngineConfig(files, (_NO_PATH, _FOR_ALL))
    mirrors = [endpoint(server) for server in mirror.servers]
    setting = json.dumps({"registry-mirrors": mirrors}, indent=2) + "\n"
    return EngineConfig({_FILE: setting, **files}, (_FOR_HUB, _FOR_ALL))
