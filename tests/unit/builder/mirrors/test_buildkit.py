from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given

from airgap.builder.mirrors.buildkit import buildkit
from airgap.builder.mirrors.mirror import Mirror
from tests.unit.builder.mirrors.servers import BOTH, FOREIGN, HERE, mirrors

FILE = "/etc/buildkit/buildkitd.toml"


def _registry(mirror: Mirror) -> dict[str, Any]:
    sections: dict[str, Any] = tomllib.loads(buildkit(mirror).files[FILE])["registry"]
    return sections


def test_mirrors_are_asked_in_their_order() -> None:
    assert _registry(BOTH)["ghcr.io"]["mirrors"] == [
        "172.17.0.1:5001/ghcr.io",
        "127.0.0.1:5001/ghcr.io",
    ]


def test_the_authority_is_named_where_the_file_lies() -> None:
    sections, files = _registry(FOREIGN), buildkit(FOREIGN).files
    for address in ("harbor.example.internal", "harbor.example.internal:5000"):
        (path,) = sections[address]["ca"]
        assert path in files


def test_loopback_is_warned_of() -> None:
    assert any("--elsewhere" in note for note in buildkit(HERE).notes)
    assert not any("--elsewhere" in note for note in buildkit(FOREIGN).notes)


@given(mirror=mirrors())
def test_whatever_the_hosts_it_is_toml_that_says_so(mirror: Mirror) -> None:
    sections = _registry(mirror)
    for host in mirror.upstreams:
        assert sections[host]["mirrors"] == [server.mirrored(host) for server in mirror.servers]
    for server in mirror.all_servers:
        section = sections.get(server.address, {})
        assert section.get("http", False) is server.http
        assert bool(section.get("ca")) is bool(server.ca)
