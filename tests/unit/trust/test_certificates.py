"""Judged by openssl, which knows nothing of this project."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airgap.errors import IntegrityError
from airgap.trust.certificates import (
    Certified,
    Purpose,
    belong_together,
    ends,
    is_authority_of,
    is_for,
    is_issued_by,
    issue,
    new_authority,
)

NOW = datetime.now(UTC)
ADDRESSES = ["192.0.2.10", "2001:db8::10", "mirror.example.internal"]


def _authority(address: str) -> Certified:
    return new_authority("airgap", address, NOW, 3650)


def _verified(folder: Path, authority: Certified, certified: Certified, *options: str) -> bool:
    (folder / "ca.pem").write_bytes(authority.certificate)
    (folder / "one.pem").write_bytes(certified.certificate)
    command = ["openssl", "verify", "-x509_strict", "-CAfile", str(folder / "ca.pem"), *options]
    done = subprocess.run([*command, str(folder / "one.pem")], capture_output=True, check=False)
    return done.returncode == 0


def _asked(address: str) -> list[str]:
    is_name = any(letter in "ghijklmnopqrstuvwxyz" for letter in address)
    return ["-verify_hostname" if is_name else "-verify_ip", address]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_server_is_known_by_its_address_until_it_ends(address: str, tmp_path: Path) -> None:
    authority = _authority(address)
    server = issue(authority, address, Purpose.SERVER, NOW, 90)
    good = ["-purpose", "sslserver", *_asked(address)]
    assert _verified(tmp_path, authority, server, *good)
    assert not _verified(tmp_path, authority, server, "-purpose", "sslclient")
    late = str(int((NOW + timedelta(days=91)).timestamp()))
    assert not _verified(tmp_path, authority, server, *good, "-attime", late)
    assert is_for(server.certificate, address)
    assert is_issued_by(server.certificate, authority.certificate)
    assert ends(server.certificate) == (NOW + timedelta(days=90)).replace(microsecond=0)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_authority_vouches_for_one_address_alone(address: str, tmp_path: Path) -> None:
    authority = _authority(address)
    assert is_authority_of(authority.certificate, address)
    others = {*ADDRESSES, "192.0.2.11", "example.com", "x.mirror.example.internal"}
    for other in others - {address}:
        assert not is_authority_of(authority.certificate, other)
        server = issue(authority, other, Purpose.SERVER, NOW, 90)
        assert not _verified(tmp_path, authority, server, *_asked(other)), other


def test_a_client_is_no_server(tmp_path: Path) -> None:
    authority = _authority(ADDRESSES[0])
    client = issue(authority, "server", Purpose.CLIENT, NOW, 30)
    assert _verified(tmp_path, authority, client, "-purpose", "sslclient")
    assert not _verified(tmp_path, authority, client, "-purpose", "sslserver")
    assert not is_for(client.certificate, ADDRESSES[0])
    assert not is_authority_of(client.certificate, ADDRESSES[0])


def test_certificates_of_others_are_told_apart(tmp_path: Path) -> None:
    authority, other = _authority("192.0.2.10"), _authority("192.0.2.10")
    server = issue(other, "192.0.2.10", Purpose.SERVER, NOW, 90)
    assert not is_issued_by(server.certificate, authority.certificate)
    assert not _verified(tmp_path, authority, server)
    assert belong_together(server)
    assert not belong_together(Certified(server.certificate, other.key))


@pytest.mark.parametrize("junk", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\0" * 1000])
def test_junk_is_told(junk: bytes) -> None:
    with pytest.raises(IntegrityError):
        ends(junk)
    good = _authority("192.0.2.10")
    with pytest.raises(IntegrityError):
        belong_together(Certified(good.certificate, junk))
