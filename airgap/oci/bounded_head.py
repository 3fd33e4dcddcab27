"""Bounds for the lines of an answer: its head, what precedes that, chunk sizes and trailers.

A server could send `100 Continue` for ever, a header a byte a second, or trailers without an end:
each byte comes in time, so that no time-out of a socket ends it. Here all lines that follow one
another have one deadline together, the session's time-out, and a limit of lines and bytes. Reading
the body begins both again; whoever reads bodies watches their speed.

`BoundedAdapter` is for sessions of requests.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Protocol

from requests.adapters import DEFAULT_POOLSIZE, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airgap.limits import LIMITS

if TYPE_CHECKING:
    from urllib3 import PoolManager, ProxyManager


class _Socket(Protocol):
    def settimeout(self, value: float | None, /) -> None: ...
    def gettimeout(self) -> float | None: ...
    def makefile(self, mode: str, /, buffering: int) -> Any: ...  # noqa: ANN401 - a raw file


class _Raw(io.RawIOBase):
    """What comes from a socket, read until a deadline where there is one."""

    def __init__(self, connection: _Socket) -> None:
        self._socket, self._file = connection, connection.makefile("rb", buffering=0)
        self.timeout = connection.gettimeout()
        self.deadline: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - a buffer
        count: int | None
        if self.deadline is None:
            count = self._file.readinto(buffer)
            return count
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the head of its answer does not end")
        self._socket.settimeout(left)
        count = self._file.readinto(buffer)
        self._socket.settimeout(self.timeout)
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Lines(io.BufferedReader):
    """The file that http.client reads an answer from: lines, and in between the body."""

    def __init__(self, raw: _Raw) -> None:
        super().__init__(raw)
        self._timed = raw
        self._count = self._bytes = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        raw = self._timed
        if raw.deadline is None and raw.timeout is not None:
            raw.deadline = time.monotonic() + raw.timeout
        line = super().readline(size)
        self._count, self._bytes = self._count + 1, self._bytes + len(line)
        if self._count > LIMITS.head_lines or self._bytes > LIMITS.head_bytes:
            raise HTTPException("the head of its answer does not end")
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        self._body()
        return super().read(size)

    def read1(self, size: int = -1, /) -> bytes:
        self._body()
        return super().read1(size)

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - a buffer
        self._body()
        return super().readinto(buffer)

    def _body(self) -> None:
        """Note that the body begins, which has no lines."""
        self._timed.deadline = None
        self._count = self._bytes = 0


class _Opened:
    """A socket for `HTTPResponse`, which wants nothing of it but a file."""

    def __init__(self, connection: _Socket) -> None:
        self._socket = connection

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _Lines(_Raw(self._socket))


class BoundedResponse(HTTPResponse):
    """An answer as it comes from a socket, its lines bounded."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(_Opened(sock), *args, **kwargs)  # type: ignore[arg-type]

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status line of the answer itself, after all that only precede it.

        http.client takes any 1xx but 100 for the answer. The answer itself would then be taken for
        that to the next request of the connection.

        Raises:
            HTTPException: The server changes to another protocol, for which nobody asked.
        """
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == HTTPStatus.SWITCHING_PROTOCOLS:
                raise HTTPException("it changes to another protocol")
            if status >= HTTPStatus.OK:
                return version, status, reason
            while self.fp.readline().strip():
                pass


class BoundedConnection(HTTPConnection):
    """A connection whose answers are bounded."""

    response_class = BoundedResponse


class BoundedHTTPSConnection(HTTPSConnection):
    """The same over TLS."""

    response_class = BoundedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = BoundedConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = BoundedHTTPSConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class BoundedAdapter(HTTPAdapter):
    """Connects for a session of requests, through a proxy or not.

    Args:
        context: Has certificates to trust beside those that requests gives; None for no others.
        connections: How many are kept open, of each kind.
    """

    def __init__(
        self, context: ssl.SSLContext | None = None, connections: int = DEFAULT_POOLSIZE
    ) -> None:
        self._context = context
        super().__init__(connections, connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as there
        """Have connections without a proxy bound what comes."""
        super().init_poolmanager(*args, **self._trusting(kwargs))
        _bind(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # noqa: ANN401 - as there
        """Have connections through a proxy bound what comes."""
        manager = super().proxy_manager_for(proxy, **self._trusting(kwargs))
        if not proxy.lower().startswith("socks"):
            _bind(manager)
        return manager

    def _trusting(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {**kwargs, "ssl_context": self._context} if self._context else kwargs


def _bind(manager: PoolManager | ProxyManager) -> None:
    manager.pool_classes_by_scheme = dict(_POOLS)
