"""How a registry wants to be asked: anonymous, basic, or bearer tokens.

Source: distribution spec, and `docs/content/spec/auth/{token,oauth}.md` in distribution.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from threading import Lock
from urllib.parse import urlsplit

import requests

from airgap.errors import IntegrityError, UpstreamError
from airgap.limits import LIMITS
from airgap.oci.blob_reader import read_document
from airgap.oci.credentials import Credential, Credentials
from airgap.oci.failures import refusal, refused
from airgap.oci.manifest import load_json
from airgap.oci.registries import Endpoint

_TOKEN = re.compile(r"[!-~]+")
_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


class Authorization:
    """Finds and keeps the `Authorization` header for each server and repository.

    Args:
        credentials: Where user names and passwords come from.
        timeout: Seconds to wait for a token server, and for each piece of its answer.
        actions: What tokens are to allow in a repository besides what a registry says it needs.
            Of these a token server grants what the account may do.
    """

    def __init__(self, credentials: Credentials, *, timeout: float = 30, actions: str = "") -> None:
        self._credentials = credentials
        self._timeout = timeout
        self._actions = actions
        self._headers: dict[tuple[str, str], str] = {}
        self._lock = Lock()

    def header(self, endpoint: Endpoint) -> Mapping[str, str]:
        """What to send; nothing while the server has not asked for anything."""
        with self._lock:
            known = self._headers.get((endpoint.server, endpoint.repository))
        return {"Authorization": known} if known else {}

    def answer(self, endpoint: Endpoint, challenge: str, session: requests.Session) -> None:
        """Answers a 401 with its `WWW-Authenticate` value.

        Raises:
            CredentialsError: There are no credentials, or they were refused.
            UpstreamError: The token server does not answer as it should.
        """
        # Finding parameters in a long one would take long.
        scheme, _, rest = challenge[: LIMITS.challenge_characters].partition(" ")
        credential = self._credentials.find(endpoint.name)
        if scheme.lower() == "bearer":
            found = _PARAMETER.findall(rest)
            values = {key.lower(): quoted or bare for key, quoted, bare in found}
            header = f"Bearer {self._token(endpoint, values, credential, session)}"
        elif scheme.lower() == "basic" and credential is not None:
            header = _basic(credential)
        else:
            raise refused(endpoint)
        with self._lock:
            self._headers[(endpoint.server, endpoint.repository)] = header

    def _token(
        self,
        endpoint: Endpoint,
        values: Mapping[str, str],
        credential: Credential | None,
        session: requests.Session,
    ) -> str:
        if credential is not None and credential.registry_token:
            return credential.registry_token
        realm = values.get("realm", "")
        schemes = ("https", "http") if endpoint.http or endpoint.is_loopback else ("https",)
        if _scheme(realm) not in schemes:
            raise UpstreamError(
                f"{endpoint.name} sends to a token server that is not HTTPS",
                meaning="Credentials are not sent over an open connection.",
            )
        scopes = values.get("scope", f"repository:{endpoint.repository}:pull").split()
        if self._actions:
            scopes.append(f"repository:{endpoint.repository}:{self._actions}")
        scopes = list(dict.fromkeys(scopes))
        fields = {"service": values.get("service", ""), "scope": " ".join(scopes)}
        if credential is not None and credential.identity_token:
            form = fields | {
                "grant_type": "refresh_token",
                "refresh_token": credential.identity_token,
                "client_id": "airgap",
            }
            # Followed, a redirect would carry the identity token anywhere.
            response = session.post(
                realm, data=form, stream=True, timeout=self._timeout, allow_redirects=False
            )
        else:
            headers = {"Authorization": _basic(credential)} if credential else {}
            # Several scopes are several parameters here, and one with spaces above (token spec).
            asked = {**fields, "scope": scopes}
            response = session.get(
                realm, params=asked, headers=headers, stream=True, timeout=self._timeout
            )
        with response:
            if response.status_code in (400, 401, 403):
                raise refused(endpoint)
            if response.status_code != requests.codes.ok:
                server = f"the token server of {endpoint.name}"
                raise refusal(f"{server} answered {response.status_code}", response)
            return _read_token(endpoint, response, self._timeout)


def _read_token(endpoint: Endpoint, response: requests.Response, timeout: float) -> str:
    server = f"the token server of {endpoint.name}"
    body = read_document(response, f"the answer of {server}", LIMITS.response_bytes, timeout)
    try:
        document = load_json(body, "its answer", LIMITS.response_bytes)
    except IntegrityError as error:
        raise UpstreamError(f"{server} gave no token: {error.message}") from error
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise UpstreamError(f"{server} gave no token")
    return token


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
