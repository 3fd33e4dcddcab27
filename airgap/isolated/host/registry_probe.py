"""Asking a registry of this host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap.builder.engine import Engine
from airgap.errors import HostError
from airgap.oci.manifest import INDEX_TYPES, MANIFEST_TYPES
from airgap.waiting import wait_until

if TYPE_CHECKING:
    import requests

_SECONDS = 5
_PATIENCE = 30.0


def is_served(address: str) -> bool:
    """Return whether a registry answers at `HOST:PORT`."""
    return _head(address, "") is not None


def served_digest(address: str, repository: str, target: str) -> str:
    """Return the digest under which a registry serves a tag or digest; empty if it does not."""
    return _head(address, f"{repository}/manifests/{target}") or ""


def wants_account(address: str, ca: str) -> bool:
    """Return whether a registry answers at `HOST:PORT` with TLS, and not to everybody.

    Args:
        address: Where.
        ca: PEM file of the CA that must have signed it.
    """
    import requests

    with _session() as session:
        try:
            answer = session.get(f"https://{address}/v2/", verify=ca, timeout=_SECONDS, stream=True)
        except (requests.RequestException, OSError):  # the latter where there is no such file
            return False
    return bool(answer.status_code == requests.codes.unauthorized)


def wait_until_served(address: str, engine: Engine, container: str, ca: str = "") -> None:
    """Wait for a registry that was just started.

    Args:
        address: Where it is to answer.
        engine: Runs it.
        container: Its name.
        ca: If it speaks TLS: PEM file of the CA that must have signed it.

    Raises:
        HostError: It does not answer in time; shows the end of its log.
    """

    def answers() -> bool:
        return wants_account(address, ca) if ca else is_served(address)

    if not wait_until(answers, seconds=_PATIENCE, pause=0.1):
        raise HostError(
            f"{container} was started and does not answer at {address}",
            meaning=engine.logs(container),
        )


def _head(address: str, path: str) -> str | None:
    """Return the digest that a registry states for a path; None if it does not answer with 200."""
    import requests

    with _session() as session:
        accept = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
        try:
            answer = session.head(
                f"http://{address}/v2/{path}", headers={"Accept": accept}, timeout=_SECONDS
            )
        except requests.RequestException:
            return None
    if answer.status_code != requests.codes.ok:
        return None
    return str(answer.headers.get("Docker-Content-Digest", ""))


def _session() -> requests.Session:
    """Return a session for this machine: without a proxy, whoever listens there."""
    import requests

    from airgap.oci.bounded_head import BoundedAdapter
    from airgap.oci.response_log import log_response

    session = requests.Session()
    session.trust_env = False
    session.hooks["response"] = [log_response]
    for scheme in ("http://", "https://"):
        session.mount(scheme, BoundedAdapter())
    return session
