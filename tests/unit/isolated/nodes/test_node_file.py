from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from airgap.canonical import canonical
from airgap.errors import HostError, IntegrityError, UsageError
from airgap.isolated.nodes.membership import join, joined
from airgap.isolated.nodes.node_file import (
    NodeFile,
    Port,
    parse_node_file,
    read_node_file,
    split_address,
    to_bytes,
    write_node_file,
)
from airgap.isolated.state.layout import State
from airgap.limits import LIMITS
from airgap.trust.certificates import Purpose, issue, new_authority

NOW = datetime.now(UTC)
REGISTRY, NODE = "192.0.2.10", "192.0.2.20"
AUTHORITY = new_authority("the registry", REGISTRY, NOW, 90)
CLIENTS = new_authority("a node", NODE, NOW, 30)
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
        ("registries", ["192.0.2.10:05000"], "not HOST:PORT"),
        ("registries", ["192.0.2.11:5000"], "cannot sign"),
        ("registries", ["docker.io:443"], "cannot sign"),
        ("registries", ["127.0.0.1:5000"], "cannot sign"),
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
    data = canonical(_document(tmp_path) | {key: value})
    with pytest.raises(UsageError, match=message):
        parse_node_file(data, NOW)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "registry.localhost",
        "localhost.localdomain",
        "127.1",
        "127.000.0.1",
        "2130706433",
        "0x7F000001",
        "127.255.0.3",
        "0.0.0.0",  # noqa: S104 - nothing listens there
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:7f00:1]",
    ],
)
def test_no_authority_is_taken_for_this_host_itself_however_it_is_written(host: str) -> None:
    authority = new_authority("the registry", host.strip("[]").lower(), NOW, 90)
    file = NodeFile("arm", (f"{host}:5000",), authority.certificate, None)
    with pytest.raises(UsageError, match="cannot sign"):
        parse_node_file(to_bytes(file), NOW)


@pytest.mark.parametrize("host", ["3par", "registry.example", "192.0.2.1", "[2001:db8::1]"])
def test_an_authority_for_another_host_is_taken(host: str) -> None:
    authority = new_authority("the registry", host.strip("[]"), NOW, 90)
    file = NodeFile("arm", (f"{host}:5000",), authority.certificate, None)
    assert parse_node_file(to_bytes(file), NOW) == file


@pytest.mark.parametrize("key", ["authority", "clients", "certificate", "key"])
def test_junk_instead_of_a_certificate_is_refused(tmp_path: Path, key: str) -> None:
    data = canonical(_document(tmp_path) | {key: "junk"})
    with pytest.raises((UsageError, IntegrityError)):
        parse_node_file(data, NOW)


def test_an_authority_for_the_whole_world_is_refused(tmp_path: Path) -> None:
    """A file could otherwise have a node trust somebody for any registry there is."""
    import trustme

    anybody = trustme.CA().cert_pem.bytes().decode()
    data = canonical(_document(tmp_path) | {"authority": anybody})
    with pytest.raises(UsageError, match="cannot sign"):
        parse_node_file(data, NOW)


@pytest.mark.parametrize("key", ["authority", "clients", "certificate", "key"])
@pytest.mark.parametrize("more", ["block", "text", "crlf", "newline"])
def test_what_is_installed_is_one_block_and_all_of_it_was_checked(
    tmp_path: Path, key: str, more: str
) -> None:
    """A second CA in the file would be trusted by all that reads `/etc/ssl/certs`."""
    import trustme

    good = _document(tmp_path)[key]
    anybody = trustme.CA().cert_pem.bytes().decode()
    changed = {
        "block": [good + anybody, anybody + good, good + good, good.rstrip() + anybody],
        "text": [
            f"x {good}",
            f"x\n{good}",
            f"{good}x",
            good.replace("-----\n", "-----\nA: b\n\n", 1),
        ],
        "crlf": [good.replace("\n", "\r\n")],
        "newline": [f"\n{good}", f"{good}\n", good.replace("\n", "\n\n")],
    }
    for text in changed[more]:
        with pytest.raises((UsageError, IntegrityError)):
            parse_node_file(canonical(_document(tmp_path) | {key: text}), NOW)


def test_a_file_that_says_the_same_in_other_bytes_is_refused(tmp_path: Path) -> None:
    document = _document(tmp_path)
    good = canonical(document)
    parse_node_file(good, NOW)
    for data in (
        json.dumps(document).encode(),
        b" " + good,
        good + b"\n",
        good.rstrip(),
        good.replace(b'"name":', b'"name":"other","name":'),
        canonical(document | {"more": "x"}),
        canonical(document | {"../../etc/x": "--"}),
    ):
        with pytest.raises(UsageError, match="not in the form that airgap node add writes"):
            parse_node_file(data, NOW)


def test_a_servers_own_certificate_is_no_authority(tmp_path: Path) -> None:
    """It has the constraints of one, and names of its own that every host would believe."""
    key = ec.generate_private_key(ec.SECP256R1())
    good = x509.load_pem_x509_certificate(GOOD.authority)
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the registry")])
    forged = (
        x509.CertificateBuilder(named, named, key.public_key(), 1, NOW, NOW + timedelta(9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("other.example")]), critical=False)
        .add_extension(
            good.extensions.get_extension_for_class(x509.NameConstraints).value, critical=True
        )
        .sign(key, hashes.SHA256())
    )
    text = forged.public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(UsageError, match="cannot sign"):
        parse_node_file(canonical(_document(tmp_path) | {"authority": text}), NOW)


def test_an_authority_for_no_registry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no registry"):
        parse_node_file(canonical(_document(tmp_path) | {"registries": []}), NOW)


@pytest.mark.parametrize("more", [False, True])
def test_an_authority_that_an_earlier_version_took_with_more_is_refused(
    tmp_path: Path, more: bool
) -> None:
    import trustme

    state = State(tmp_path)
    join(state, NodeFile("arm", GOOD.registries, GOOD.authority, None))
    assert joined(state) is not None
    path = state.joined / "registry.crt"
    if more:
        path.write_bytes(GOOD.authority + trustme.CA().cert_pem.bytes())
    else:
        path.unlink()
    with pytest.raises(HostError, match=r"registry\.crt|one certificate") as caught:
        joined(state)
    assert caught.value.remedy == "airgap node leave"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "arm.node")
    with pytest.raises(UsageError, match="it is not a regular file"):
        read_node_file(tmp_path / "arm.node")


def test_a_file_that_is_over_is_refused(tmp_path: Path) -> None:
    data = canonical(_document(tmp_path))
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
