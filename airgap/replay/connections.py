"""The connections of a server: not too many, and never so that builds have none.

Every user of a host can connect to a port on loopback. Until a client has shown by its first
request that it belongs to a build, it is a stranger. Strangers make room for others: first the
oldest that has sent nothing. When no stranger is left, clients between two requests do.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress

from airgap.limits import LIMITS


class Connections:
    """The open connections of a server, which are limited; thread-safe.

    Args:
        most: Connections at once.
        strangers: Those that have not made a request of a build.
    """

    def __init__(
        self, most: int = LIMITS.replay_connections, strangers: int = LIMITS.replay_strangers
    ) -> None:
        self._most, self._most_strangers = most, strangers
        self._lock = threading.Lock()
        # Each in order of time, without values: those that make room, and those at work.
        self._strangers: dict[socket.socket, None] = {}
        self._waiting: dict[socket.socket, None] = {}
        self._busy: dict[socket.socket, None] = {}

    def admit(self, connection: socket.socket) -> bool:
        """Take a new connection, as a stranger's.

        Returns:
            False if every connection is at work and there is room for no other.
        """
        with self._lock:
            if len(self._strangers) >= self._most_strangers or self._count >= self._most:
                self._make_room()
            if self._count >= self._most:
                return False
            self._strangers[connection] = None
            return True

    def begin(self, connection: socket.socket) -> None:
        """Note that a connection carries a request of a build."""
        with self._lock:
            if self._forget(connection):
                self._busy[connection] = None

    def end(self, connection: socket.socket) -> None:
        """Note that the request of a connection is answered."""
        with self._lock:
            if self._forget(connection):
                self._waiting[connection] = None

    def discard(self, connection: socket.socket) -> None:
        """Forget a connection that has ended."""
        with self._lock:
            self._forget(connection)

    def make_room(self) -> None:
        """End the connection that is needed least."""
        with self._lock:
            self._make_room()

    def end_all(self) -> None:
        """End every connection."""
        with self._lock:
            for connection in (*self._strangers, *self._waiting, *self._busy):
                _shut(connection)

    @property
    def _count(self) -> int:
        return len(self._strangers) + len(self._waiting) + len(self._busy)

    def _make_room(self) -> None:
        some = self._strangers or self._waiting
        least = _first_silent(some) or next(iter(some), None)
        if least is not None:
            self._forget(least)
            _shut(least)

    def _forget(self, connection: socket.socket) -> bool:
        for some in (self._strangers, self._waiting, self._busy):
            if connection in some:
                del some[connection]
                return True
        return False


def _first_silent(connections: Iterable[socket.socket]) -> socket.socket | None:
    """Return the first connection on which nothing waits to be read."""
    by_number = {connection.fileno(): connection for connection in connections}
    poll = select.poll()
    for number in by_number:
        if number >= 0:  # its thread has not closed it already
            poll.register(number, select.POLLIN)
    spoken = {number for number, _ in poll.poll(0)}
    return next((item for number, item in by_number.items() if number not in spoken), None)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)
