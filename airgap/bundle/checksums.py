"""`SHA256SUMS`: the one file that is signed, and the signatures beside it."""

from __future__ import annotations

import hashlib
import re

from airgap.bundle.contents import CONTENTS_NAME, Contents, broken

CHECKSUMS_NAME = "SHA256SUMS"
SIGNATURE_NAME = "SHA256SUMS.sig"

_FIRST_LINE = re.compile(rb"([0-9a-f]{64})  bundle\.json\n")


def checksums(contents: Contents) -> bytes:
    """Return what `SHA256SUMS` must be for these contents: GNU lines, `bundle.json` first."""
    digest = hashlib.sha256(contents.to_bytes()).hexdigest()
    lines = [f"{digest}  {CONTENTS_NAME}\n"]
    lines += [f"{file.sha256}  {file.name}\n" for file in contents.files]
    return "".join(lines).encode()


def contents_digest(data: bytes) -> str:
    """Return the hexadecimal sha256 of `bundle.json` that `SHA256SUMS` states.

    Raises:
        IntegrityError: Its first line is not of the form.
    """
    match = _FIRST_LINE.match(data)
    if match is None:
        raise broken("SHA256SUMS does not begin with a line for bundle.json")
    return match.group(1).decode()
