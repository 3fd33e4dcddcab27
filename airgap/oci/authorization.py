"""How a registry wants to be asked: anonymous, basic, or bearer tokens.

Source: distribution spec, and `docs/content/spec/auth/{token,oauth}.md` in distribution.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from urllib.parse import urljoin, urlsplit

import requests

from airgap.errors import CredentialsError, IntegrityError, UpstreamError
from airgap.limits import LIMITS
from airgap.oci.blob_reader import read_document, read_words
from airgap.oci.challenges import Challenge, challenges_of
from airgap.oci.credentials import Credential, Credentials
from airgap.oci.errors import no_token_server, refusal, refused
from airgap.oci.manifest import load_json
from airgap.oci.registries import Endpoint

_TOKEN = re.compile(r"[!-~]+")
# A path, or an address with a scheme: what is neither is no address of a token server.
_ADDRESS = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*://")


class Authorization:
    """Finds and keeps the `Authorization` header for each server and repository.

    Args:
        credentials: Where user names and passwords come from.
        timeout: Seconds to wait for a token server, and for each piece of its answer.
        actions: What tokens are to allow in a repository besides what a registry says it needs.
            From them a token server grants what the account may do.
    """

    def __init__(self, credentials: Credentials, *, timeout: float = 30, actions: str = "") -> None:
        self._credentials = credentials
        self._timeout = timeout
        self._actions = actions
        self._headers: dict[tuple[str, str], str] = {}
        self._lock = Lock()

    def header(self, endpoint: Endpoint) -> Mapping[str, str]:
        """Return what to send; nothing while the server has not asked for anything."""
        with self._lock:
            known = self._headers.get(_key(endpoint))
        return {"Authorization": known} if known else {}

    def answer(
        self, endpoint: Endpoint, response: requests.Response, session: requests.Session
    ) -> None:
        """Answer a 401 by one of its challenges: a token, or else the credentials themselves.

        Args:
            endpoint: Who sent it. A server to which a registry redirects gets no credentials.
            response: The 401, its body not read yet; it is closed.
            session: Asks the token server.

        Raises:
            CredentialsError: There are no credentials, or they were refused.
            UpstreamError: The token server does not answer as it should.
        """
        challenges = challenges_of(response)
        words = read_words(response, self._timeout)
        credential = None if endpoint.sent_by else self._credentials.find(endpoint.name)
        login = _Login(endpoint, credential, session, self._timeout, bool(self._actions))
        schemes = [challenge.scheme for challenge in challenges]
        has_password = credential is not None and credential.password
        basic = _basic(credential) if credential and has_password and "basic" in schemes else ""
        bearers = [challenge for challenge in challenges if challenge.scheme == "bearer"]
        usable = [bearer for bearer in bearers if login.realm(bearer, response.url)]
        if bearers and credential and credential.registry_token:
            header = f"Bearer {credential.registry_token}"
        elif usable:
            try:
                token = login.token(usable[0], response.url, self._scopes(endpoint, usable[0]))
            except CredentialsError:
                if not basic:
                    raise
                header = basic
            else:
                header = f"Bearer {token}"
        elif basic:
            header = basic
        elif bearers:
            raise no_token_server(endpoint, bearers[0].get("realm"))
        else:
            unknown = "" if "basic" in schemes else ", ".join(schemes)
            raise refused(endpoint, words, scheme=unknown, pushing=bool(self._actions))
        with self._lock:
            self._headers[_key(endpoint)] = header

    def _scopes(self, endpoint: Endpoint, challenge: Challenge) -> list[str]:
        """Return what a token is to allow, each thing once."""
        default = [f"repository:{endpoint.repository}:pull"]
        scopes = challenge.get("scope").split() or default
        if self._actions:
            scopes.append(f"repository:{endpoint.repository}:{self._actions}")
        return list(dict.fromkeys(scopes))


@dataclass(frozen=True, slots=True)
class _Login:
    """How tokens are fetched for an endpoint.

    Attributes:
        endpoint: Who wants them.
        credential: What they are fetched with; None for nothing.
        session: Asks.
        timeout: Seconds to wait for a token server.
        pushing: They are for a push.
    """

    endpoint: Endpoint
    credential: Credential | None
    session: requests.Session
    timeout: float
    pushing: bool

    def realm(self, challenge: Challenge, url: str) -> str:
        """Return the address of a challenge's token server; empty if it may not be asked.

        Args:
            challenge: One for `bearer`.
            url: The address that sent it: a token server may be given as a path there.
        """
        open_too = self.endpoint.http or self.endpoint.is_loopback
        stated = challenge.get("realm")
        try:
            address = urljoin(url, stated) if _ADDRESS.match(stated) else ""
            parts = urlsplit(address)
        except ValueError:
            return ""
        allowed = parts.scheme == "https" or (open_too and parts.scheme == "http")
        return address if allowed and parts.hostname else ""

    def token(self, challenge: Challenge, url: str, scopes: Sequence[str]) -> str:
        """Fetch a token.

        Args:
            challenge: What asks for it.
            url: The address that sent the challenge.
            scopes: What the token is to allow.

        Raises:
            CredentialsError: The token server refuses.
            UpstreamError: It does not answer as it should.
        """
        server = f"the token server of {self.endpoint.name}"
        service = challenge.get("service")
        fields = {"service": service} if service else {}
        with self._response(self.realm(challenge, url), fields, scopes) as response:
            if response.status_code == requests.codes.ok:
                return _read_token(server, response, self.timeout)
            words = read_words(response, self.timeout)
            if response.status_code in (400, 401, 403):
                raise refused(self.endpoint, words, pushing=self.pushing)
            raise refusal(f"{server} answered {response.status_code}", response, words)

    def _response(
        self, realm: str, fields: Mapping[str, str], scopes: Sequence[str]
    ) -> requests.Response:
        credential = self.credential
        if credential is not None and credential.identity_token:
            form = {
                **fields,
                "scope": " ".join(scopes),
                "grant_type": "refresh_token",
                "refresh_token": credential.identity_token,
                "client_id": "airgap",
            }
            # Followed, a redirect would carry the identity token anywhere.
            return self.session.post(
                realm, data=form, stream=True, timeout=self.timeout, allow_redirects=False
            )
        headers = {"Authorization": _basic(credential)} if credential else {}
        # Several scopes are several parameters here, and one with spaces above (token spec).
        url = {**fields, "scope": list(scopes)}
        return self.session.get(
            realm, params=url, headers=headers, stream=True, timeout=self.timeout
        )


def _read_token(server: str, response: requests.Response, timeout: float) -> str:
    body = read_document(response, f"the answer of {server}", LIMITS.response_bytes, timeout)
    try:
        document = load_json(body, "its answer", LIMITS.response_bytes)
    except IntegrityError as error:
        raise UpstreamError(f"{server} gave no token: {error.message}") from error
    # The second is OAuth's name; a server may send both, and one of them empty.
    for token in (document.get("token"), document.get("access_token")):
        if isinstance(token, str) and _TOKEN.fullmatch(token):
            return token
    raise UpstreamError(f"{server} gave no token")


def _key(endpoint: Endpoint) -> tuple[str, str]:
    """For what a header is kept: what a server gets by a redirect is never what it gets else."""
    return (f"{endpoint.sent_by}>{endpoint.server}", endpoint.repository)


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
