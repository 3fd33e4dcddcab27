"""A web site on loopback: a real nginx that serves a folder, from Debian's package."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from airgap.errors import HostError
from lab import debian
from lab.cleanup import process_id, removed_at_end

_HOST, _TWIN = "127.0.0.2", "127.0.0.3"
"""Not 127.0.0.1, which in a step with a proxy is the step itself."""
_PATIENCE = 10.0
_CONFIG = """\
daemon off;
user root;
worker_processes auto;
pid {folder}/pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {site.address} backlog=1024;
    listen {site.twin} backlog=1024;
    root {files};
    absolute_redirect off;
    location /moved/ {{ rewrite ^/moved(/.*)$ $1 redirect; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A site that is up. What it has at /PATH it redirects to from /moved/PATH.

    Attributes:
        address: `HOST:PORT`.
        twin: Another address of the same.
    """

    address: str
    twin: str

    @property
    def url(self) -> str:
        """`http://HOST:PORT`."""
        return f"http://{self.address}"


@contextmanager
def static_site(files: Path, folder: Path) -> Iterator[Site]:
    """Serves files while the context lasts.

    Args:
        files: What it serves.
        folder: For its own files; made here.

    Raises:
        HostError: It does not start.
    """
    folder.mkdir()
    port = _free_port()
    site = Site(f"{_HOST}:{port}", f"{_TWIN}:{port}")
    config, log = folder / "nginx.conf", folder / "log"
    config.write_text(_CONFIG.format(folder=folder, files=files, site=site))
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*_nginx(), "-p", folder, "-c", config, "-e", "stderr"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as nginx,
        removed_at_end("process", process_id(nginx.pid)),
    ):
        try:
            _wait(site, nginx, log)
            yield site
        finally:
            nginx.terminate()  # with its workers, which would outlive a kill
            nginx.wait()


def nginx_version() -> str:
    """E.g. `1.22.1`."""
    said = subprocess.run([*_nginx(), "-v"], capture_output=True, text=True, check=True)
    return said.stderr.rpartition("/")[2].strip()


def _nginx() -> list[str | Path]:
    """Debian's own loader and libraries run it, whatever this machine has."""
    system = debian.unpacked("nginx-light")
    libraries = ":".join(str(system / name / "x86_64-linux-gnu") for name in ("lib", "usr/lib"))
    loader = system / "lib64" / "ld-linux-x86-64.so.2"
    return [loader, "--library-path", libraries, system / "usr" / "sbin" / "nginx"]


def _wait(site: Site, nginx: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    with requests.Session() as session:
        session.trust_env = False
        while True:
            try:
                session.get(site.url, timeout=_PATIENCE)
            except requests.ConnectionError as error:
                if nginx.poll() is not None or time.monotonic() > deadline:
                    raise HostError("nginx does not answer", meaning=log.read_text()) from error
                time.sleep(0.02)
            else:
                return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
