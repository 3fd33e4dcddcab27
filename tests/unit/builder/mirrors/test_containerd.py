from __future__ import annotations

import tomllib
from posixpath import normpath
from typing import Any

from hypothesis import given

from airgap.builder.mirrors.containerd import containerd
from airgap.builder.mirrors.mirror import Mirror
from tests.unit.builder.mirrors.servers import BOTH, FOREIGN, HERE, mirrors

FOLDER = "/etc/containerd/certs.d"
PULL = {"capabilities": ["pull", "resolve"], "override_path": True}


def _hosts(mirror: Mirror, host: str) -> dict[str, Any]:
    return tomllib.loads(containerd(mirror).files[f"{FOLDER}/{host}/hosts.toml"])


def test_the_mirror_stands_for_the_upstream_itself() -> None:
    url = "http://127.0.0.1:5001/v2/ghcr.io"
    assert _hosts(HERE, "ghcr.io") == {"server": url, **PULL, "host": {url: PULL}}


def test_there_is_a_folder_for_every_upstream_and_for_docker_hub() -> None:
    assert {path.split("/")[4] for path in containerd(HERE).files} == {"docker.io", "ghcr.io"}


def test_of_several_addresses_the_last_one_is_the_server() -> None:
    config = _hosts(BOTH, "docker.io")
    assert config["server"] == "http://127.0.0.1:5001/v2/docker.io"
    assert list(config["host"]) == ["http://172.17.0.1:5001/v2/docker.io", config["server"]]


def test_the_path_in_a_registry_and_its_authority_are_named() -> None:
    url = "https://harbor.example.internal/v2/team/mirror/ghcr.io"
    told = {**PULL, "ca": "../harbor.example.internal/ca.crt"}
    assert _hosts(FOREIGN, "ghcr.io") == {"server": url, **told, "host": {url: told}}


@given(mirror=mirrors())
def test_whatever_the_hosts_it_is_toml_that_says_so(mirror: Mirror) -> None:
    files = containerd(mirror).files
    for host in mirror.upstreams:
        config = _hosts(mirror, host)
        told = list(config["host"])
        assert config["server"] == told[-1]
        assert told == [
            f"{'http' if server.http else 'https'}://{server.address}/v2/"
            + server.mirrored(host).removeprefix(f"{server.address}/")
            for server in mirror.servers
        ]
        for part in (config, *config["host"].values()):
            if "ca" in part:
                assert normpath(f"{FOLDER}/{host}/{part['ca']}") in files
