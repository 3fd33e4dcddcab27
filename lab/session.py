"""A lab for a person: an upstream, a medium and hosts, kept by a process in the background.

What is running is in the file `session.json` of the cache, for the commands that come later.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from airgap.errors import HostError, UsageError
from lab import images
from lab.arm64_machine import DRIVE, WAIT_FOR_DRIVE, Arm64Machine, pull_out, put_in
from lab.cache import cache_root
from lab.cleanup import is_alive, process_id, sweep
from lab.host import IsolatedHost
from lab.machine import MOUNT_POINT
from lab.medium import Medium
from lab.prepare import prepare, ready
from lab.run import run
from lab.upstream import Upstream

_MEDIUM_SIZE = 8 << 30
_PATIENCE = 300.0
"""Seconds that the keeper has for its start and for its end; few are needed without arm64."""


@dataclass(frozen=True, slots=True)
class Session:
    """What is running.

    Attributes:
        keeper: The process that holds it all, as `process_id` names it.
        upstream: Address of the registry.
        medium: Where the medium is mounted, writable, on the connected side.
        device: Its block device, which a host mounts.
        hosts: Of each host, the command that is put before one that is to run in it.
        monitors: Of each machine with a kernel of its own, the socket at which it takes drives.
    """

    keeper: str
    upstream: str
    medium: str
    device: str
    hosts: dict[str, list[str]]
    monitors: dict[str, str]


def _file() -> Path:
    return cache_root() / "session.json"


def current() -> Session | None:
    """The running session, if there is one."""
    if not _file().exists():
        return None
    session = Session(**json.loads(_file().read_text()))
    return session if is_alive(session.keeper) else None


def up(*, arm64: bool = False) -> Session:
    """Starts a session, or finds the one that runs.

    Args:
        arm64: There is an arm64 machine too, beside the first host.

    Raises:
        HostError: The machine lacks something, or the keeper did not start.
    """
    prepare()
    running = current()
    if running is not None:
        return running
    _file().unlink(missing_ok=True)
    log = cache_root() / "session.log"
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "lab.session", *(["arm64"] if arm64 else [])],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + _PATIENCE
    while keeper.poll() is None and time.monotonic() < deadline:
        session = current()
        if session is not None:
            return session
        time.sleep(0.1)
    message = "the lab did not start"
    raise HostError(message, meaning=log.read_text()[-2000:])


def down() -> None:
    """Ends the session, and removes what dead owners left."""
    session = current()
    if session is not None:
        os.kill(int(session.keeper.partition("-")[0]), signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE
        while is_alive(session.keeper) and time.monotonic() < deadline:
            time.sleep(0.1)
    _file().unlink(missing_ok=True)
    sweep()


def command_in(host: str, argv: Sequence[str]) -> list[str]:
    """What runs a command in a host of the session.

    Raises:
        HostError: No session is running.
        UsageError: It has no such host.
    """
    session = _running()
    if host not in session.hosts:
        message = f"the lab has no host {host!r}"
        raise UsageError(message, remedy=f"one of: {', '.join(session.hosts)}")
    return [*session.hosts[host], *argv]


def plug(host: str) -> None:
    """Mounts the medium on a host, and read-only on the connected side.

    Raises:
        HostError: No session is running, or the medium is in use.
    """
    session = _running()
    run(command_in(host, ["mkdir", "-p", MOUNT_POINT]))
    run(["umount", session.medium])
    run(["mount", "-o", "ro", session.device, session.medium])
    device = session.device
    if host in session.monitors:
        put_in(Path(session.monitors[host]), device)
        run(command_in(host, WAIT_FOR_DRIVE))
        device = DRIVE
    run(command_in(host, ["mount", "-o", "ro,nodev,nosuid", device, MOUNT_POINT]))


def unplug(host: str) -> None:
    """Unmounts the medium on a host; it is writable again on the connected side.

    Raises:
        HostError: No session is running, or the medium is in use or not plugged in.
    """
    session = _running()
    run(command_in(host, ["umount", MOUNT_POINT]))
    if host in session.monitors:
        pull_out(Path(session.monitors[host]))
    run(["umount", session.medium])
    run(["mount", session.device, session.medium])


def _running() -> Session:
    session = current()
    if session is None:
        message = "the lab is not running"
        raise HostError(message, remedy="scripts/lab up")
    return session


def keep(*, arm64: bool) -> None:
    """Makes everything, and holds it until a signal says that it is over."""
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    ready()
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(images.storage()))
        medium = stack.enter_context(Medium(_MEDIUM_SIZE))
        hosts = [
            stack.enter_context(IsolatedHost("loopback", name="loopback")),
            stack.enter_context(IsolatedHost("blackhole", name="blackhole")),
        ]
        for host in hosts:
            host.check_isolated()
            host.start_docker()
        machines = [stack.enter_context(Arm64Machine(hosts[0], name="arm64"))] if arm64 else []
        for machine in machines:
            machine.start_docker()
        commands = {each.name: each.command([]) for each in (*hosts, *machines)}
        monitors = {machine.name: str(machine.monitor) for machine in machines}
        keeper = process_id(os.getpid())
        session = Session(
            keeper, upstream.address, str(medium.path), medium.device, commands, monitors
        )
        unfinished = _file().with_suffix(".part")
        unfinished.write_text(json.dumps(asdict(session)))
        unfinished.rename(_file())
        signal.sigwait(signals)


if __name__ == "__main__":
    keep(arm64="arm64" in sys.argv)
