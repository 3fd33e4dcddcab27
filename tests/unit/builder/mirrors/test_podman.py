from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given

from airgap.builder.mirrors.mirror import Mirror
from airgap.builder.mirrors.podman import podman
from tests.unit.builder.mirrors.servers import BOTH, FOREIGN, HERE, mirrors

FILE = "/etc/containers/registries.conf.d/airgap.conf"


def _registries(mirror: Mirror) -> list[dict[str, Any]]:
    sections: list[dict[str, Any]] = tomllib.loads(podman(mirror).files[FILE])["registry"]
    return sections


def test_the_mirror_stands_for_the_upstream_itself() -> None:
    assert _registries(HERE)[:2] == [
        {"prefix": host, "location": f"127.0.0.1:5001/{host}", "insecure": True}
        for host in ("docker.io", "ghcr.io")
    ]


def test_the_registry_for_pushes_says_that_it_speaks_http() -> None:
    assert _registries(HERE)[2:] == [{"location": "127.0.0.1:5000", "insecure": True}]


def test_of_several_addresses_the_last_one_is_the_location() -> None:
    assert _registries(BOTH)[1] == {
        "prefix": "ghcr.io",
        "location": "127.0.0.1:5001/ghcr.io",
        "insecure": True,
        "mirror": [{"location": "172.17.0.1:5001/ghcr.io", "insecure": True}],
    }


def test_a_registry_with_an_authority_is_secure() -> None:
    assert _registries(FOREIGN)[1] == {
        "prefix": "ghcr.io",
        "location": "harbor.example.internal/team/mirror/ghcr.io",
    }


@given(mirror=mirrors())
def test_whatever_the_hosts_it_is_toml_that_says_so(mirror: Mirror) -> None:
    sections = {one["prefix"]: one for one in _registries(mirror) if "prefix" in one}
    assert list(sections) == mirror.upstreams
    for host, section in sections.items():
        places = [*section.get("mirror", ()), section]
        assert [(one["location"], one.get("insecure", False)) for one in places] == [
            (server.mirrored(host), server.http) for server in mirror.servers
        ]
