"""Requests to registries: how they are reached, with which credentials, over which session."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from airgap.oci import errors
from airgap.oci.authorization import Authorization
from airgap.oci.bounded_head import BoundedAdapter
from airgap.oci.credentials import Credentials
from airgap.oci.registries import Endpoint
from airgap.oci.session import NewAdapter, is_same_server, new_session

_UNAUTHORISED = 401
# A registry and two servers behind it may each want a token, and know the last one no more.
_MOST_ANSWERS = 6
_PATH = re.compile(r"/v2/(.+)/(?:manifests|blobs)/[^/]+")
_NO_AUTHORITIES: Mapping[str, Path] = {}


class Body(Protocol):
    """What a request carries: its bytes can be read again, for a request that is repeated."""

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes, from the first one."""

    def __len__(self) -> int:
        """Return the number of bytes."""


class Connection:
    """Sends requests once each: callers have patience. Safe to use from threads.

    Args:
        credentials: Where user names and passwords come from.
        timeout: Seconds to wait for a connection, and for each piece of an answer.
        actions: What tokens are to allow beyond what a registry asks for; see `Authorization`.
        authorities: `HOST[:PORT]` to its CA file, of servers to which a registry may send.
        public: Makes what connects for endpoints that are to be public.
    """

    def __init__(
        self,
        credentials: Credentials,
        timeout: float = 30,
        actions: str = "",
        *,
        authorities: Mapping[str, Path] = _NO_AUTHORITIES,
        public: NewAdapter = BoundedAdapter,
    ) -> None:
        self.timeout = timeout
        self._authorities, self._public = authorities, public
        self._authorization = Authorization(credentials, timeout=timeout, actions=actions)
        self._schemes: dict[str, str] = {}
        self._answered: set[str] = set()
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def close(self) -> None:
        """Close all connections."""
        for session in self._sessions:
            session.close()

    def url(self, endpoint: Endpoint, path: str) -> str:
        """Return the address of something in an endpoint's repository."""
        return f"{self._scheme(endpoint)}://{endpoint.server}/v2/{endpoint.repository}/{path}"

    def send(  # noqa: PLR0913 - a request has these parts
        self,
        method: str,
        endpoint: Endpoint,
        url: str,
        headers: Mapping[str, str],
        *,
        body: Body | bytes | None = None,
        redirects: bool = True,
        patience: float = 0,
    ) -> requests.Response:
        """Return a response with any status, its body not read yet; answer a server's 401 once.

        A server to which the endpoint redirects is another one: it gets a token of its own, fetched
        without credentials, and is then asked itself.

        Args:
            method: Of the request.
            endpoint: Who is asked.
            url: From `url`, or another one on the endpoint's server.
            headers: Beside those of the session.
            body: What it carries.
            redirects: Whether they are followed.
            patience: Seconds to wait for the answer, if they are more than others have.

        Raises:
            CredentialsError: There are none for what the registry asks, or they were refused.
            UpstreamError: There is no answer.
        """

        def send(place: Endpoint, address: str) -> requests.Response:
            return self._send(
                method,
                place,
                address,
                headers={**headers, **self._authorization.header(place)},
                data=body,
                timeout=(self.timeout, max(self.timeout, patience)),
                allow_redirects=redirects,
            )

        place, address, answered = endpoint, url, set[Endpoint]()
        response = send(place, address)
        for _ in range(_MOST_ANSWERS):
            if response.status_code != _UNAUTHORISED:
                break
            if is_same_server(address, response.url):
                if place in answered:
                    break
                answered.add(place)
                self._answer(place, response)
            else:
                place, address = _redirected(endpoint, response.url), response.url
                if not self._authorization.header(place):
                    continue
                response.close()
            response = send(place, address)
        return response

    def _answer(self, place: Endpoint, response: requests.Response) -> None:
        try:
            self._authorization.answer(place, response, self._session(place))
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise errors.unreachable(place, error, answered=True) from error

    def _send(
        self,
        method: str,
        endpoint: Endpoint,
        url: str,
        **options: Any,  # noqa: ANN401 - those of requests
    ) -> requests.Response:
        try:
            response = self._session(endpoint).request(method, url, stream=True, **options)
        except (requests.RequestException, HTTPError, ValueError) as error:
            answered = endpoint.server in self._answered
            raise errors.unreachable(endpoint, error, answered=answered) from error
        self._answered.add(endpoint.server)
        return response

    def _scheme(self, endpoint: Endpoint) -> str:
        """`http` or `https`; for a loopback server whichever answers."""
        if endpoint.http:
            return "http"
        if not endpoint.is_loopback:
            return "https"
        return self._schemes.get(endpoint.server) or self._answering_scheme(endpoint)

    def _answering_scheme(self, endpoint: Endpoint) -> str:
        try:
            with self._new_session(endpoint) as session:
                url = f"https://{endpoint.server}/v2/"
                session.get(url, timeout=self.timeout, stream=True).close()
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise errors.unreachable(endpoint, error, answered=True) from error
            self._schemes[endpoint.server] = "http"
        except requests.RequestException:
            return "http"  # nothing answers now; it may be HTTPS later
        else:
            self._schemes[endpoint.server] = "https"
        return self._schemes[endpoint.server]

    def _session(self, endpoint: Endpoint) -> requests.Session:
        """Return this thread's session for an endpoint's way of connecting."""
        sessions = self._local.__dict__.setdefault("sessions", {})
        key = replace(endpoint, repository="")
        if key not in sessions:
            sessions[key] = self._new_session(endpoint)
            self._sessions.append(sessions[key])
        session: requests.Session = sessions[key]
        return session

    def _new_session(self, endpoint: Endpoint) -> requests.Session:
        adapter = self._public if endpoint.public else BoundedAdapter
        return new_session(endpoint, self._authorities, adapter)


def _redirected(endpoint: Endpoint, url: str) -> Endpoint:
    """Return the server of a URL to which an endpoint redirects, as an endpoint."""
    parts = urlsplit(url)
    server = parts.netloc.rpartition("@")[2]
    path = _PATH.fullmatch(parts.path)
    return replace(
        endpoint,
        name=server,
        server=server,
        repository=path[1] if path else endpoint.repository,
        http=parts.scheme == "http",
        sent_by=endpoint.name,
    )
