"""The CA of this host: it signs the certificates of what listens here at an address of the network.

It can sign that address alone. Its key never leaves the host, and what it signs ends
soon and is renewed by whatever command comes by in time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airgap.errors import HostError
from airgap.isolated.host.files import write_file
from airgap.isolated.state.layout import State
from airgap.limits import LIMITS
from airgap.trust.certificates import (
    CertificateAndKey,
    Purpose,
    is_authority_of,
    is_for,
    is_issued_by,
    issue,
    new_authority,
    not_after,
)

AUTHORITY_DAYS = 3650
SERVER_DAYS = 90
_RENEWED_BEFORE = timedelta(days=30)


def issue_server_certificate(state: State, address: str) -> None:
    """Write a new certificate for what listens at an address, and a CA if it needs one.

    Raises:
        HostError: Something cannot be read or written.
        IntegrityError: What is there is damaged.
    """
    now = datetime.now(UTC)
    authority, key = state.authority / "ca.crt", state.authority / "ca.key"
    if not authority.exists() or not is_authority_of(_read(authority), address):
        # One name each: an engine that trusts several must not take one for another.
        new = new_authority(
            f"airgap at {address}, {now:%Y-%m-%d %H:%M}", address, now, AUTHORITY_DAYS
        )
        # The certificate last: it says that both are there.
        write_file(key, new.key, 0o600)
        write_file(authority, new.certificate)
    known = CertificateAndKey(_read(authority), _read(key))
    server = issue(known, address, Purpose.SERVER, now, SERVER_DAYS)
    write_file(state.secrets / "tls.key", server.key, 0o600)
    write_file(state.secrets / "tls.crt", server.certificate)


def certified_until(state: State) -> datetime:
    """Return when the certificate of what listens ends.

    Raises:
        HostError: There is none, or it cannot be read.
        IntegrityError: It is damaged.
    """
    return not_after(_read(state.secrets / "tls.crt"))


def certificate_problem(state: State, address: str) -> str:
    """Return why the certificate of what listens has to be made again; empty if it serves.

    Raises:
        HostError: It cannot be read.
    """
    certificate, authority = state.secrets / "tls.crt", state.authority / "ca.crt"
    if not certificate.exists() or not authority.exists():
        return "there is no certificate yet"
    return check_certificate(_read(certificate), _read(authority), address, datetime.now(UTC))


def check_certificate(certificate: bytes, authority: bytes, address: str, now: datetime) -> str:
    """Return why a certificate has to be made again; empty if it serves.

    Args:
        certificate: PEM.
        authority: PEM of the one that has to sign it.
        address: What both have to be for.
        now: It must hold for a month after that.

    Raises:
        IntegrityError: One of them is not a certificate.
    """
    if not is_issued_by(certificate, authority) or not is_authority_of(authority, address):
        return f"its certificate is not by a CA for {address}"
    if not is_for(certificate, address):
        return f"its certificate is not for {address}"
    if not_after(certificate) - _RENEWED_BEFORE < now:
        return f"its certificate ends on {not_after(certificate):%Y-%m-%d}"
    return ""


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LIMITS.key_bytes)
    except OSError as error:
        remedy = "use sudo" if isinstance(error, PermissionError) else ""
        raise HostError(f"cannot read {path}: {error.strerror}", remedy=remedy) from error
