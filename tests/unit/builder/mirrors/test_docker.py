from __future__ import annotations

import json

from hypothesis import given

from airgap.builder.mirrors.docker import docker
from airgap.builder.mirrors.mirror import Mirror
from tests.unit.builder.mirrors.servers import BOTH, FOREIGN, mirrors

FILE = "/etc/docker/daemon.json"


def test_the_setting_has_every_address() -> None:
    assert json.loads(docker(BOTH).files[FILE]) == {
        "registry-mirrors": ["http://172.17.0.1:5001", "http://127.0.0.1:5001"]
    }


def test_it_says_that_the_setting_is_for_docker_hub_alone() -> None:
    assert any("Docker Hub alone" in note for note in docker(BOTH).notes)


def test_a_mirror_with_a_path_is_no_mirror_for_the_setting() -> None:
    config = docker(FOREIGN)
    assert FILE not in config.files
    assert "/etc/docker/certs.d/docker.io/hosts.toml" in config.files
    assert any("takes no path" in note for note in config.notes)


@given(mirror=mirrors())
def test_whatever_the_hosts_it_is_json_that_says_so(mirror: Mirror) -> None:
    files = docker(mirror).files
    if FILE in files:
        told = json.loads(files[FILE])["registry-mirrors"]
        addresses = [server.address for server in mirror.servers]
        assert [url.partition("://")[2] for url in told] == addresses
