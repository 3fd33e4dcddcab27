"""Faults that know which requests they are for, how often, and count what they did."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Collection
from random import Random

from tests.campaigns.misbehaviour import Misbehave
from tests.integration.faults import Exchange, FaultProxy, Request

ALWAYS = 1 << 30


class Trouble:
    """Answers wrongly to requests for some digests or tags, each of them the first few times.

    What happens to the n-th request for a digest depends on the seed alone, in whatever order
    the requests for different digests come.

    Attributes:
        fired: How often it did so.
    """

    def __init__(
        self,
        misbehave: Misbehave,
        victims: Collection[str] | None = None,
        *,
        seed: str,
        times: int = ALWAYS,
        when: Callable[[Request], bool] = lambda request: True,
    ) -> None:
        """Describes it.

        Args:
            misbehave: What it does.
            victims: Digests and tags; None for all.
            seed: Decides about bytes and lengths.
            times: How often for each of them.
            when: Which requests for them.
        """
        self.fired = 0
        self._misbehave, self._victims, self._when = misbehave, victims, when
        self._seed, self._times = seed, times
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> bool:
        request = exchange.request_seen
        if self._victims is not None and request.target not in self._victims:
            return False
        if not self._when(request):
            return False
        with self._lock:
            number = self._counts[request.target]
            if number == self._times:
                return False
            self._counts[request.target] += 1
            self.fired += 1
        self._misbehave(exchange, Random(f"{self._seed} {request.target} {number}"))
        return True


class Revoked:
    """Tells some requests that their token is no good any more, and gives new ones.

    Attributes:
        fired: How often it did so.
    """

    def __init__(self, victims: Collection[str], times: int) -> None:
        self.trouble = Trouble(self._refuse, victims, seed="", times=times)

    @property
    def fired(self) -> int:
        return self.trouble.fired

    def __call__(self, exchange: Exchange) -> bool:
        if exchange.request_seen.path.startswith("/token"):
            exchange.answer(200, {}, json.dumps({"token": "another"}).encode())
            return True
        return self.trouble(exchange)

    def _refuse(self, exchange: Exchange, _: Random) -> None:
        realm = f'realm="http://{exchange.server.proxy.address}/token"'
        exchange.answer(401, {"WWW-Authenticate": f'Bearer {realm},service="lab"'})


class Outage:
    """A server that goes away at some request, and may come back.

    Attributes:
        fired: Whether it went away.
    """

    def __init__(self, proxy: FaultProxy, after: int, seconds: float) -> None:
        """Describes it.

        Args:
            proxy: The server.
            after: How many requests it answers before.
            seconds: How long it is away.
        """
        self.fired = 0
        self._proxy = proxy
        self._left = after
        self._back = threading.Timer(seconds, proxy.listen)
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> bool:
        with self._lock:
            self._left -= 1
            due = self._left == -1
        if due:
            self.fired = 1
            exchange.close_connection = True
            self._proxy.refuse()
            self._back.start()
        return due

    def end(self) -> None:
        """Has the server back at once."""
        self._back.cancel()
        if self.fired:
            self._back.join()
        self._proxy.listen()
