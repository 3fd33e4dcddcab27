"""PEM (RFC 7468), read so that every program reads the same from it.

Readers of PEM differ in what they pass over: text before a block, spaces, long lines, headers,
blocks with other labels. A file could hold one key for openssl and another one for us. So a file
is taken only if it is, byte by byte, what we would write of what we read in it.
"""

from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Callable
from typing import TypeVar

_Found = TypeVar("_Found")
_COLUMNS = 64
_BLOCK = re.compile(
    rb"^-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/=]{1,76}\n)+)-----END CERTIFICATE-----$", re.M
)
# openssl reads 254 bytes of a line at a time, and takes the next one for the start of a line.
_LINE = re.compile(rb"[^\0\r\n]{0,200}")


def write(label: str, der: bytes) -> bytes:
    """Return one block.

    Args:
        label: What it holds, such as `PUBLIC KEY`.
        der: The bytes of it, in DER.
    """
    lines = textwrap.wrap(base64.b64encode(der).decode(), _COLUMNS)
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def decode(data: bytes, label: str) -> bytes:
    """Return the bytes in a file that is one block, with or without a newline after it.

    Raises:
        ValueError: The file is anything else.
    """
    body = data.removeprefix(f"-----BEGIN {label}-----".encode())
    der = base64.b64decode(body.partition(b"-----END ")[0])
    if not der or write(label, der) not in (data, data + b"\n"):
        raise ValueError(f"the file is not one {label} in PEM form, and nothing else")
    return der


def load(
    data: bytes, label: str, read: Callable[[bytes], _Found], to_der: Callable[[_Found], bytes]
) -> _Found:
    """Return what a file holds, if the file is exactly what we would write of it.

    Args:
        data: The file.
        label: What the file should hold.
        read: Reads DER.
        to_der: Writes what `read` returns.

    Raises:
        ValueError: The file is anything else.
    """
    der = decode(data, label)
    found = read(der)
    if to_der(found) != der:
        raise ValueError(f"the file holds a {label} in an unusual form")
    return found


def certificates(data: bytes) -> list[bytes]:
    """Return the DER of each certificate in a file that may hold several, with text between them.

    Lines may end in CR and LF. Each line that could begin a block for anybody must begin one here.

    Raises:
        ValueError: The file holds no certificate, or text that readers could read differently.
    """
    text = data.replace(b"\r\n", b"\n")
    bodies = [body.replace(b"\n", b"") for body in _BLOCK.findall(text)]
    found = [base64.b64decode(body) for body in bodies]
    lines = _BLOCK.sub(b"", text).split(b"\n")
    if (
        not found
        or [base64.b64encode(der) for der in found] != bodies
        or any(b"-----" in line or not _LINE.fullmatch(line) for line in lines)
    ):
        raise ValueError("the file does not hold certificates in PEM form, or holds more than them")
    return found
