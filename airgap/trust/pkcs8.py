"""Encrypted PKCS#8 (RFC 5958) with scrypt (RFC 7914) and AES-256-CBC, which openssl reads.

`cryptography` reads it too, but writes PBKDF2 with 2048 rounds only, which is soon tried through.
"""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from airgap.trust import pem

# What openssl uses, and the most that it reads: it allows scrypt no more than 32 MiB.
_COST, _BLOCK_SIZE, _PARALLEL = 2**14, 8, 1
_KEY_BYTES = 32
_SALT_BYTES = 16

_INTEGER, _OCTETS, _SEQUENCE = 0x02, 0x04, 0x30
# Object identifiers in DER: PBES2 (RFC 8018), scrypt (RFC 7914), AES-256-CBC (RFC 3565).
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES256_CBC = bytes.fromhex("060960864801650304012a")


def encrypted_pem(der: bytes, passphrase: bytes) -> bytes:
    """Return the PEM file of a private key.

    Args:
        der: The key as unencrypted PKCS#8.
        passphrase: Not empty.
    """
    salt, iv = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(16)
    kdf = Scrypt(salt=salt, length=_KEY_BYTES, n=_COST, r=_BLOCK_SIZE, p=_PARALLEL)
    encryptor = Cipher(algorithms.AES(kdf.derive(passphrase)), modes.CBC(iv)).encryptor()
    padder = padding.PKCS7(128).padder()
    hidden = encryptor.update(padder.update(der) + padder.finalize()) + encryptor.finalize()

    numbers = (_integer(_COST), _integer(_BLOCK_SIZE), _integer(_PARALLEL))
    derivation = _sequence(_SCRYPT, _sequence(_der(_OCTETS, salt), *numbers))
    cipher = _sequence(_AES256_CBC, _der(_OCTETS, iv))
    algorithm = _sequence(_PBES2, _sequence(derivation, cipher))
    return pem.write("ENCRYPTED PRIVATE KEY", _sequence(algorithm, _der(_OCTETS, hidden)))


def _sequence(*parts: bytes) -> bytes:
    return _der(_SEQUENCE, b"".join(parts))


def _integer(value: int) -> bytes:
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _der(tag: int, value: bytes) -> bytes:
    """Tag, length and value (X.690, 8.1): a short length is one byte, others say how many."""
    size = len(value)
    if size < 0x80:  # noqa: PLR2004 - X.690's own number
        return bytes([tag, size]) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + value
