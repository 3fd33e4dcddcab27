"""HTTP sessions for registries: proxies, trusted certificates, redirects."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context

from airgap import __version__
from airgap.errors import UpstreamError, UsageError
from airgap.limits import LIMITS
from airgap.oci.bounded_head import BoundedAdapter
from airgap.oci.error_text import shown
from airgap.oci.registries import Endpoint
from airgap.oci.response_log import log_failure, log_response

# Where distributions keep the system's CA certificates.
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_NO_AUTHORITIES: Mapping[str, Path] = {}

NewAdapter = Callable[[ssl.SSLContext | None], BoundedAdapter]
"""Makes what connects to servers for a session: with certificates to trust beside requests' own."""


def new_session(
    endpoint: Endpoint,
    authorities: Mapping[str, Path] = _NO_AUTHORITIES,
    new_adapter: NewAdapter = BoundedAdapter,
) -> requests.Session:
    """Return a session for an endpoint's way of connecting. It tries once: callers have patience.

    The system's CAs are trusted, and beside them the CA file of the endpoint, also for where it
    sends: to its storage, or to its token server. Such a server may have a CA file of its own.

    Args:
        endpoint: Who is asked.
        authorities: `HOST[:PORT]` to its CA file, of servers to which the endpoint may send.
        new_adapter: Makes what connects to servers.

    Raises:
        UsageError: A CA file holds no certificate.
    """
    session = _Session(endpoint)
    # A callable that adds nothing: else requests would put ~/.netrc over our header.
    session.auth = lambda request: request
    session.headers.update({"User-Agent": f"airgap/{__version__}", "Accept-Encoding": "identity"})
    if endpoint.is_loopback:
        session.trust_env = False
    own = [endpoint.ca] if endpoint.ca else []
    session.mount("http://", new_adapter(None))
    session.mount("https://", new_adapter(_trusting(own)))
    for server, ca in authorities.items():
        # With the slash: without it, this would be for servers whose names only begin so.
        session.mount(f"https://{server}/", new_adapter(_trusting([*own, ca])))
    return session


def _trusting(authorities: list[Path]) -> ssl.SSLContext | None:
    """Return what trusts CA files; None without any.

    Raises:
        UsageError: A file holds no certificate.
    """
    if not authorities:
        return None
    context = create_urllib3_context()
    for path in authorities:
        try:
            context.load_verify_locations(path)
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(
                f"{path} holds no certificate in PEM form",
                remedy="convert it: openssl x509 -inform DER -in FILE -out FILE.pem",
            ) from error
    return context


class _Session(requests.Session):
    """Does without what requests would take from the user's environment instead of ours."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self.hooks["response"] = [log_response, _cut_short]
        self.verify = str(system_ca() or "") or True

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Send to this machine only if that was asked for: no other server sends there.

        Raises:
            UpstreamError: The request came from elsewhere, and is for this machine.
        """
        host = urlsplit(str(request.url)).hostname or ""
        there = self._endpoint
        if there.server and not there.is_loopback and _is_this_machine(host):
            raise UpstreamError(
                f"{there.server} sends to {shown(host)}, which is this machine",
                meaning="A registry elsewhere has nothing here. Nothing was asked there.",
            )
        try:
            return super().send(request, **kwargs)
        except requests.RequestException as error:
            log_failure(request, error)
            raise

    def resolve_redirects(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as there
        """Do without the next request where redirects are not followed: nobody asks for it.

        requests prepares it all the same, and fails where it cannot read the Location.
        """
        if kwargs.get("yield_requests"):
            return iter(())
        return super().resolve_redirects(*args, **kwargs)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Remove our header on redirects to another server, and never use ~/.netrc."""
        if not is_same_server(str(response.request.url), str(prepared_request.url)):
            prepared_request.headers.pop("Authorization", None)


def is_same_server(requested: str, answered: str) -> bool:
    """Return whether what is for the server of one URL may be sent to another one.

    This is what is asked of every redirect: its credentials follow only where this holds, and only
    then a challenge is answered with them.
    """
    rule = requests.sessions.SessionRedirectMixin()
    return not rule.should_strip_auth(requested, answered)  # type: ignore[no-untyped-call]


def _is_this_machine(host: str) -> bool:
    """Return whether a host is loopback as it is written, in any form that the C library takes."""
    if f".{host.rstrip('.')}".lower().endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        found = socket.getaddrinfo(host, 0, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False  # a name
    address = ip_address(str(found[0][4][0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _cut_short(response: requests.Response, *_: object, **__: object) -> None:
    """Leave the body of a redirect, which requests would read whole however long it is."""
    if response.is_redirect:
        with suppress(HTTPError, OSError):
            # A short one is read to its end, so that the connection is used again.
            response.raw.read1(LIMITS.redirect_bytes)
            response.raw.read(1)
        response.raw.close()
        response._content, response._content_consumed = b"", True  # type: ignore[attr-defined]


def system_ca() -> Path | None:
    """Return the CA bundle of this process: that of its environment, or the system's."""
    configured = ssl.get_default_verify_paths().cafile
    return Path(configured) if configured and Path(configured).is_file() else host_ca()


def host_ca() -> Path | None:
    """Return the system's CA bundle, if it has one where it is usually kept."""
    return next((path for path in map(Path, _CA_BUNDLES) if path.is_file()), None)
