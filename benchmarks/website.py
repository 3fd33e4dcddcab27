"""The server that builds download from: a real nginx, which serves a folder on loopback."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from airgap.errors import HostError
from tests.lab import debian
from tests.lab.leftovers import process_id, removed_at_end

HOST, TWIN = "127.0.0.2", "127.0.0.3"
"""Addresses of one and the same site: no step takes them for itself, as it does 127.0.0.1."""
PORT = 18080

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
    listen {host}:{port} backlog=1024;
    listen {twin}:{port} backlog=1024;
    root {files};
  }}
}}
"""


def root() -> Path:
    """The folder with Debian's nginx and all its libraries."""
    return debian.unpacked("nginx-light")


@contextmanager
def website(files: Path, folder: Path) -> Iterator[str]:
    """Serves files while the context lasts, and yields the site's address, `http://HOST:PORT`.

    Args:
        files: What it serves.
        folder: For its own files, made here.

    Raises:
        HostError: It does not start.
    """
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, files=files, host=HOST, twin=TWIN, port=PORT))
    log = folder / "log"
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
        _wait(nginx, log)
        yield f"http://{HOST}:{PORT}"
        nginx.terminate()  # with its workers, which a kill would leave
        nginx.wait()


def version() -> str:
    """Of nginx."""
    said = subprocess.run([*_nginx(), "-v"], capture_output=True, text=True, check=True)
    return said.stderr.rpartition("/")[2].strip()


def _nginx() -> list[str | Path]:
    """Debian's own loader and libraries run it, whatever this machine has."""
    system = root()
    libraries = ":".join(str(system / name / "x86_64-linux-gnu") for name in ("lib", "usr/lib"))
    loader = system / "lib64" / "ld-linux-x86-64.so.2"
    return [loader, "--library-path", libraries, system / "usr" / "sbin" / "nginx"]


def _wait(nginx: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            requests.get(f"http://{HOST}:{PORT}/", timeout=_PATIENCE)
        except requests.ConnectionError as error:
            if nginx.poll() is not None or time.monotonic() > deadline:
                raise HostError("nginx does not answer", meaning=log.read_text()) from error
            time.sleep(0.02)
        else:
            return
