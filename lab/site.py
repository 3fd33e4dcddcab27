"""A web site of the lab's own, and an HTTP proxy that leads to it, as companies have one.

Whoever uses the proxy finds the site at `https://download.example.com`, and at any other host of
`example.com`, with a certificate of a CA that nobody but `ca_file` knows. The way to all
other hosts leads straight on. So no name of the site has to be known to the machine.
"""

from __future__ import annotations

import io
import selectors
import socket
import ssl
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import trustme

from lab.http_server import serving
from lab.resource import Resource

HOSTS = ("download.example.com", "files.example.com")
"""The site answers to both, the same."""

_DOMAIN = ".example.com"
_SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")
_PATIENCE = 60.0
"""Seconds between two pieces of a request."""

_PIECE = bytes(1 << 18)
_HTTP, _HTTPS = 80, 443


@dataclass(frozen=True, slots=True)
class Page:
    """What a path has.

    Attributes:
        body: Its bytes.
        status: Of the answer.
        headers: Those beside the length.
        zeros: So many of them are the body instead of `body`; they are nowhere kept.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    zeros: int = 0

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return self.zeros or len(self.body)

    def pieces(self) -> Iterator[bytes]:
        """The body."""
        yield self.body
        left = self.zeros
        while left:
            piece = _PIECE[:left]
            left -= len(piece)
            yield piece


def _tarball() -> bytes:
    script = b"#!/bin/sh\necho hello from $(uname -m)\n"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        info = tarfile.TarInfo("hello")
        info.size, info.mode = len(script), 0o755
        archive.addfile(info, io.BytesIO(script))
    return stream.getvalue()


def _redirect(target: str) -> Page:
    return Page(status=302, headers={"Location": target})


def _pages() -> dict[str, Page | Callable[[], Page]]:
    return {
        "/hello.tar.gz": Page(_tarball(), headers={"ETag": '"1"'}),
        "/page.html": Page(b"<p>a page</p>\n", headers={"Content-Type": "text/html"}),
        "/old.html": _redirect("/page.html"),
        "/elsewhere.html": _redirect("https://files.example.com/old.html"),
    }


class Site(Resource):
    """The site and the proxy, each on a free port of loopback.

    Attributes:
        pages: Path to what is there, or to what makes it when it is asked for; all else is 404.
        ca_file: The system's authorities and the site's own, in one file.
        proxy: The proxy's URL.
        hosts: Those that the proxy has led to, the site's own among them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pages = _pages()
        self.ca_file = Path()
        self.proxy = ""
        self.hosts: set[str] = set()

    @property
    def environment(self) -> dict[str, str]:
        """The variables of who is to use the proxy."""
        return {"HTTP_PROXY": self.proxy, "HTTPS_PROXY": self.proxy}

    def _begin(self) -> None:
        """Starts both."""
        folder = Path(self._resources.enter_context(TemporaryDirectory(prefix="site-")))
        authority = trustme.CA()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*HOSTS).configure_cert(tls)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(_SYSTEM_CA.read_bytes() + authority.cert_pem.bytes())
        ports = {
            _HTTP: self._serve(_Server(_Visit, self.pages)),
            _HTTPS: self._serve(_Server(_Visit, self.pages, tls)),
        }
        self.proxy = f"http://127.0.0.1:{self._serve(_Proxy(ports, self.hosts))}"

    def _serve(self, server: ThreadingHTTPServer) -> int:
        self._resources.enter_context(serving(server))
        return int(server.server_address[1])


class _Loopback(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up when they like."""


class _Server(_Loopback):
    def __init__(
        self,
        handler: type[BaseHTTPRequestHandler],
        pages: Mapping[str, Page | Callable[[], Page]],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.pages = pages
        super().__init__(handler)
        if tls:  # each thread shakes hands for itself
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )


class _Visit(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    server: _Server

    def do_GET(self) -> None:
        found = self.server.pages.get(urlsplit(self.path).path, Page(b"not here\n", 404))
        page = found if isinstance(found, Page) else found()
        self.send_response(page.status)
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(page.size))
        self.end_headers()
        if self.command == "GET":
            for piece in page.pieces():
                self.wfile.write(piece)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


class _Proxy(_Loopback):
    def __init__(self, ports: Mapping[int, int], hosts: set[str]) -> None:
        self._ports, self._hosts = ports, hosts
        super().__init__(_Passage)

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to where a host really is."""
        self._hosts.add(host)
        if host.endswith(_DOMAIN):
            host, port = "127.0.0.1", self._ports[port]
        return socket.create_connection((host, port), timeout=_PATIENCE)


class _Passage(BaseHTTPRequestHandler):
    server: _Proxy

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        with self._connected(host, int(port)) as there:
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            _pump(self.connection, there)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        with self._connected(url.hostname or "", url.port or _HTTP) as there:
            path = url._replace(scheme="", netloc="").geturl() or "/"
            kept = [
                f"{name}: {value}\r\n"
                for name, value in self.headers.items()
                if name.lower() not in ("connection", "proxy-connection")
            ]
            head = f"GET {path} HTTP/1.1\r\n{''.join(kept)}Connection: close\r\n\r\n"
            there.sendall(head.encode("latin-1"))
            _pump(self.connection, there)
        self.close_connection = True

    def _connected(self, host: str, port: int) -> socket.socket:
        try:
            return self.server.connect(host, port)
        except (OSError, KeyError):
            self.send_error(502)
            raise

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Passes on what each side says until one of them hangs up."""
    with selectors.DefaultSelector() as selector, suppress(OSError):
        selector.register(source, selectors.EVENT_READ, target)
        selector.register(target, selectors.EVENT_READ, source)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
                if not data:
                    return
                key.data.sendall(data)
