"""How many connections are used at once, and how many bytes a second they may bring."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airgap.limits import KIB, MIB

# Seconds in which several failures count as one: they have one cause.
_ONE_CAUSE_SECONDS = 1.0


class Connections:
    """Lets so many through at once; fewer when servers are overloaded, later more again.

    Args:
        most: How many at the best of times.
    """

    def __init__(self, most: int) -> None:
        self._most = self.allowed = most
        self._used = self._successes = 0
        self._reduced = float("-inf")
        self._changed = threading.Condition()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Waits for its turn, and counts as one while it lasts."""
        with self._changed:
            self._changed.wait_for(lambda: self._used < self.allowed)
            self._used += 1
        try:
            yield
        finally:
            with self._changed:
                self._used -= 1
                self._changed.notify()

    def overloaded(self) -> None:
        """A server said that it is asked too often, or took too long: half as many from now on."""
        with self._changed:
            now = time.monotonic()
            if now - self._reduced > _ONE_CAUSE_SECONDS:
                self._reduced, self._successes = now, 0
                self.allowed = max(1, self.allowed // 2)

    def succeeded(self) -> None:
        """A blob came whole: after twice as many as are allowed, one more is."""
        with self._changed:
            self._successes += 1
            if self.allowed < self._most and self._successes >= 2 * self.allowed:
                self._successes = 0
                self.allowed += 1
                self._changed.notify()


class RateLimit:
    """Keeps the sum of all connections below so many bytes a second.

    Args:
        bytes_per_second: 0 for no limit.
        pause: Waits so many seconds.
    """

    def __init__(self, bytes_per_second: int, pause: Callable[[float], object]) -> None:
        self._rate, self._pause = bytes_per_second, pause
        self._lock = threading.Lock()
        self._free_at = time.monotonic()
        # A quarter of a second's worth, so that what comes comes evenly.
        quarter = bytes_per_second // 4
        self.piece_bytes = max(KIB, min(MIB, quarter)) if bytes_per_second else MIB
        """The most to read at once."""

    def spend(self, count: int) -> None:
        """Waits until `count` bytes that came are within the limit."""
        if self._rate:
            with self._lock:
                now = time.monotonic()
                self._free_at = max(now, self._free_at) + count / self._rate
                wait = self._free_at - now
            self._pause(wait)
