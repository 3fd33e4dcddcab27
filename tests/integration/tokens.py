"""Asks for bearer tokens as Docker Hub does (distribution's docs/content/spec/auth/token.md)."""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading
from urllib.parse import parse_qs, urlsplit

from tests.integration.faults import Exchange, Request

_numbers = itertools.count()


class Tokens:
    """A fault for `FaultProxy`: gives tokens at `/token`, and refuses requests without one.

    Args:
        account: User and password that get a token; without them anybody does.
        uses: After so many requests a token is no good any more.
        pushing: Requests that change something need the right to push.
        realm: The token server as the challenge names it; its whole address if not given.
    """

    def __init__(
        self,
        account: tuple[str, str] | None = None,
        uses: int = 1 << 30,
        *,
        pushing: bool = False,
        realm: str = "",
    ) -> None:
        self._account = account
        self._uses = uses
        self._pushing = pushing
        self._realm = realm
        self._left: dict[str, int] = {}
        self._lock = threading.Lock()
        self.scopes: list[str] = []

    def __call__(self, exchange: Exchange) -> bool:
        path = urlsplit(exchange.request_seen.path)
        if path.path == "/token":
            self._give(exchange, " ".join(parse_qs(path.query)["scope"]))
            return True
        scope = self._scope(exchange.request_seen)
        if self._is_good(exchange.request_seen.headers.get("authorization", ""), scope):
            return False
        realm = self._realm or f"http://{exchange.server.proxy.address}/token"
        asked = f'Bearer realm="{realm}",service="lab",scope="{scope}"'
        exchange.answer(401, {"WWW-Authenticate": asked})
        return True

    def _scope(self, request: Request) -> str:
        repository = re.split("/(?:blobs|manifests)/", request.path.removeprefix("/v2/"))[0]
        changes = self._pushing and request.method not in ("GET", "HEAD")
        scope = f"repository:{repository}:{'pull,push' if changes else 'pull'}"
        for source in parse_qs(urlsplit(request.path).query).get("from", []):
            scope += f" repository:{source}:pull"
        return scope

    @property
    def given(self) -> int:
        """How many tokens were given."""
        return len(self.scopes)

    def _give(self, exchange: Exchange, scope: str) -> None:
        if self._account:
            pair = base64.b64encode(":".join(self._account).encode()).decode()
            if exchange.request_seen.headers.get("authorization") != f"Basic {pair}":
                exchange.answer(401)
                return
        token = f"{next(_numbers)}/{scope.replace(' ', '/')}"
        with self._lock:
            self.scopes.append(scope)
            self._left[token] = self._uses
        exchange.answer(200, {}, json.dumps({"token": token, "expires_in": 60}).encode())

    def _is_good(self, header: str, scope: str) -> bool:
        token = header.removeprefix("Bearer ")
        with self._lock:
            left = self._left.get(token, 0)
            self._left[token] = left - 1
        return left > 0 and all(_covers(token, one) for one in scope.split())


def _covers(token: str, scope: str) -> bool:
    """Whether a token gives a right; who may push may also pull."""
    repository = scope.rpartition(":")[0]
    return f"/{scope}/" in f"{token}/" or f"/{repository}:pull,push/" in f"{token}/"
