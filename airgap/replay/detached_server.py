"""A server that outlives its build while other builds run.

BuildKit runs a step that builds have in common once, and what the step downloads comes from the
server of the build that began it. That build may fail, or be interrupted or killed meanwhile. So
the server is a process of its own, and ends when no build is left that could have such a step.
"""

from __future__ import annotations

import fcntl
import gc
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from airgap.errors import HostError
from airgap.replay.replay import Replay
from airgap.replay.request import RequestKey
from airgap.replay.responses import Note
from airgap.replay.server import Server

_STANDARD = 3
# Servers hold their lock for a moment, builds as long as they last. Every user of a host can hold
# one on a folder that they may read, so nobody waits longer than it is worth.
_SERVER_SECONDS = 5.0
_BUILD_SECONDS = 24 * 3600.0
_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What a replay notes for people; see `Replay`."""

    misses: tuple[RequestKey, ...]
    refused: tuple[Note, ...]
    errors: tuple[Note, ...]
    unlisted: int = 0


class DetachedServer:
    """The server, as its build knows it.

    Attributes:
        base: `HOST:PORT/airgap-TOKEN`: what the URLs that it answers begin with.
    """

    def __init__(self, process: Connection, base: str) -> None:
        self._process = process
        self.base = base

    def status(self) -> ServerStatus:
        """Return what was noted, when the build is over; to be asked once.

        Raises:
            HostError: The server was killed.
            RuntimeError: An answer failed by a fault of this program.
        """
        try:
            self._process.send(None)
            status = self._process.recv()
        except (EOFError, OSError):
            raise HostError("the process that replays was killed") from None
        if isinstance(status, ServerStatus):
            return status
        raise RuntimeError(status)


@contextmanager
def detached_server(
    replay: Replay, address: str, token: str, folder: Path
) -> Iterator[DetachedServer]:
    """Serve until the context ends, and longer while other builds use the server.

    Args:
        replay: Answers.
        address: The IPv4 address to listen on.
        token: The part of the path that only the builds know.
        folder: Of all builds that may have steps in common; it is there and stays as it is.

    Raises:
        HostError: It cannot listen there.
    """
    ours, theirs = Pipe()
    with ours, theirs:
        make = partial(Server, replay, address, token=token)
        _detach(lambda: _serve(replay, make, folder, theirs), theirs.fileno())
        theirs.close()
        try:
            listening = ours.recv()
        except EOFError:
            raise HostError("the process that replays was killed") from None
        if isinstance(listening, OSError):
            raise HostError(f"cannot listen on {address}: {listening.strerror}")
        # Servers of other builds wait for its end, which the system sees also if this is killed.
        with _locked(folder, fcntl.LOCK_SH, _SERVER_SECONDS):
            yield DetachedServer(ours, listening)


def _serve(replay: Replay, make: Callable[[], Server], folder: Path, build: Connection) -> None:
    try:
        server = make()
    except OSError as error:
        build.send(error)
        return
    with server:
        build.send(server.base)
        with suppress(EOFError, OSError):
            build.recv()
        status = ServerStatus(replay.misses, replay.refused, replay.errors, replay.unlisted)
        fault = server.fault and "".join(traceback.format_exception(server.fault))
        with suppress(OSError):
            build.send(fault or status)
        with _locked(folder, fcntl.LOCK_EX, _BUILD_SECONDS):
            return


def _detach(work: Callable[[], None], kept: int) -> None:
    """Do work in a process of its own, without a terminal and with nobody to wait for it.

    Args:
        work: What to do.
        kept: The only file descriptor that stays open in it.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    status = 1
    try:
        if os.fork() == 0:
            os.setsid()
            _let_go_of_all_but(kept)
            work()
        status = 0
    finally:
        os._exit(status)


def _let_go_of_all_but(kept: int) -> None:
    """So that nobody waits for the end of this process: for a lock, or the end of a pipe."""
    gc.freeze()  # no object that the other process left must close its descriptor's number later
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(_STANDARD):
        os.dup2(nowhere, standard)
    os.closerange(_STANDARD, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


@contextmanager
def _locked(folder: Path, how: int, seconds: float) -> Iterator[None]:
    """Hold a lock of a folder, or do without it after so many seconds."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + seconds
        while not _is_locked(descriptor, how) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
