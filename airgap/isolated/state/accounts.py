"""Accounts of mirror and registry for other machines: a file in the form of Apache's htpasswd.

The registry takes bcrypt hashes only, and reads the file again when it has changed (distribution,
`registry/auth/htpasswd`).
"""

from __future__ import annotations

import os
import re

from airgap.errors import HostError, NotFoundError, UsageError
from airgap.isolated.host.files import write_file
from airgap.isolated.state.layout import State
from airgap.limits import LIMITS

_FILE = "htpasswd"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# The registry checks the password of each request: more rounds would make each one slow.
_ROUNDS = 10
_LONGEST = 72
"""Bytes of a password that bcrypt takes into account."""


def accounts(state: State) -> dict[str, str]:
    """Return name to hash.

    Raises:
        HostError: The file cannot be read.
    """
    path = state.secrets / _FILE
    try:
        with path.open("rb") as file:
            lines = file.read(LIMITS.spec_bytes).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}", remedy="use sudo") from error
    return dict(line.split(":", 1) for line in lines if ":" in line)


def add_account(state: State, name: str, password: str) -> None:
    """Add an account, or give it another password.

    Raises:
        UsageError: The name or the password cannot be taken.
        HostError: The file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"an account cannot be called {name[:80]!r}",
            remedy="letters, digits, dots, dashes and underscores, 64 at most",
        )
    secret = password.encode(errors="surrogateescape")
    if not secret or len(secret) > _LONGEST or b"\0" in secret:
        raise UsageError(f"a password has 1 to {_LONGEST} bytes")
    import bcrypt

    hashed = bcrypt.hashpw(secret, bcrypt.gensalt(_ROUNDS)).decode()
    _write(state, {**accounts(state), name: hashed})


def remove_account(state: State, name: str) -> None:
    """Remove an account; what it was used for ends with its next request.

    Raises:
        NotFoundError: There is none of that name.
        HostError: The file cannot be written.
    """
    known = accounts(state)
    if name not in known:
        raise NotFoundError(f"there is no account {name[:80]!r}", remedy="airgap account list")
    del known[name]
    _write(state, known)


def prepare(state: State) -> None:
    """Make sure that there is a file: without one the registry makes an account up.

    Raises:
        HostError: It cannot be written.
    """
    if not (state.secrets / _FILE).exists():
        _write(state, {})


def count(state: State) -> str:
    """Return how many accounts there are, for people; not everybody may know."""
    if not os.access(state.secrets / _FILE, os.R_OK):
        return "its accounts"
    found = len(accounts(state))
    return "1 account" if found == 1 else f"{found or 'no'} accounts"


def _write(state: State, known: dict[str, str]) -> None:
    text = "".join(f"{name}:{hashed}\n" for name, hashed in sorted(known.items()))
    write_file(state.secrets / _FILE, text.encode(), 0o600)
