"""X.509 certificates by authorities of our own, for TLS between machines of one site.

They end soon and are renewed: a key that was lost is worth little later (RFC 5280 for the
extensions, RFC 9525 for names).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from airgap.errors import IntegrityError
from airgap.trust import pem
from airgap.trust.keys import PrivateKey, load_pkcs8

_LABEL = "CERTIFICATE"
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
# Clocks of machines without a network differ.
_EARLIER = timedelta(days=1)
_ALL_ADDRESSES = ("0.0.0.0/0", "::/0")


class Purpose(Enum):
    """What a certificate is for."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class CertificateAndKey:
    """A certificate and its private key, both PEM.

    Attributes:
        certificate: One certificate.
        key: PKCS #8, not encrypted.
    """

    certificate: bytes
    key: bytes


def new_authority(name: str, address: str, now: datetime, days: int) -> CertificateAndKey:
    """Return a CA that can sign one address and no other (RFC 5280, 4.2.1.10).

    Whoever trusts it, even a whole host, trusts it for nothing else.

    Args:
        name: Its common name, with a space in it, so that it is no host's.
        address: IP address or DNS name.
        now: When it begins.
        days: How long it holds.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _begin(name, key, now, days).issuer_name(_named(name))
    for extension in _of_authority(address):
        builder = builder.add_extension(extension, critical=True)
    return _finish(builder, key, key)


def issue(
    authority: CertificateAndKey, address: str, purpose: Purpose, now: datetime, days: int
) -> CertificateAndKey:
    """Return a certificate by a CA.

    Args:
        authority: The CA that signs it.
        address: The IP address or DNS name that a server is reached at; the name of a client.
        purpose: Which of the two it is.
        now: When it begins.
        days: How long it holds.

    Raises:
        IntegrityError: The CA cannot be read.
    """
    issuer, issuer_key = _load(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        # OpenSSL takes a common name that looks like a DNS name for one.
        _begin(f"airgap, {address}", key, now, days)
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose.value]), critical=False)
        .add_extension(_key_id(issuer), critical=False)
    )
    if purpose is Purpose.SERVER:
        names = x509.SubjectAlternativeName([_general_name(address)])
        builder = builder.add_extension(names, critical=False)
    return _finish(builder, key, issuer_key)


def not_after(certificate: bytes) -> datetime:
    """Return when a certificate ends.

    Raises:
        IntegrityError: That is no certificate.
    """
    return _certificate(certificate).not_valid_after_utc


def is_for(certificate: bytes, address: str) -> bool:
    """Return whether a server's certificate is for an address.

    Raises:
        IntegrityError: That is no certificate.
    """
    names = _extension(certificate, x509.SubjectAlternativeName)
    return names is not None and _general_name(address) in list(names)


def is_authority_of(certificate: bytes, address: str) -> bool:
    """Return whether a CA can sign an address, and for no other.

    It must be one as `new_authority` makes it. Programs take a certificate that they trust for
    that of a server, too, and then look at its own names, and not at its constraints.

    Raises:
        IntegrityError: That is no certificate.
    """
    found = _certificate(certificate)
    key_id = x509.SubjectKeyIdentifier.from_public_key(found.public_key())
    expected = [(key_id, False), *((item, True) for item in _of_authority(address))]
    names = [(item.oid, " " in str(item.value)) for item in found.subject]
    return (
        [(extension.value, extension.critical) for extension in _extensions(found)] == expected
        and names == [(NameOID.COMMON_NAME, True)]
        and found.subject == found.issuer
    )


def is_issued_by(certificate: bytes, authority: bytes) -> bool:
    """Return whether a CA signs a certificate.

    Raises:
        IntegrityError: One of them is not a certificate.
    """
    try:
        _certificate(certificate).verify_directly_issued_by(_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def key_matches(certified: CertificateAndKey) -> bool:
    """Return whether a key is the certificate's.

    Raises:
        IntegrityError: One of them cannot be read.
    """
    certificate, key = _load(certified)
    return certificate.public_key() == key.public_key()


def all_certificates(data: bytes) -> bytes:
    """Return the certificates in a file that may hold several, in the one form that we write.

    Raises:
        IntegrityError: The file holds none, or text that readers could read differently.
    """
    try:
        found = [x509.load_der_x509_certificate(der) for der in pem.certificates(data)]
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IntegrityError("these are not certificates in PEM form, and nothing else") from error
    return b"".join(pem.write(_LABEL, _der(item)) for item in found)


def _begin(
    name: str, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _finish(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> CertificateAndKey:
    certificate = builder.sign(issuer_key, hashes.SHA256())
    return CertificateAndKey(pem.write(_LABEL, _der(certificate)), PrivateKey("", key).pem(None))


def _load(certified: CertificateAndKey) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        key = load_pkcs8(certified.key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IntegrityError("the key of a certificate cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IntegrityError("the key of a certificate is of another kind")
    return _certificate(certified.certificate), key


def _certificate(data: bytes) -> x509.Certificate:
    try:
        return pem.load(data, _LABEL, x509.load_der_x509_certificate, _der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IntegrityError("it is not one certificate in PEM form, and nothing else") from error


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _extension(certificate: bytes, kind: type[_Extension]) -> _Extension | None:
    try:
        return _extensions(_certificate(certificate)).get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise IntegrityError("the extensions of a certificate cannot be read") from error


def _of_authority(address: str) -> list[x509.ExtensionType]:
    """Return the critical extensions of a CA."""
    return [
        x509.BasicConstraints(ca=True, path_length=0),
        _key_usage(signs=True),
        _constraints(address),
    ]


def _named(name: str) -> x509.Name:
    # A common name has at most 64 characters; what counts are the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _constraints(address: str) -> x509.NameConstraints:
    """Return the address alone; a kind of name that is not mentioned at all would be free.

    A name that is permitted permits those below it too, but for what is excluded.
    """
    try:
        network = ipaddress.ip_network(address)
    except ValueError:
        others = [x509.IPAddress(ipaddress.ip_network(each)) for each in _ALL_ADDRESSES]
        below = x509.DNSName(f".{address}")
        return x509.NameConstraints([x509.DNSName(address)], [below, *others])
    return x509.NameConstraints([x509.IPAddress(network)], [x509.DNSName("")])


def _key_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
