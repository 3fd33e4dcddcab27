from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import IntegrityError, UsageError
from airgap.isolated.node_file import (
    NodeFile,
    Port,
    parse_node_file,
    read_node_file,
    split_address,
    write_node_file,
)
from airgap.limits import LIMITS
from airgap.trust.certificates import Purpose, issue, new_authority

NOW = datetime.now(UTC)
REGISTRY, NODE = "192.0.2.10", "192.0.2.20"
AUTHORITY = new_authority("registry", REGISTRY, NOW, 90)
CLIENTS = new_authority("node", NODE, NOW, 30)
SERVER = issue(CLIENTS, NODE, Purpose.SERVER, NOW, 30)
GOOD = NodeFile(
    "arm",
    (f"{REGISTRY}:5001", f"{REGISTRY}:5000"),
    AUTHORITY.certificate,
    Port(f"{NODE}:1234", CLIENTS.certificate, SERVER),
)


def _document(tmp_path: Path, file: NodeFile = GOOD) -> dict[str, Any]:
    write_node_file(tmp_path / "arm.node", file)
    document: dict[str, Any] = json.loads((tmp_path / "arm.node").read_bytes())
    return document


def test_what_was_written_is_read_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "arm.node"
    for file in (GOOD, NodeFile("arm", (), b"", None), NodeFile("arm", (), b"", GOOD.port)):
        write_node_file(path, file)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert read_node_file(path) == file


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("airgap-node", 2, "another version"),
        ("name", "../../etc", "no name of a node"),
        ("name", None, "missing"),
        ("name", ["arm"], "missing"),
        ("registries", {"a": "b"}, "missing"),
        ("registries", [1], "missing"),
        ("registries", ["../../etc:1"], "not HOST:PORT"),
        ("registries", ["192.0.2.10:5000/../x"], "not HOST:PORT"),
        ("registries", ["192.0.2.10"], "not HOST:PORT"),
        ("registries", ["192.0.2.10:99999"], "not HOST:PORT"),
        ("registries", ["192.0.2.11:5000"], "cannot vouch"),
        ("registries", ["docker.io:443"], "cannot vouch"),
        ("registries", ["127.0.0.1:5000"], "cannot vouch"),
        ("registries", [f"{REGISTRY}:{port}" for port in range(1, 100)], "more than"),
        ("listen", "192.0.2.21:1234", "not for 192.0.2.21"),
        ("listen", "192.0.2.20", "not HOST:PORT"),
        ("listen", "", "not HOST:PORT"),
        ("clients", AUTHORITY.certificate.decode(), "do not belong together"),
        ("certificate", CLIENTS.certificate.decode(), "do not belong together"),
        ("key", AUTHORITY.key.decode(), "do not belong together"),
        ("key", None, "missing"),
        ("key", "ü", "missing"),
    ],
)
def test_what_does_not_hold_is_refused(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    data = json.dumps(_document(tmp_path) | {key: value}).encode()
    with pytest.raises(UsageError, match=message):
        parse_node_file(data, NOW)


@pytest.mark.parametrize("key", ["authority", "clients", "certificate", "key"])
def test_junk_in_place_of_a_certificate_is_refused(tmp_path: Path, key: str) -> None:
    data = json.dumps(_document(tmp_path) | {key: "junk"}).encode()
    with pytest.raises((UsageError, IntegrityError)):
        parse_node_file(data, NOW)


def test_an_authority_for_the_whole_world_is_refused(tmp_path: Path) -> None:
    """A file could otherwise have a node trust somebody for any registry there is."""
    import trustme

    anybody = trustme.CA().cert_pem.bytes().decode()
    data = json.dumps(_document(tmp_path) | {"authority": anybody}).encode()
    with pytest.raises(UsageError, match="cannot vouch"):
        parse_node_file(data, NOW)


def test_a_file_that_is_over_is_refused(tmp_path: Path) -> None:
    data = json.dumps(_document(tmp_path)).encode()
    parse_node_file(data, NOW + timedelta(days=29))
    with pytest.raises(UsageError, match="it was over on"):
        parse_node_file(data, NOW + timedelta(days=31))


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "arm.node"
    path.write_bytes(b" " * (LIMITS.node_bytes + 1))
    with pytest.raises(UsageError, match="larger than"):
        read_node_file(path)
    with pytest.raises(UsageError, match="cannot read"):
        read_node_file(tmp_path / "none")


@given(st.binary(max_size=200) | st.integers(1, 60_000).map(lambda depth: b"[" * depth))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        parse_node_file(data, NOW)


@given(st.text(max_size=60))
def test_an_address_has_a_host_and_a_port(text: str) -> None:
    try:
        host, port = split_address(text)
    except UsageError:
        return
    assert 0 < port < 65536
    assert host
    assert not set(host) & set("/\\ @\n[]")


def test_addresses_of_ipv6_lose_their_brackets() -> None:
    assert split_address("[2001:DB8::1]:1234") == ("2001:db8::1", 1234)
