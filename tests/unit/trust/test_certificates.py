"""Judged by openssl, which knows nothing of this project."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from airgap.errors import IntegrityError
from airgap.trust.certificates import (
    CertificateAndKey,
    Purpose,
    is_authority_of,
    is_for,
    is_issued_by,
    issue,
    key_matches,
    new_authority,
    not_after,
)

NOW = datetime.now(UTC)
ADDRESSES = ["192.0.2.10", "2001:db8::10", "mirror.example.internal"]


def _authority(address: str) -> CertificateAndKey:
    return new_authority("airgap at it", address, NOW, 3650)


def _verified(
    folder: Path, authority: CertificateAndKey, certified: CertificateAndKey, *options: str
) -> bool:
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
    assert not_after(server.certificate) == (NOW + timedelta(days=90)).replace(microsecond=0)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_authority_signs_one_address_alone(address: str, tmp_path: Path) -> None:
    authority = _authority(address)
    assert is_authority_of(authority.certificate, address)
    others = {*ADDRESSES, "192.0.2.11", "example.com", "x.mirror.example.internal"}
    for other in others - {address}:
        assert not is_authority_of(authority.certificate, other)
        server = issue(authority, other, Purpose.SERVER, NOW, 90)
        assert not _verified(tmp_path, authority, server, *_asked(other)), other


def _odd_authorities(key: ec.EllipticCurvePrivateKey) -> dict[str, x509.CertificateBuilder]:
    """Nearly authorities for the first address: with its constraints, and more or less besides."""
    good = x509.load_pem_x509_certificate(_authority(ADDRESSES[0]).certificate)
    constraints = good.extensions.get_extension_for_class(x509.NameConstraints).value
    usage = good.extensions.get_extension_for_class(x509.KeyUsage).value
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())

    def begin(name: str = "airgap at it") -> x509.CertificateBuilder:
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return (
            x509.CertificateBuilder(named, named, key.public_key(), 1, NOW, NOW + timedelta(9))
            .add_extension(key_id, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
        )

    def leaf() -> x509.CertificateBuilder:
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airgap at it")])
        return x509.CertificateBuilder(
            named, named, key.public_key(), 1, NOW, NOW + timedelta(9)
        ).add_extension(constraints, critical=True)

    other = x509.SubjectAlternativeName([x509.DNSName("other.example")])
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    longer = x509.BasicConstraints(ca=True, path_length=None)
    return {
        "none": begin().add_extension(constraints, critical=True),
        "a server's own certificate": leaf().add_extension(other, critical=False),
        "names": begin()
        .add_extension(constraints, critical=True)
        .add_extension(other, critical=False),
        "purpose": begin()
        .add_extension(constraints, critical=True)
        .add_extension(server, critical=False),
        "not critical": begin().add_extension(constraints, critical=False),
        "no constraints": begin(),
        "authorities below": leaf().add_extension(longer, critical=True),
        "a host's name": begin("other.example").add_extension(constraints, critical=True),
    }


@pytest.mark.parametrize("odd", _odd_authorities(ec.generate_private_key(ec.SECP256R1())))
def test_what_is_trusted_is_an_authority_and_nothing_else(odd: str) -> None:
    """Go takes a trusted certificate for that of a server, whatever its constraints."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _odd_authorities(key)[odd].sign(key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    assert is_authority_of(pem, ADDRESSES[0]) == (odd == "none")


def test_extensions_that_cannot_be_read_are_told() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    odd = x509.UnrecognizedExtension(x509.NameConstraints.oid, b"junk")
    builder = _odd_authorities(key)["no constraints"].add_extension(odd, critical=True)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(IntegrityError, match="extensions"):
        is_authority_of(pem, ADDRESSES[0])


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
    assert key_matches(server)
    assert not key_matches(CertificateAndKey(server.certificate, other.key))


@pytest.mark.parametrize("junk", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\0" * 1000])
def test_junk_is_told(junk: bytes) -> None:
    with pytest.raises(IntegrityError):
        not_after(junk)
    good = _authority("192.0.2.10")
    with pytest.raises(IntegrityError):
        key_matches(CertificateAndKey(good.certificate, junk))
