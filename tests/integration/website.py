"""A server on the Internet, as far as a recorder is concerned, and a client of a build."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lab.http_server import serving

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Got:
    """What a client got."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


Page = Callable[["Visit"], None]


class Visit(BaseHTTPRequestHandler):
    """One request, and ways to answer it."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    server: _Site

    def do_GET(self) -> None:
        seen = {name.lower(): value for name, value in self.headers.items()}
        self.server.website.seen.append((self.command, self.path, seen))
        self.server.website.page(self)

    do_HEAD = do_GET

    def head(self, status: int, *named: tuple[str, str], length: int | None = None) -> None:
        """Sends the head of an answer; without a length the body ends with the connection."""
        self.send_response_only(status)
        for name, value in named:
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        elif "transfer-encoding" not in {name.lower() for name, _ in named}:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def give(self, status: int, *named: tuple[str, str], body: bytes = b"") -> None:
        """Sends an answer."""
        self.head(status, *named, length=len(body))
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at `seen`."""


class _Site(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, website: Website) -> None:
        self.website = website
        super().__init__(("127.0.0.1", 0), Visit)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


@dataclass
class Website:
    """A web site.

    Attributes:
        page: Answers each request.
        address: `127.0.0.1:PORT`.
        seen: Method, path and headers (in lower case) of all requests, in order.
    """

    page: Page
    address: str = ""
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for _, path, _ in self.seen]


@contextmanager
def website(page: Page, tls: ssl.SSLContext | None = None) -> Iterator[Website]:
    """A web site that answers while the context lasts."""
    site = Website(page)
    server = _Site(site)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    site.address = f"127.0.0.1:{server.server_address[1]}"
    with serving(server):
        yield site


def get(server: str, path: str, named: Mapping[str, str] | None = None, method: str = "GET") -> Got:
    """What a server answers to one request, as it is; nothing is followed or added.

    Args:
        server: `HOST:PORT`, or that and the part of the path that a recorder or replay wants.
        path: Of the request, after that part.
        named: Headers.
        method: Of the request.

    Raises:
        http.client.HTTPException: It did not answer to the end.
        OSError: The connection broke.
    """
    address, slash, first = server.partition("/")
    connection = http.client.HTTPConnection(address, timeout=_PATIENCE)
    try:
        connection.putrequest(method, slash + first + path, skip_accept_encoding=True)
        for name, value in (named or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return Got(response.status, response.reason, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def raw(server: str, sent: bytes, most: int = 1 << 20) -> bytes:
    """What a server, as in `get`, sends for these bytes until it ends the connection."""
    address, _, first = server.partition("/")
    host, _, port = address.partition(":")
    sent = sent.replace(b" /", f" /{first}/".encode(), 1) if first else sent
    got = b""
    with socket.create_connection((host, int(port)), timeout=_PATIENCE) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            while len(got) < most and (piece := connection.recv(1 << 16)):
                got += piece
    return got


def pieces_of(response: Any, size: int) -> Iterator[bytes]:  # noqa: ANN401 - anything with read
    """The body in pieces."""
    while piece := response.read(size):
        yield piece
