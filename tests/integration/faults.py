"""A server in front of a registry that misbehaves as a test wants, and notes what it is asked."""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")
_PIECE = 16 << 10
_PATIENCE = 20.0
# Seconds in which a registry writes what it has received.
_SETTLES = 0.3


@dataclass(frozen=True, slots=True)
class Request:
    """A request that came: its method, its path, its headers with names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def is_blob(self) -> bool:
        return "/blobs/" in self.path

    @property
    def is_manifest(self) -> bool:
        return "/manifests/" in self.path

    @property
    def is_by_tag(self) -> bool:
        return self.is_manifest and "sha256:" not in self.path

    @property
    def target(self) -> str:
        """The digest or tag that is asked for."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the registry answered to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Fault = Callable[["Exchange"], bool]
"""Answers in the registry's place and says so, or leaves the request to it."""


class FaultProxy:
    """Passes requests on to a registry, unless its `fault` answers them.

    It also serves as a company's proxy: for absolute addresses, and for CONNECT, which leads to
    `target` whatever name is asked for.

    Attributes:
        address: `127.0.0.1:PORT`.
        requests: All that came, in order.
        fault: What is wrong with it, if anything.
    """

    def __init__(
        self, target: str, fault: Fault | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Describes a proxy; entering the context starts it.

        Args:
            target: `host:port` of a registry that speaks HTTP.
            fault: Sees each request first.
            tls: Makes it speak HTTPS.
        """
        self.target = target
        self.fault = fault
        self.requests: list[Request] = []
        self._tls = tls
        self._listening = threading.Lock()
        self._server: _Server | None = self._listener(0)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        if self._server is not None:
            self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.refuse()

    def listen(self) -> None:
        """Takes connections again after `refuse`, on the same port."""
        with self._listening:
            if self._server is None:
                self._server = self._listener(int(self.address.rpartition(":")[2]))
                self._server.start()

    def refuse(self) -> None:
        """Breaks all connections; who connects from now on is refused."""
        with self._listening:
            if self._server is not None:
                self._server.stop()
            self._server = None

    def _listener(self, port: int) -> _Server:
        server = _Server(self, port)
        if self._tls:
            server.socket = self._tls.wrap_socket(server.socket, server_side=True)
        return server

    @property
    def blobs(self) -> list[str]:
        """The digests of all blobs that were asked for."""
        return [request.target for request in self.requests if request.is_blob]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: FaultProxy, port: int) -> None:
        self.proxy = proxy
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Exchange)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in self._connections.copy():
            with suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def close_request(self, request: Any) -> None:  # noqa: ANN401 - as in the base class
        self._connections.discard(request)
        super().close_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed or hang up are part of the tests."""


class Exchange(BaseHTTPRequestHandler):
    """One request, and the ways to answer it."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    server: _Server
    request_seen: Request

    def do_GET(self) -> None:
        proxy = self.server.proxy
        address = urlsplit(self.path)  # a whole one if the client takes this for a proxy
        path = address.path + (f"?{address.query}" if address.query else "")
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.request_seen = Request(self.command, path, headers)
        proxy.requests.append(self.request_seen)
        if proxy.fault is None or not proxy.fault(self):
            self.pass_on()

    do_POST = do_HEAD = do_PUT = do_PATCH = do_GET

    def do_CONNECT(self) -> None:
        self.server.proxy.requests.append(Request("CONNECT", self.path, {}))
        host, _, port = self.server.proxy.target.partition(":")
        self.send_response_only(200)
        self.end_headers()
        self.close_connection = True
        with socket.create_connection((host, int(port))) as far:
            _pipe(self.connection, far)

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at `requests` instead."""

    def fetched(self, *, but: str = "", change: Callable[[bytes], bytes] = bytes) -> Answer:
        """What the registry answers to this request, or to the same one but for something.

        Args:
            but: A header that is left out.
            change: Gives the body that it gets.
        """
        connection = http.client.HTTPConnection(self.server.proxy.target, timeout=_PATIENCE)
        try:
            kept = {
                name: value
                for name, value in self.request_seen.headers.items()
                if name not in ("host", "connection", but)
            }
            body = self.rfile.read(int(self.request_seen.headers.get("content-length", 0)))
            connection.request(self.request_seen.method, self.request_seen.path, change(body), kept)
            response = connection.getresponse()
            headers = {
                name: value
                for name, value in response.getheaders()
                if name.lower() not in _HOP_BY_HOP
            }
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    def pass_on(self, *, pace: float = 0) -> None:
        """Lets the registry answer, with a pause of so many seconds after every 16 KiB."""
        answer = self.fetched()
        self.begin(answer.status, answer.headers, len(answer.body))
        for start in range(0, len(answer.body), _PIECE):
            self.wfile.write(answer.body[start : start + _PIECE])
            self.wfile.flush()
            time.sleep(pace)

    def pass_on_part(self, count: int) -> None:
        """Lets so many bytes of what is sent reach the registry, and breaks both connections."""
        host, _, port = self.server.proxy.target.partition(":")
        seen = self.request_seen
        head = f"{seen.method} {seen.path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in seen.headers.items()
        )
        with socket.create_connection((host, int(port))) as far:
            far.sendall(head.encode() + b"\r\n" + self.rfile.read(count))
            time.sleep(_SETTLES)
        self.reset()

    def answer(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        """Answers in the registry's place."""
        self.begin(status, headers or {}, len(body))
        self.wfile.write(body)

    def begin(self, status: int, headers: Mapping[str, str], length: int | None) -> None:
        """Sends the head of an answer; without a length the body ends with the connection."""
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def reset(self) -> None:
        """Ends the connection with a TCP reset instead of a proper end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True

    def hung_up(self, seconds: float = _PATIENCE) -> bool:
        """Whether the client closes the connection within so many seconds."""
        if not select.select([self.connection], [], [], seconds)[0]:
            return False
        self.close_connection = True
        return True


When = Callable[[Request], bool]


def answers(
    status: int,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    *,
    when: When = lambda request: request.is_manifest,
) -> Fault:
    """A fault: this answer to each request of a kind."""

    def fault(exchange: Exchange) -> bool:
        wrong = when(exchange.request_seen)
        if wrong:
            exchange.answer(status, headers, body)
        return wrong

    return fault


def breaks_off(when: When, *, times: int = 1 << 30, stated: bool = True) -> Fault:
    """A fault: half of the body comes, the first `times` times, and the connection ends.

    Args:
        when: Which requests.
        times: How often in all.
        stated: The head says how long the body should be.
    """
    left = iter(range(times))
    lock = threading.Lock()

    def fault(exchange: Exchange) -> bool:
        with lock:
            wrong = when(exchange.request_seen) and next(left, None) is not None
        if wrong:
            answer = exchange.fetched()
            exchange.begin(answer.status, answer.headers, len(answer.body) if stated else None)
            exchange.wfile.write(answer.body[: len(answer.body) // 2])
            exchange.close_connection = True
        return wrong

    return fault


def changes(when: When, change: Callable[[bytes], bytes], *, stated: bool = True) -> Fault:
    """A fault: other bytes than the registry's, with their length stated or not."""

    def fault(exchange: Exchange) -> bool:
        wrong = when(exchange.request_seen)
        if wrong:
            answer = exchange.fetched()
            body = change(answer.body)
            exchange.begin(answer.status, answer.headers, len(body) if stated else None)
            exchange.wfile.write(body)
        return wrong

    return fault


class Held:
    """A fault: blobs come only once the test lets them.

    Attributes:
        reached: Set when one was asked for.
        go_on: To be set by the test.
    """

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, exchange: Exchange) -> bool:
        if exchange.request_seen.is_blob:
            self.reached.set()
            self.go_on.wait(_PATIENCE)
        return False


def flipped(body: bytes) -> bytes:
    """The bytes with one bit in the middle changed."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def _pipe(near: socket.socket, far: socket.socket) -> None:
    """Carries bytes both ways until one end closes."""
    other = {near: far, far: near}
    while ready := select.select([near, far], [], [], _PATIENCE)[0]:
        for one in ready:
            data = one.recv(_PIECE)
            if not data:
                return
            other[one].sendall(data)
