"""Digests: `sha256:HEX` (OCI image spec, descriptor.md, "Digests").

>>> digest = digest_of(b"hello")
>>> digest
'sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'
>>> is_digest(digest), is_digest("sha256:2CF24D"), is_digest("sha512:" + 128 * "0")
(True, False, False)
"""

from __future__ import annotations

import hashlib
import re

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Return whether `text` is a well-formed sha256 digest; other algorithms are not accepted."""
    return _SHA256.fullmatch(text) is not None


def digest_of(data: bytes) -> str:
    """Return the digest of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def hex_of(digest: str) -> str:
    """Return the hexadecimal part of a digest."""
    return digest.removeprefix("sha256:")
