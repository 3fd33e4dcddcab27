"""HTTP sessions for registries: proxies, trusted certificates, redirects."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from airgap import __version__
from airgap.limits import LIMITS
from airgap.oci.bounded_head import BoundedAdapter
from airgap.oci.registries import Endpoint

# Where distributions keep the system's CA certificates.
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def new_session(endpoint: Endpoint) -> requests.Session:
    """A session for an endpoint's way of connecting. It tries once: callers have patience."""
    session = _Session(endpoint.ca)
    # A callable that adds nothing: else requests would put ~/.netrc over our header.
    session.auth = lambda request: request
    session.headers.update({"User-Agent": f"airgap/{__version__}", "Accept-Encoding": "identity"})
    if endpoint.is_loopback:
        session.trust_env = False
    return session


class _Session(requests.Session):
    """Does without what requests would take from the user's environment in place of ours."""

    def __init__(self, ca: Path | None) -> None:
        super().__init__()
        self._ca = ca
        self.hooks["response"] = [_cut_short]
        for scheme in ("http://", "https://"):
            self.mount(scheme, BoundedAdapter())
        self.verify = str(system_ca() or "") or True

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """An endpoint's own CA file holds, whatever REQUESTS_CA_BUNDLE says."""
        if self._ca:
            kwargs["verify"] = str(self._ca)
        return super().send(request, **kwargs)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """A redirect to another server goes without our header, and none goes with ~/.netrc's."""
        old, new = str(response.request.url), str(prepared_request.url)
        if self.should_strip_auth(old, new):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


def _cut_short(response: requests.Response, *_: object, **__: object) -> None:
    """Leaves the body of a redirect, which requests would read whole however long it is."""
    if response.is_redirect:
        with suppress(HTTPError, OSError):
            # A short one is read to its end, so that the connection is used again.
            response.raw.read1(LIMITS.redirect_bytes)
            response.raw.read(1)
        response.raw.close()
        response._content, response._content_consumed = b"", True  # type: ignore[attr-defined]


def system_ca() -> Path | None:
    """The CA bundle of this process: that of its environment, or the system's."""
    configured = ssl.get_default_verify_paths().cafile
    return Path(configured) if configured and Path(configured).is_file() else host_ca()


def host_ca() -> Path | None:
    """The system's CA bundle, if it has one where it is usually kept."""
    return next((path for path in map(Path, _CA_BUNDLES) if path.is_file()), None)
