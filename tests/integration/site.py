"""A web server that answers as a test says, also as a proxy, and notes what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


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


class Site:
    """Serves pages on a free port.

    Attributes:
        pages: Path and query to what is there; all else is 404.
        asked: The requests that came.
        address: `HOST:PORT`.
    """

    def __init__(self, pages: Mapping[str, Page], host: str = "127.0.0.1") -> None:
        self.pages = dict(pages)
        self.asked: list[Asked] = []
        self._server = _Server((host, 0), _Handler)
        self._server.site = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.address = f"{host}:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


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
