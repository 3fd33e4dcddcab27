from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given

from airgap.builder.mirrors.k3s import k3s, rke2
from airgap.builder.mirrors.mirror import Mirror
from airgap.builder.registry_server import RegistryServer
from tests.unit.builder.mirrors.servers import BOTH, FOREIGN, HERE, mirrors

FOLDER = "/etc/rancher/k3s"


def _registries(mirror: Mirror) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(k3s(mirror).files[f"{FOLDER}/registries.yaml"])
    return document


def test_a_host_has_its_endpoints_and_a_rule_for_its_repositories() -> None:
    assert _registries(BOTH)["mirrors"]["ghcr.io"] == {
        "endpoint": ["http://172.17.0.1:5001", "http://127.0.0.1:5001"],
        "rewrite": {"^(.*)$": "ghcr.io/$1"},
    }


def test_a_path_is_in_the_rule_and_the_authority_is_named_where_it_lies() -> None:
    document = _registries(FOREIGN)
    assert document["mirrors"]["docker.io"] == {
        "endpoint": ["https://harbor.example.internal"],
        "rewrite": {"^(.*)$": "team/mirror/docker.io/$1"},
    }
    for address in ("harbor.example.internal", "harbor.example.internal:5000"):
        assert document["configs"][address]["tls"]["ca_file"] in k3s(FOREIGN).files


def test_a_server_with_another_path_is_left_out_as_one_rule_holds_for_all() -> None:
    other = RegistryServer("other.example.internal", prefix="elsewhere")
    mirror = Mirror([FOREIGN.servers[0], other], [], (), FOREIGN.authorities)
    assert _registries(mirror)["mirrors"]["docker.io"]["endpoint"] == [
        "https://harbor.example.internal"
    ]


def test_the_upstream_is_never_asked() -> None:
    text = k3s(HERE).files[f"{FOLDER}/config.yaml.d/airgap.yaml"]
    assert yaml.safe_load(text) == {"disable-default-registry-endpoint": True}


def test_loopback_is_warned_of() -> None:
    assert any("--elsewhere" in note for note in k3s(HERE).notes)
    assert not any("--elsewhere" in note for note in k3s(FOREIGN).notes)


def test_rke2_has_the_same_below_its_own_folder() -> None:
    theirs = {path.replace("/rke2/", "/k3s/"): text for path, text in rke2(FOREIGN).files.items()}
    ours = k3s(FOREIGN).files
    assert {path: text.replace("/rke2/", "/k3s/") for path, text in theirs.items()} == ours


@pytest.mark.filterwarnings("error")
@given(mirror=mirrors())
def test_whatever_the_hosts_it_is_yaml_that_says_so(mirror: Mirror) -> None:
    document = _registries(mirror)
    assert sorted(document["mirrors"]) == mirror.upstreams
    first = mirror.servers[0]
    for host, section in document["mirrors"].items():
        (rule,) = section["rewrite"].values()
        assert f"{first.address}/{rule}" == f"{first.mirrored(host)}/$1"
        assert section["endpoint"][0].partition("://")[2] == first.address
    with_authority = {server.address for server in mirror.all_servers if server.ca}
    assert set(document.get("configs", ())) == with_authority
