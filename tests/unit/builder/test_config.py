from __future__ import annotations

import tomllib
from typing import Any

from airgap.builder.config import HEADER, buildkitd_toml
from airgap.builder.registry_server import RegistryServer

ADDRESS = "127.0.0.1:5001"
MIRROR = RegistryServer(ADDRESS, http=True)
BRIDGE = RegistryServer("172.17.0.1:5001", http=True)
REGISTRY = RegistryServer("127.0.0.1:5000", http=True)


def _registry(text: str) -> dict[str, Any]:
    sections: dict[str, Any] = tomllib.loads(text)["registry"]
    return sections


def test_every_upstream_host_has_the_mirror_under_its_own_path() -> None:
    sections = _registry(buildkitd_toml(["docker.io", "ghcr.io"], [MIRROR]))
    assert sections["docker.io"] == {"mirrors": [f"{ADDRESS}/docker.io"]}
    assert sections["ghcr.io"] == {"mirrors": [f"{ADDRESS}/ghcr.io"]}


def test_docker_hub_is_there_also_without_an_image_from_it() -> None:
    assert "docker.io" in _registry(buildkitd_toml([], [MIRROR]))


def test_mirrors_and_registries_say_that_they_speak_http() -> None:
    sections = _registry(buildkitd_toml([], [BRIDGE, MIRROR], [REGISTRY]))
    assert sections["docker.io"]["mirrors"] == [
        "172.17.0.1:5001/docker.io",
        f"{ADDRESS}/docker.io",
    ]
    for address in ("172.17.0.1:5001", ADDRESS, "127.0.0.1:5000"):
        assert sections[address] == {"http": True}


def test_an_upstream_at_an_address_of_ours_has_one_section() -> None:
    sections = _registry(buildkitd_toml(["127.0.0.1:5000"], [MIRROR], [REGISTRY]))
    assert sections["127.0.0.1:5000"] == {
        "mirrors": [f"{ADDRESS}/127.0.0.1_5000"],
        "http": True,
    }


def test_it_begins_with_the_mark_by_which_it_is_known_as_ours() -> None:
    assert buildkitd_toml([], [MIRROR]).startswith(HEADER)


def test_the_proxy_network_is_for_all_builds_or_for_those_that_ask() -> None:
    assert "proxyNetwork" not in tomllib.loads(buildkitd_toml([], [MIRROR]))
    assert tomllib.loads(buildkitd_toml([], [MIRROR], proxied=True))["proxyNetwork"] is True


def test_a_registry_with_a_certificate_of_its_own_names_the_authority() -> None:
    server = RegistryServer("harbor.example.internal", ca="/etc/ca.pem", prefix="mirror")
    sections = _registry(buildkitd_toml(["ghcr.io"], [server]))
    assert sections["ghcr.io"] == {"mirrors": ["harbor.example.internal/mirror/ghcr.io"]}
    assert sections["harbor.example.internal"] == {"http": False, "ca": ["/etc/ca.pem"]}


def test_a_registry_that_engines_know_already_needs_no_section() -> None:
    sections = _registry(buildkitd_toml([], [RegistryServer("registry.example.internal")]))
    assert set(sections) == {"docker.io"}
