"""A small HTTP server that BuildKit asks instead of the Internet, for recorder and replay alike.

It understands the paths that `key` describes, with GET and HEAD, and nothing else. A part of
these paths is secret, so that only builds get answers. Where it cannot finish an answer it cuts
the connection, so that no client takes a part for the whole.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import sys
import threading
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from airgap.errors import AirgapError
from airgap.replay import headers, redaction
from airgap.replay.connections import Connections
from airgap.replay.headers import Headers
from airgap.replay.request import RequestKey, Route, base_of, led_to, own_path, path_of, read_path
from airgap.replay.responses import Handler, Response, text_answer

# For the first request of a connection.
_FIRST_SECONDS = 10.0
# Longer than BuildKit keeps a connection that it does not use (Go's transport: 90 s).
_IDLE_SECONDS = 120.0
# A build step may take its time with what it is given, under emulation above all.
_STUCK_SECONDS = 3600.0
_PAGE = 64 << 10
_BODILESS = (204, 304)
# BuildKit's own downloads, of `ADD https://…`, come here directly and not through its proxy.
_BUILDKIT = "buildkit/"


class Server:
    """Serves while its context is entered, on threads of its own.

    Attributes:
        address: `HOST:PORT` that it listens on.
        base: What the URLs that it answers begin with; see `base_of`.
    """

    def __init__(
        self, answerer: Handler, address: str = "127.0.0.1", port: int = 0, token: str = ""
    ) -> None:
        """Listens; entering the context starts to answer.

        Args:
            answerer: Who knows the answers.
            address: The IPv4 address to listen on.
            port: The port, or 0 for any that is free.
            token: The secret part of all paths; empty for a new one.

        Raises:
            OSError: The port is taken, or this host does not have the address.
        """
        token = token or secrets.token_hex(16)
        self._server = _Listener(answerer, address, port, token)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="airgap server", daemon=True
        )
        self.address = f"{address}:{self._server.server_address[1]}"
        self.base = base_of(self.address, token)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End all connections.

        Raises:
            Exception: An answer failed by a fault of this program.
        """
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.connections.end_all()
        if self.fault is not None:
            raise self.fault

    @property
    def fault(self) -> BaseException | None:
        """By which fault of this program an answer failed, if one did."""
        return self._server.fault


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answerer: Handler, address: str, port: int, token: str) -> None:
        self.answerer, self.token = answerer, token
        self.fault: BaseException | None = None
        self.connections = Connections()
        super().__init__((address, port), _Exchange)

    def server_bind(self) -> None:
        """Binds, and does not ask for this host's name as the base class does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:  # such as too many open files: else it would be called again at once
            self.connections.make_room()
            raise

    def verify_request(self, request: Any, client_address: object) -> bool:  # noqa: ANN401
        """Take a connection if there is room for it; the base class ends the others."""
        return self.connections.admit(request)

    def close_request(self, request: Any) -> None:  # noqa: ANN401 - as in the base class
        self.connections.discard(request)
        super().close_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep what only a fault of the program can have raised, for the end."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # clients go away
            self.fault = self.fault or error


class _Exchange(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # so that every refusal has a status line
    timeout = _FIRST_SECONDS
    disable_nagle_algorithm = True
    wbufsize = _PAGE
    server: _Listener

    def do_GET(self) -> None:
        path = own_path(self.path, self.server.token)
        if path is None:
            self._refuse(HTTPStatus.FORBIDDEN, "only builds are answered here")
            return
        self.server.connections.begin(self.connection)
        self._give(path)
        self.server.connections.end(self.connection)

    do_HEAD = do_GET

    def _give(self, path: str) -> None:
        route = read_path(path)
        if route is None or not self.request_version.startswith("HTTP/1."):
            self._refuse(HTTPStatus.BAD_REQUEST, "this is the path of nothing to download")
            return
        if self._has_body():
            self._refuse(HTTPStatus.BAD_REQUEST, "a request with a body cannot be recorded")
            return
        sent = tuple((name, str(value)) for name, value in self.headers.items())
        buildkit = headers.value_of(sent, "user-agent").startswith(_BUILDKIT)
        back = _upwards(path) if buildkit else route.back
        answer = self._answer(_key_of(route, sent, head=self.command == "HEAD"), sent, route.user)
        try:
            self._send(answer, _led_back(answer.headers, route.url, back))
        finally:
            answer.close()

    def _has_body(self) -> bool:
        """Return whether a body follows, or something that some server may take for one."""
        sizes = self.headers.get_all("Content-Length", [])
        unclear = self.headers.defects or "Transfer-Encoding" in self.headers
        return bool(unclear) or any(size != "0" for size in sizes)

    def _answer(self, key: RequestKey, sent: Headers, user: str) -> Response:
        try:
            return self.server.answerer.answer(key, sent, user)
        except AirgapError as error:
            return text_answer(HTTPStatus.BAD_GATEWAY, str(error))

    def _send(self, answer: Response, named: Headers) -> None:
        self.connection.settimeout(_STUCK_SECONDS)
        self.send_response_only(answer.status, answer.reason or None)
        for name, value in (*named, ("Date", formatdate(usegmt=True))):
            self.send_header(name, value)
        bodiless = answer.status in _BODILESS
        chunked = answer.size is None and self.request_version != "HTTP/1.0"
        if answer.size is not None and not bodiless:
            self.send_header("Content-Length", str(answer.size))
        elif chunked and not bodiless:
            self.send_header("Transfer-Encoding", "chunked")
        if answer.size is None and not chunked:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        try:
            if self.command != "HEAD" and not bodiless:
                self._send_body(answer, chunked=chunked)
            self.wfile.flush()
        except (AirgapError, OSError):
            self._cut()
            return
        self.connection.settimeout(_IDLE_SECONDS)

    def _send_body(self, answer: Response, *, chunked: bool) -> None:
        """Send the body as it comes.

        Raises:
            OSError: The client went away, or the body has another size than was said.
            AirgapError: It cannot be had, or is not what it should be.
        """
        sent = 0
        for piece in answer.body:
            if not piece:
                continue
            sent += len(piece)
            if answer.size is not None and sent > answer.size:
                break
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            self.wfile.flush()
        if answer.size is not None and sent != answer.size:
            raise OSError("the body has another size than was said")
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _cut(self) -> None:
        """End the connection with a TCP reset, which nobody can take for the end of a body."""
        self.close_connection = True
        with suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            os.close(self.connection.detach())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request for the base class, whose messages repeat what was sent."""
        if code == HTTPStatus.NOT_IMPLEMENTED:  # what it says of methods that have no function
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD can be recorded")
        else:
            self._refuse(code, "this is no request for a download")

    def _refuse(self, code: int, text: str) -> None:
        """Refuse a request, and end the connection."""
        self.close_connection = True
        ends = (("Connection", "close"), ("Allow", "GET, HEAD"))
        answer = text_answer(code, text)
        self._send(answer, (*answer.headers, *ends))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: answerers keep notes of what matters."""


def _key_of(route: Route, sent: Headers, *, head: bool) -> RequestKey:
    proven = bool(route.user) or headers.are_credentials(sent) or redaction.has_secrets(route.url)
    accept, part = headers.value_of(sent, "accept"), headers.value_of(sent, "range")
    return RequestKey(route.url, accept, part, proven, head)


def _upwards(path: str) -> str:
    """Return a relative way from the path of a request to where `https/HOST/PATH` begins.

    It does not tell the client the part before, which a RUN step does not know.
    """
    return "../" * (path.partition("?")[0].count("/") - 1)


def _led_back(named: Headers, base: str, back: str) -> Headers:
    """Return the headers with a redirect that leads this client here again."""
    if not back:
        return named
    return tuple(
        (name, back + path_of(target.url))
        if name.lower() == "location" and (target := led_to(base, value))
        else (name, value)
        for name, value in named
    )
