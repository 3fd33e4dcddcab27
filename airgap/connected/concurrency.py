"""How many connections are used at once, and how many bytes a second they may receive."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airgap.limits import KIB, MIB

# How often it looks whether more would help: they do not where processors are the limit.
_LOOK_SECONDS = 0.25
_BUSY = 0.6
# Seconds in which several failures count as one: they have one cause.
_ONE_CAUSE_SECONDS = 1.0


class Connections:
    """Lets as many through at once as make it faster, and fewer when servers are overloaded.

    Args:
        most: How many at the best of times.
        first: How many to begin with; `look` adds to them.
    """

    def __init__(self, most: int, first: int | None = None) -> None:
        self._most, self.allowed = most, min(most, first or most)
        self._looked = (time.monotonic(), time.process_time())
        self._was_overloaded = False
        self._used = self._successes = 0
        self._reduced = float("-inf")
        self._changed = threading.Condition()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a turn, and use one slot while the context lasts."""
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
        """Halve the number of connections, as a server limits requests or is too slow."""
        with self._changed:
            now = time.monotonic()
            if now - self._reduced > _ONE_CAUSE_SECONDS:
                self._reduced, self._successes = now, 0
                self._was_overloaded = True
                self.allowed = max(1, self.allowed // 2)

    def look(self) -> None:
        """Add a connection if this machine is not busy and no server complained so far."""
        now, spent = time.monotonic(), time.process_time()
        before, spent_before = self._looked
        if now - before < _LOOK_SECONDS:
            return
        self._looked = (now, spent)
        busy = (spent - spent_before) / (now - before) / (os.cpu_count() or 1)
        with self._changed:
            if busy < _BUSY and not self._was_overloaded and self.allowed < self._most:
                self.allowed += 1
                self._changed.notify()

    def succeeded(self) -> None:
        """Count a complete blob: after twice as many as are allowed, allow one more."""
        with self._changed:
            self._successes += 1
            if not self._was_overloaded:
                return
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
        """Wait until `count` bytes that came are within the limit."""
        if self._rate:
            with self._lock:
                now = time.monotonic()
                self._free_at = max(now, self._free_at) + count / self._rate
                wait = self._free_at - now
            self._pause(wait)
