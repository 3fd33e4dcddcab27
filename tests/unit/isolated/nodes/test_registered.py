from __future__ import annotations

import os
import stat
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airgap.builder.config import Listener, buildkitd_toml
from airgap.errors import HostError, NotFoundError, UsageError
from airgap.isolated.nodes import membership, registered
from airgap.isolated.nodes.node_file import NodeFile
from airgap.isolated.services import containers
from airgap.isolated.state.layout import State
from airgap.isolated.state.settings import HostSettings
from airgap.isolated.steps.enable import builder_nodes
from airgap.oci.platform import native_platform
from tests import forge
from tests.unit.isolated.nodes.test_node_file import GOOD
from tests.unit.isolated.services.test_site_registry import CHOSEN, work_with

TCP, SSH = "tcp://192.0.2.20:1234", "ssh://builder@192.0.2.20"
OTHER = "linux/arm64" if native_platform().architecture != "arm64" else "linux/amd64"


def _added(state: State, name: str = "arm", endpoint: str = TCP) -> registered.Node:
    node = registered.check_new(state, name, endpoint, [OTHER])
    registered.issue_server_certificate(node, 30)
    registered.keep(node)
    return node


@pytest.mark.parametrize(
    "text",
    [TCP, SSH, "ssh://192.0.2.20:2222", "tcp://[2001:db8::1]:1234", "tcp://arm.example.internal:1"],
)
def test_an_endpoint_is_tcp_or_ssh(text: str) -> None:
    assert registered.parse_endpoint(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "192.0.2.20:1234", "tcp://192.0.2.20", "tcp://192.0.2.20:0", "tcp://:1234"),
        *("tcp://user@192.0.2.20:1234", "ssh://-oProxyCommand=x", "ssh://a@-b", "ssh://a:b@c"),
        *("unix:///run/x", "docker-container://x", "tcp://192.0.2.20:1234/x", "tcp://a:1?x=y"),
        *("ssh://a b", "ssh://a/..", "ssh://a#b", "tcp://[::1:1234", "ssh://$(id)"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no endpoint"):
        registered.parse_endpoint(text)


@pytest.mark.parametrize("name", ["", "Arm", "a/b", "..", "-a", "a_b", "a" * 32, "a\n"])
def test_a_name_is_a_folder_and_a_word_of_buildx(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        registered.check_new(State(tmp_path), name, TCP, [OTHER])


def test_each_platform_has_one_node_and_this_host_its_own(tmp_path: Path) -> None:
    state = State(tmp_path)
    node = _added(state)
    assert registered.nodes(state) == [node]
    assert registered.node(state, "arm") == node
    with pytest.raises(UsageError, match="already"):
        registered.check_new(state, "arm", SSH, ["linux/riscv64"])
    with pytest.raises(UsageError, match=f"arm builds for {OTHER} already"):
        registered.check_new(state, "other", SSH, [OTHER])
    with pytest.raises(UsageError, match="itself"):
        registered.check_new(state, "other", SSH, [str(native_platform())])
    registered.remove(node)
    assert registered.nodes(state) == []
    assert not node.folder.exists()
    with pytest.raises(NotFoundError):
        registered.node(state, "arm")


def test_openssl_takes_the_two_for_a_client_and_a_server(tmp_path: Path) -> None:
    node = registered.check_new(State(tmp_path), "arm", TCP, [OTHER])
    port = registered.issue_server_certificate(node, 30)
    assert port is not None
    server = tmp_path / "server.crt"
    server.write_bytes(port.server.certificate)
    for purpose, certificate in (("sslclient", node.folder / "client.crt"), ("sslserver", server)):
        verify = ["openssl", "verify", "-x509_strict", "-CAfile", str(node.folder / "ca.crt")]
        for asked, known in ((purpose, True), ({"sslclient", "sslserver"} - {purpose}, False)):
            name = asked if isinstance(asked, str) else next(iter(asked))
            done = subprocess.run(
                [*verify, "-purpose", name, str(certificate)], capture_output=True, check=False
            )
            assert (done.returncode == 0) == known
    assert node.until is not None
    assert timedelta(days=29) < node.until - datetime.now(UTC) < timedelta(days=31)
    # The authority's key is nowhere: nobody can sign a third one.
    assert sorted(os.listdir(node.folder)) == ["ca.crt", "client.crt", "client.key"]  # noqa: PTH208
    assert stat.S_IMODE((node.folder / "client.key").stat().st_mode) == 0o640


def test_a_node_that_is_not_complete_does_not_count(tmp_path: Path) -> None:
    state = State(tmp_path)
    registered.issue_server_certificate(registered.check_new(state, "arm", TCP, [OTHER]), 30)
    assert registered.nodes(state) == []


def test_a_damaged_note_is_named_with_what_helps(tmp_path: Path) -> None:
    state = State(tmp_path)
    node = _added(state)
    (node.folder / "node.json").write_text("{")
    with pytest.raises(HostError, match="cannot be read") as raised:
        registered.nodes(state)
    assert raised.value.remedy == "airgap node remove arm"


def test_with_nodes_each_platform_is_given_to_one(tmp_path: Path) -> None:
    image = forge.indexed("ghcr.io/org/app:1", ["linux/amd64", "linux/arm64", "linux/arm/v7"])
    work = work_with(tmp_path, image, settings=HostSettings())
    (alone,) = builder_nodes(work, "airgap")
    assert alone.platforms == ()
    _added(work.state)
    own, other = builder_nodes(work, "airgap")
    assert own.name == "airgap0"
    assert own.platforms == (str(native_platform()), "linux/arm/v7")
    assert (other.endpoint, other.platforms) == (TCP, (OTHER,))
    folder = work.state.nodes / "arm"
    assert f"key={folder}/client.key" in other.options
    assert "default-load=true" in other.options
    # Recordings are here.
    assert len(builder_nodes(work, "airgap-replay")) == 1
    assert "default-load=true" not in builder_nodes(work, "airgap-compose")[1].options


def test_by_ssh_a_docker_context_leads_there(tmp_path: Path) -> None:
    work = work_with(tmp_path, settings=HostSettings())
    _added(work.state, endpoint=SSH)
    node = builder_nodes(work, "airgap")[1]
    assert node.endpoint == "docker-container://airgap-buildkitd?context=airgap-arm"
    assert (node.context, node.host) == ("airgap-arm", SSH)
    assert not [option for option in node.options if option.startswith("key=")]


def test_a_node_trusts_what_the_other_host_serves(tmp_path: Path) -> None:
    work = work_with(tmp_path, settings=CHOSEN)
    assert membership.joined(work.state) is None
    membership.join(work.state, NodeFile("arm", GOOD.registries, GOOD.authority, None))
    sections = tomllib.loads(containers.config_text(work, containers.BUILDER))
    for address in GOOD.registries:
        assert sections["registry"][address] == {
            "http": False,
            "ca": ["/etc/airgap/ca/registry.crt"],
        }
    assert "grpc" not in sections
    membership.leave(work.state)
    assert membership.joined(work.state) is None
    assert not work.state.joined.exists()


def test_buildkit_is_told_where_it_listens_beside_its_socket() -> None:
    listener = Listener("tcp://192.0.2.20:1234", "/a/ca.crt", "/a/node.crt", "/a/node.key")
    config = tomllib.loads(buildkitd_toml([], [], listener=listener))
    assert config["grpc"] == {
        "address": ["unix:///run/buildkit/buildkitd.sock", "tcp://192.0.2.20:1234"],
        "tls": {"ca": "/a/ca.crt", "cert": "/a/node.crt", "key": "/a/node.key"},
    }
