"""Which addresses are refused, in all ways to write them."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.connected.public_addresses import (
    REFUSED,
    RefusedAddressError,
    check_host,
    is_refused,
)

PRIVATE = [
    "0.0.0.0",  # noqa: S104 - an address to refuse
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
]
PUBLIC = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.80",
]
PRIVATE_6 = [
    "::",
    "::1",
    "::7f00:1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "64:ff9b:1::a00:1",
    "2001:0:4136:e378::1",
    "2002:a00:1::1",
    "2002:101:101::1",
]
PUBLIC_6 = ["2606:4700::1111", "2001:db8::1", "2001:4860:4860::8888", "fbff::1"]


@pytest.mark.parametrize("text", PRIVATE + PRIVATE_6)
def test_an_address_of_one_network_or_host_is_refused(text: str) -> None:
    assert is_refused(ip_address(text), REFUSED)
    with pytest.raises(RefusedAddressError, match="is no public address"):
        check_host(text)
    if ":" in text:
        with pytest.raises(RefusedAddressError):
            check_host(f"[{text}]")


@pytest.mark.parametrize("text", PUBLIC + PUBLIC_6)
def test_a_public_address_and_one_of_documentation_is_not(text: str) -> None:
    assert not is_refused(ip_address(text), REFUSED)
    check_host(text)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_one_counts(address: IPv4Address) -> None:
    for prefix in ("::ffff:", "64:ff9b::"):
        inside = ip_address(f"{prefix}{address}")
        assert is_refused(inside, REFUSED) == is_refused(address, REFUSED)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost",
        "localhost.",
        "app.localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "0",
        "10.1",
        "169.254.43518",
        "[::ffff:10.0.0.1]",
        "[::ffff:a00:1]",
        "[fe80::1%lo]",
    ],
)
def test_every_way_to_write_it_is_refused(host: str) -> None:
    with pytest.raises(RefusedAddressError):
        check_host(host)


@pytest.mark.parametrize(
    "host", ["example.com", "localhost.example", "10.example", "x" * 300, "a..b", ""]
)
def test_names_are_not_resolved(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def numeric(
        host: str, port: int, family: int, kind: int, protocol: int, flags: int
    ) -> list[Any]:
        assert flags == socket.AI_NUMERICHOST
        return resolve(host, port, family, kind, protocol, flags)

    monkeypatch.setattr(socket, "getaddrinfo", numeric)
    check_host(host)
