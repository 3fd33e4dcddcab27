"""Requests to registries: how they are reached, with which credentials, over which session."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Protocol

import requests
from urllib3.exceptions import HTTPError

from airgap.oci import failures
from airgap.oci.authorization import Authorization
from airgap.oci.credentials import Credentials
from airgap.oci.registries import Endpoint
from airgap.oci.session import new_session

_UNAUTHORISED = 401


class Body(Protocol):
    """What a request carries: its bytes can be given again, for a request that is repeated."""

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """The bytes, from the first one."""

    def __len__(self) -> int:
        """How many."""


class Connection:
    """Sends requests once each: callers have patience. Safe to use from threads.

    Args:
        credentials: Where user names and passwords come from.
        timeout: Seconds to wait for a connection, and for each piece of an answer.
    """

    def __init__(self, credentials: Credentials, timeout: float = 30) -> None:
        self.timeout = timeout
        self._authorization = Authorization(credentials, timeout=timeout)
        self._schemes: dict[str, str] = {}
        self._answered: set[str] = set()
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def close(self) -> None:
        """Closes all connections."""
        for session in self._sessions:
            session.close()

    def url(self, endpoint: Endpoint, path: str) -> str:
        """The address of something in an endpoint's repository."""
        return f"{self._scheme(endpoint)}://{endpoint.server}/v2/{endpoint.repository}/{path}"

    def send(
        self,
        method: str,
        endpoint: Endpoint,
        url: str,
        headers: Mapping[str, str],
        *,
        body: Body | bytes | None = None,
        redirects: bool = True,
    ) -> requests.Response:
        """A response of whatever status, its body not read yet; a 401 is answered once.

        Args:
            method: Of the request.
            endpoint: Who is asked.
            url: From `url`, or another one on the endpoint's server.
            headers: Beside those of the session.
            body: What it carries.
            redirects: Whether they are followed.

        Raises:
            CredentialsError: There are none for what the registry asks, or they were refused.
            UpstreamError: There is no answer.
        """

        def send() -> requests.Response:
            return self._send(method, endpoint, url, headers, body, redirects=redirects)

        response = send()
        if response.status_code == _UNAUTHORISED:
            challenge = response.headers.get("WWW-Authenticate", "")
            response.close()
            try:
                self._authorization.answer(endpoint, challenge, self._session(endpoint))
            except (requests.RequestException, HTTPError, ValueError) as error:
                raise failures.unreachable(endpoint, error, answered=True) from error
            response = send()
        return response

    def _send(
        self,
        method: str,
        endpoint: Endpoint,
        url: str,
        headers: Mapping[str, str],
        body: Body | bytes | None,
        *,
        redirects: bool,
    ) -> requests.Response:
        try:
            response = self._session(endpoint).request(
                method,
                url,
                headers={**headers, **self._authorization.header(endpoint)},
                data=body,  # type: ignore[arg-type] # urllib3 takes any buffer
                stream=True,
                timeout=self.timeout,
                allow_redirects=redirects,
            )
        except (requests.RequestException, HTTPError, ValueError) as error:
            answered = endpoint.server in self._answered
            raise failures.unreachable(endpoint, error, answered=answered) from error
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
            with new_session(endpoint) as session:
                url = f"https://{endpoint.server}/v2/"
                session.get(url, timeout=self.timeout, stream=True).close()
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise failures.unreachable(endpoint, error, answered=True) from error
            self._schemes[endpoint.server] = "http"
        except requests.RequestException:
            return "http"  # nothing answers now; it may be HTTPS later
        else:
            self._schemes[endpoint.server] = "https"
        return self._schemes[endpoint.server]

    def _session(self, endpoint: Endpoint) -> requests.Session:
        """This thread's session for an endpoint's way of connecting."""
        sessions = self._local.__dict__.setdefault("sessions", {})
        key = (endpoint.is_loopback, endpoint.ca)
        if key not in sessions:
            sessions[key] = new_session(endpoint)
            self._sessions.append(sessions[key])
        session: requests.Session = sessions[key]
        return session
