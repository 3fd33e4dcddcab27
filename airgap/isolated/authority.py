"""The authority of this host: it vouches for what listens here, and for its nodes.

Its key never leaves the host. Each certificate ends soon and is renewed by whatever command comes
by in time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airgap.errors import HostError
from airgap.isolated.state import State, write_file
from airgap.limits import LIMITS
from airgap.trust.certificates import Certified, ends, is_for, is_issued_by, issue, new_authority

AUTHORITY_DAYS = 3650
SERVER_DAYS = 90
_RENEWED_BEFORE = timedelta(days=30)


def authority(state: State) -> Certified:
    """The host's authority; it is made when it is needed first.

    Raises:
        HostError: It cannot be read, or not be written.
    """
    certificate, key = state.authority / "ca.crt", state.authority / "ca.key"
    if not certificate.exists():
        # One name a host: an engine that trusts several must not take one for another.
        now = datetime.now(UTC)
        new = new_authority(f"airgap of {_host_name()} {now:%Y-%m-%d}", now, AUTHORITY_DAYS)
        # The certificate last: it says that both are there.
        write_file(key, new.key, 0o600)
        write_file(certificate, new.certificate)
    return read_certified(certificate, key)


def read_certified(certificate: Path, key: Path) -> Certified:
    """A certificate and its key, from the files that they are in.

    Raises:
        HostError: They cannot be read.
    """
    try:
        parts = []
        for path in (certificate, key):
            with path.open("rb") as file:
                parts.append(file.read(LIMITS.key_bytes))
    except OSError as error:
        remedy = "use sudo" if isinstance(error, PermissionError) else ""
        raise HostError(
            f"{error.filename} cannot be read: {error.strerror}", remedy=remedy
        ) from error
    return Certified(*parts)


def write_server(state: State, address: str) -> None:
    """A new certificate for what listens at an address of this host.

    Raises:
        HostError: It cannot be written.
    """
    new = issue(authority(state), address, datetime.now(UTC), SERVER_DAYS)
    write_file(state.secrets / "tls.key", new.key, 0o600)
    write_file(state.secrets / "tls.crt", new.certificate)


def problem_with(certificate: bytes, authority: bytes, address: str, now: datetime) -> str:
    """Why a certificate has to be made anew; empty if it serves.

    Args:
        certificate: PEM.
        authority: PEM of the one that has to vouch for it.
        address: What it has to be for.
        now: It must hold for a month after that.

    Raises:
        IntegrityError: One of them is none.
    """
    if not is_issued_by(certificate, authority):
        return "its certificate is not by this host's authority"
    if not is_for(certificate, address):
        return f"its certificate is not for {address}"
    if ends(certificate) - _RENEWED_BEFORE < now:
        return f"its certificate ends on {ends(certificate):%Y-%m-%d}"
    return ""


def _host_name() -> str:
    return Path("/proc/sys/kernel/hostname").read_text().strip()
