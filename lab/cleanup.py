"""Whatever the lab makes on the machine is noted before it is made, and removed at the end.

A note is a small file in the cache, in a folder of the process that owns the thing. A normal end,
an exception and Ctrl-C remove the thing and its note; what a killed owner left is removed by the
next start of the lab. Both ways go through the same functions, the `_REMOVERS`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from airgap.errors import HostError
from lab import binfmt
from lab.cache import cache_root, locked
from lab.run import run

CGROUPS = Path("/sys/fs/cgroup")

_PATIENCE = 10.0
"""Seconds that a process has for its end, or a cgroup for becoming empty."""

_numbers = itertools.count()


@contextmanager
def removed_at_end(kind: str, value: str) -> Iterator[None]:
    """Notes a thing that is about to be made, and removes it when the context is left.

    Args:
        kind: `process`, `mount`, `loop`, `cgroup`, `folder`, `bridges`, `binfmt` or `emulator`.
        value: Which one: what `process_id` returns, a mount point, the file behind a loop device,
            a cgroup's name, a folder, the data folder of the Docker Engine whose bridges they are,
            a user of the binfmt table, one entry of it.
    """
    note = _note(kind, value)
    try:
        yield
    finally:
        _REMOVERS[kind](value)
        note.unlink()
        with suppress(OSError):
            note.parent.rmdir()


def sweep() -> None:
    """Removes what owners that are dead left behind."""
    with locked("sweep"):
        for owner in _owners():
            if is_alive(owner.name):
                continue
            for note in sorted(owner.iterdir(), reverse=True):
                with suppress(ValueError):  # killed while it wrote the note: nothing was made
                    kind, value = json.loads(note.read_text())
                    _REMOVERS[kind](value)
                note.unlink()
            owner.rmdir()


def process_id(pid: int) -> str:
    """Names a process for good: its number, and when it started, as numbers are used again.

    Raises:
        HostError: There is no such process.
    """
    started = _started(pid)
    if started is None:
        message = f"process {pid} ended at once"
        raise HostError(message)
    return f"{pid}-{started}"


def is_alive(process: str) -> bool:
    """Whether a process that `process_id` named still runs."""
    pid, _, started = process.partition("-")
    return _started(int(pid)) == started


def _started(pid: int) -> str | None:
    """Start time of a running process in clock ticks since boot: field 22 of proc(5)'s stat."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else fields[18]


def _owners() -> list[Path]:
    folder = cache_root() / "leftovers"
    return sorted(folder.iterdir()) if folder.exists() else []


def _note(kind: str, value: str) -> Path:
    folder = cache_root() / "leftovers" / process_id(os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / f"{next(_numbers):06}.json"
    note.write_text(json.dumps([kind, value]))
    return note


def _end_process(process: str) -> None:
    """Kills a process: nothing that it would still write is ever read again."""
    if is_alive(process):
        os.kill(int(process.partition("-")[0]), signal.SIGKILL)
        _wait_until(lambda: not is_alive(process))


def _unmount(mount_point: str) -> None:
    while os.path.ismount(mount_point):
        run(["umount", mount_point])


def _detach_loop(image: str) -> None:
    for line in run(["losetup", "--associated", image]).splitlines():
        run(["losetup", "--detach", line.partition(":")[0]])


def _remove_cgroup(name: str) -> None:
    """Removes a cgroup from every hierarchy, the innermost of its descendants first."""
    for cgroup in cgroup_folders(name):
        for folder in sorted((cgroup, *cgroup.rglob("*/")), reverse=True):
            _wait_until(partial(_is_removed, folder))


def make_cgroup(name: str) -> None:
    """Makes a cgroup in every hierarchy, ready to take processes."""
    for hierarchy in {path.parent for path in CGROUPS.glob("*/cgroup.procs")} or {CGROUPS}:
        (hierarchy / name).mkdir()
    for folder in cgroup_folders(name):
        for setting in ("cpuset.cpus", "cpuset.mems"):  # version 1 starts them empty
            if (folder / setting).exists():
                (folder / setting).write_text((folder.parent / setting).read_text())


def cgroup_folders(name: str) -> list[Path]:
    """The folders of a cgroup: one a hierarchy (version 1), or a single one (version 2)."""
    hierarchies = (path.parent for path in CGROUPS.glob("*/cgroup.procs"))
    candidates = [CGROUPS / name, *(hierarchy / name for hierarchy in hierarchies)]
    return [folder for folder in candidates if folder.is_dir()]


def _is_removed(folder: Path) -> bool:
    """Tries to remove a cgroup, which the kernel refuses while a process is in it."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _remove_folder(folder: str) -> None:
    if Path(folder).exists():
        shutil.rmtree(folder)


def _remove_bridges(docker: str) -> None:
    """Removes the bridges of a Docker Engine that has ended, which leaves them to its next start.

    Its own records name them; the pattern is that of the names it gives by itself.
    """
    records = Path(docker) / "network" / "files" / "local-kv.db"
    if not records.exists():
        return
    for name in set(re.findall(rb"br-[0-9a-f]{12}", records.read_bytes())):
        bridge = name.decode()
        if Path(f"/sys/class/net/{bridge}").exists():
            run(["ip", "link", "delete", bridge])


def _wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not done() and time.monotonic() < deadline:
        time.sleep(0.02)


_REMOVERS: dict[str, Callable[[str], None]] = {
    "process": _end_process,
    "mount": _unmount,
    "loop": _detach_loop,
    "cgroup": _remove_cgroup,
    "folder": _remove_folder,
    "bridges": _remove_bridges,
    "binfmt": binfmt.put_back,
    "emulator": binfmt.unregister,
}
