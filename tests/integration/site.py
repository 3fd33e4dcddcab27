"""A web server that answers as a test says, also as a proxy, and notes what it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from lab.http_server import serving
from lab.resource import Resource


@dataclass(frozen=True, slots=True)
class Page:
    """What a path has."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    """The size that is said, where it is not that of the body."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came: its path and query, its headers with names in lower case."""

    path: str
    headers: Mapping[str, str]


class Site(Resource):
    """Serves pages on a free port.

    Attributes:
        pages: Path and query to what is there; all else is 404.
        asked: The requests that came.
        address: `HOST:PORT`.
    """

    def __init__(self, pages: Mapping[str, Page], host: str = "127.0.0.1") -> None:
        super().__init__()
        self.pages = dict(pages)
        self.asked: list[Asked] = []
        self._server = _Server((host, 0), _Handler)
        self._server.site = self
        self.address = f"{host}:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def _begin(self) -> None:
        self._resources.enter_context(serving(self._server))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    site: Site


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        whole = urlsplit(self.path)  # absolute where this is a proxy
        path = f"{whole.path}?{whole.query}" if whole.query else whole.path
        named = {name.lower(): value for name, value in self.headers.items()}
        self.server.site.asked.append(Asked(path, named))
        page = self.server.site.pages.get(path, Page(b"not here", 404))
        self.send_response(page.status)
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(page.body) if page.size is None else page.size))
        self.end_headers()
        self.wfile.write(page.body)

    def log_message(self, format: str, *args: object) -> None:
        pass
