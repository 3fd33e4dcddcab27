"""Keys: ECDSA P-256 (the default) and Ed25519, as PKCS#8 and SPKI PEM files.

Nothing else is accepted: both are checked by stock openssl, and no weaker key can slip in.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from airgap.disk import read_regular
from airgap.errors import CredentialsError, TrustError, UsageError
from airgap.limits import LIMITS
from airgap.trust import pem
from airgap.trust.pkcs8 import encrypted_pem

ALGORITHMS = ("ecdsa-p256", "ed25519")
# Points whose order divides 8, in all encodings, without the sign (RFC 7748, section 7, and
# libsodium's list): anybody can sign for such a key, and openssl does not refuse it.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)
_PUBLIC, _PRIVATE, _ENCRYPTED = "PUBLIC KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"
_Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_Public = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked with.

    Attributes:
        name: What people call it: its file's name without suffix.
        key: The key itself.
    """

    name: str
    key: _Public

    @property
    def fingerprint(self) -> str:
        """`sha256:HEX` of the SPKI DER, as openssl and sha256sum compute it."""
        return f"sha256:{hashlib.sha256(_spki(self.key)).hexdigest()}"

    @property
    def algorithm(self) -> str:
        """One of `ALGORITHMS`."""
        return "ed25519" if isinstance(self.key, ed25519.Ed25519PublicKey) else "ecdsa-p256"

    def pem(self) -> bytes:
        """SPKI PEM."""
        return pem.write(_PUBLIC, _spki(self.key))

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Return whether `signature` over `data` was made with this key's private half."""
        try:
            if isinstance(self.key, ed25519.Ed25519PublicKey):
                self.key.verify(signature, data)
            else:
                self.key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that bundles are signed with."""

    name: str
    key: _Private

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey(self.name, self.key.public_key())

    def sign(self, data: bytes) -> bytes:
        """Return a signature as openssl checks it: DER for ECDSA, 64 raw bytes for Ed25519.

        The same key and data give the same bytes, with ECDSA from OpenSSL 3.2 on.
        """
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(data)
        return self.key.sign(data, _deterministic_ecdsa())

    def pem(self, passphrase: bytes | None) -> bytes:
        """PKCS#8 PEM, encrypted unless the passphrase is None.

        Raises:
            UsageError: The passphrase is empty, which would be none.
        """
        if passphrase is None:
            return pem.write(_PRIVATE, pkcs8(self.key))
        if not passphrase:
            raise UsageError("the passphrase is empty", remedy="give one, or ask for none")
        return encrypted_pem(pkcs8(self.key), passphrase)


def load_pkcs8(data: bytes) -> PrivateKeyTypes:
    """Return the private key in a PEM file that is not encrypted.

    Raises:
        ValueError: The file is anything else.
        UnsupportedAlgorithm: The key is of a kind that cannot be used here.
    """
    return pem.load(data, _PRIVATE, partial(load_der_private_key, password=None), pkcs8)


def pkcs8(key: PrivateKeyTypes) -> bytes:
    """Return a private key as PKCS#8 in DER, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _deterministic_ecdsa() -> ec.ECDSA:
    """ECDSA without chance (RFC 6979); with it where OpenSSL is older than 3.2."""
    try:
        return ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        return ec.ECDSA(hashes.SHA256())


def generate(name: str, algorithm: str) -> PrivateKey:
    """Return a new key of one of `ALGORITHMS`."""
    if algorithm == "ed25519":
        return PrivateKey(name, ed25519.Ed25519PrivateKey.generate())
    return PrivateKey(name, ec.generate_private_key(ec.SECP256R1()))


def write_new_pair(key: PrivateKey, path: Path, passphrase: bytes | None) -> tuple[Path, Path]:
    """Write `PATH.key` (mode 0600) and `PATH.pub`.

    Returns:
        Both paths, the private key's first.

    Raises:
        UsageError: One of them exists, or the folder cannot be written to.
    """
    private, public = Path(f"{path}.key"), Path(f"{path}.pub")
    for existing in (private, public):
        if existing.exists():
            raise UsageError(
                f"{existing} exists already",
                meaning="A key is never overwritten: bundles signed with it could not be checked.",
                remedy="choose another name",
            )
    texts = {private: (key.pem(passphrase), 0o600), public: (key.public.pem(), 0o644)}
    written = []
    try:
        for file, (text, mode) in texts.items():
            _write(file, text, mode)
            written.append(file)
    except OSError as error:
        for file in written:  # half a pair is of no use and would block the name
            file.unlink()
        raise UsageError(f"cannot write {error.filename or path}: {error.strerror}") from error
    return private, public


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


def is_encrypted(path: Path) -> bool:
    """Return whether the private key in `path` needs a passphrase.

    Raises:
        UsageError: It cannot be read.
    """
    return _needs_passphrase(_read(path, UsageError))


def load_private(path: Path, passphrase: bytes | None) -> PrivateKey:
    """Read a PKCS#8 PEM private key.

    Raises:
        UsageError: It cannot be read, is not a private key, or not of `ALGORITHMS`.
        CredentialsError: The passphrase is wrong or missing.
    """
    data = _read(path, UsageError)
    try:
        key = _open(path, data, passphrase) if _needs_passphrase(data) else load_pkcs8(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{path} is not a PKCS#8 PEM private key, or holds more than that",
            remedy="make one: airgap keygen NAME, or convert it: openssl pkey -in FILE -out NEW",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) or not _strong(
        key.public_key()
    ):
        raise UsageError(
            f"{path} is neither an ECDSA P-256 nor an Ed25519 key",
            remedy="make one: airgap keygen NAME",
        )
    return PrivateKey(path.stem, key)


def load_public(path: Path) -> PublicKey:
    """Read an SPKI PEM public key.

    Raises:
        TrustError: It cannot be read, is not a public key, or not of `ALGORITHMS`.
    """
    data = _read(path, TrustError)
    try:
        key = pem.load(data, _PUBLIC, load_der_public_key, _spki)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TrustError(
            f"{path} is not a public key in PEM form, or holds more than that",
            meaning="Other programs could find another key in it than airgap does.",
            remedy="give the .pub file that airgap keygen wrote",
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) or not _strong(
        key
    ):
        raise TrustError(f"{path} is neither an ECDSA P-256 nor a sound Ed25519 key")
    return PublicKey(path.stem, key)


def _needs_passphrase(data: bytes) -> bool:
    return data.startswith(f"-----BEGIN {_ENCRYPTED}-----".encode())


def _open(path: Path, data: bytes, passphrase: bytes | None) -> PrivateKeyTypes:
    der = pem.decode(data, _ENCRYPTED)
    try:
        return load_der_private_key(der, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialsError(f"the passphrase for {path} is wrong or missing") from error


def _strong(key: _Public) -> bool:
    if isinstance(key, ed25519.Ed25519PublicKey):
        *low, high = key.public_bytes_raw()
        return bytes([*low, high & 0x7F]) not in _SMALL_ORDER
    return isinstance(key.curve, ec.SECP256R1)


def _read(path: Path, error_type: type[UsageError | TrustError]) -> bytes:
    try:
        data = read_regular(path, LIMITS.key_bytes + 1)
    except OSError as error:
        raise error_type(f"cannot read the key {path}: {error.strerror}") from error
    if len(data) > LIMITS.key_bytes:
        raise error_type(f"{path} is too large to be a key")
    return data
