"""A server lasts as long as any build that may need it."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from airgap.errors import HostError
from airgap.replay.detached_server import DetachedServer, detached_server
from airgap.replay.replay import Replay
from airgap.replay.request import RequestKey
from airgap.store.store import Store
from tests.unit.replay.test_replay import BODY, URL, recorded

TOKEN = "secret"
_BUILD = """
import sys
from pathlib import Path
from airgap.replay.detached_server import detached_server
from airgap.replay.replay import Replay
from airgap.store.store import Store
folder = Path(sys.argv[1])
with detached_server(Replay(Store(folder), []), "127.0.0.1", "secret", folder) as server:
    print(server.base, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def get(base: str, path: str = "/https/h/file") -> tuple[int, bytes]:
    address, _, first = base.partition("/")
    connection = HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", f"/{first}{path}")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_for_the_end(base: str) -> None:
    deadline = time.monotonic() + 10
    host, port = base.partition("/")[0].split(":")
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port))).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    raise AssertionError(f"{base} still listens")


@contextmanager
def other_build(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A build in a session of its own, which ends with its standard input, and its address."""
    with subprocess.Popen(
        [sys.executable, "-c", _BUILD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as build:
        assert build.stdout is not None
        yield build, build.stdout.readline().strip()


@contextmanager
def serving(store: Store, folder: Path) -> Iterator[DetachedServer]:
    replay = Replay(store, [recorded(store, RequestKey(URL), BODY)])
    with detached_server(replay, "127.0.0.1", TOKEN, folder) as server:
        yield server


def test_it_answers_tells_what_it_noted_and_ends(store: Store, folder: Path) -> None:
    with serving(store, folder) as server:
        assert get(server.base) == (200, BODY)
        status, _ = get(server.base, "/https/h/other")
        assert status == 403
        told = server.status()
    assert [asked.shown for asked in told.misses] == ["https://h/other"]
    wait_for_the_end(server.base)


def test_it_ends_though_nobody_asks_what_it_noted(store: Store, folder: Path) -> None:
    with serving(store, folder) as server:
        pass
    wait_for_the_end(server.base)


def test_it_lasts_until_the_last_build_has_ended(store: Store, folder: Path) -> None:
    with other_build(folder) as (other, others_address):
        with serving(store, folder) as server:
            server.status()
        assert get(server.base) == (200, BODY)
        assert get(others_address)[0] == 403
        other.communicate("", timeout=10)
        wait_for_the_end(server.base)
        wait_for_the_end(others_address)


def test_the_server_of_a_killed_build_lasts_for_the_others(store: Store, folder: Path) -> None:
    with other_build(folder) as (killed, address), serving(store, folder) as server:
        os.killpg(killed.pid, signal.SIGKILL)
        # Nobody who reads what the build says waits for the server's end.
        killed.communicate(timeout=10)
        assert get(address)[0] == 403
        server.status()
    wait_for_the_end(address)


@pytest.mark.parametrize("how", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_a_lock_of_somebody_else_stops_no_build_and_keeps_no_server(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, how: int
) -> None:
    monkeypatch.setattr("airgap.replay.detached_server._SERVER_SECONDS", 0.2)
    monkeypatch.setattr("airgap.replay.detached_server._BUILD_SECONDS", 0.5)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        with serving(store, folder) as server:
            assert get(server.base) == (200, BODY)
            server.status()
        wait_for_the_end(server.base)
    finally:
        os.close(descriptor)


def test_a_killed_server_is_told_of(store: Store, folder: Path) -> None:
    with serving(store, folder) as server:
        port = server.base.partition("/")[0].partition(":")[2]
        os.kill(_listener(int(port)), signal.SIGKILL)
        with pytest.raises(HostError, match="was killed"):
            server.status()


def test_an_address_of_another_host(store: Store, folder: Path) -> None:
    with (
        pytest.raises(HostError, match="cannot listen on"),
        detached_server(Replay(store, []), "192.0.2.1", TOKEN, folder),
    ):
        pass


def _listener(port: int) -> int:
    """The process that listens on a port of 127.0.0.1."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    (inode,) = (words[9] for words in lines if words[1] == f"0100007F:{port:04X}")
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(descriptor.readlink()) == f"socket:[{inode}]":
                return int(descriptor.parts[2])
        except OSError:
            continue
    raise AssertionError(f"nobody listens on {port}")
