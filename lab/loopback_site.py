"""A small web site on the workstation, for build steps that download."""

from __future__ import annotations

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab.http_server import serving
from lab.resource import Resource

ADDRESS = "127.0.0.2"
"""Loopback, but none of the names for which BuildKit's proxy network sets NO_PROXY."""


class LoopbackSite(Resource):
    """Answers GET: `/file/NAME` with a text, `/to/PATH` with a redirect to `/PATH`.

    Attributes:
        url: `http://127.0.0.2:PORT`.
        requests: Path, query included, and headers of every request so far.
        secret: A query that redirects add.
    """

    def __init__(self, secret: str = "") -> None:
        super().__init__()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.secret = secret
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.requests.append((self.path, dict(self.headers.items())))
                path = self.path.partition("?")[0]
                if path.startswith("/to/"):
                    self.send_response(302)
                    self.send_header("Location", f"{site.url}/{path[4:]}{site.secret}")
                    body = b""
                else:
                    self.send_response(200 if path.startswith("/file/") else 404)
                    body = content(path.rpartition("/")[2])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer((ADDRESS, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{ADDRESS}:{self._server.server_address[1]}"

    def _begin(self) -> None:
        """Starts to answer."""
        self._resources.enter_context(serving(self._server))


def content(name: str) -> bytes:
    """What `/file/NAME` answers: it does not show the name."""
    return hashlib.sha256(name.encode()).hexdigest().encode() * 50 + b"\n"
