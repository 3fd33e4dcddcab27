"""`airgap install`, killed again and again, until the host is set up all the same."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from lab import full_run
from lab.host import IsolatedHost

SEED = ("--only", "tool,seed")
"""Options of an install that fills the mirror and nothing more; a whole one has none."""

_MIRROR = "/var/lib/airgap/mirror"
_FOLDERS = ("/var/lib/airgap", "/usr/local", "/usr/libexec", "/etc/docker")
"""Where installs write to."""
_PATIENCE = 600.0


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What an install comes to that nobody kills.

    Attributes:
        seconds: How long it takes.
        mirror: The files of the mirror's storage, with their hashes.
    """

    seconds: float
    mirror: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InstallKills:
    """What a chain of kills came to.

    Attributes:
        seed: Chose the moments.
        options: Of the installs that were killed.
        kills: How often one was killed before it had ended.
        installs: How many were complete in the end.
        seconds: How long all of it took.
    """

    seed: int
    options: Sequence[str]
    kills: int
    installs: int
    seconds: float


def undisturbed_install(host: IsolatedHost, options: Sequence[str]) -> Undisturbed:
    """Installs, looks, and takes it back.

    Args:
        host: With Docker, the medium and the checked tool; nothing is installed.
        options: Of the install.
    """
    host.run([*full_run.TOOL, "trust", "add", "/root/site.pub"])
    begun = time.monotonic()
    _install(host, options)
    seconds = time.monotonic() - begun
    found = Undisturbed(seconds, _mirror_files(host))
    _uninstall(host)
    return found


def install_kills(
    seed: int, kills: int, options: Sequence[str], host: IsolatedHost, undisturbed: Undisturbed
) -> InstallKills:
    """Installs until so many runs were killed; every time the host is set up in the end.

    Args:
        seed: Of the moments.
        kills: How many.
        options: Of the installs.
        host: As `undisturbed_install` leaves it; and so it is left.
        undisturbed: From an install with these options.

    Raises:
        AssertionError: The host is not as it must be.
    """
    begun, chance = time.monotonic(), Random(f"install kills {seed}")
    made, installs = 0, 0
    while made < kills:
        made += _one_install(host, options, kills - made, undisturbed, chance)
        installs += 1
    return InstallKills(seed, options, made, installs, round(time.monotonic() - begun, 2))


def _one_install(
    host: IsolatedHost,
    options: Sequence[str],
    most: int,
    undisturbed: Undisturbed,
    chance: Random,
) -> int:
    """Sets the host up and takes it back; returns the number of kills on the way."""
    kills = 0
    try:
        while kills < most and _is_killed(
            host, options, undisturbed.seconds * chance.random() ** 2
        ):
            kills += 1
            _assert_no_tag_without_its_blobs(host)
        _install(host, options)
        if not options:
            host.run(["airgap", "status"])
        _assert_same_files(_mirror_files(host), undisturbed.mirror)
        _assert_nothing_hidden(host)
    finally:
        _uninstall(host)
    return kills


def _assert_same_files(found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    assert not differing, f"missing or other than undisturbed: {differing}"
    left = sorted(set(found) - set(wanted))
    assert not left, f"left by a killed run: {left}"


def _assert_nothing_hidden(host: IsolatedHost) -> None:
    """Unfinished files have hidden names; in the end there are none."""
    hidden = [path for folder in _FOLDERS for path in host.path(folder).rglob(".*")]
    assert not hidden, f"left by a killed run: {[path.name for path in hidden]}"


def _is_killed(host: IsolatedHost, options: Sequence[str], seconds: float) -> bool:
    """Starts an install and kills it after so many seconds; False if it was quicker."""
    announced = ["sh", "-c", 'echo begun; exec "$@"', "sh", *_command(options)]
    with subprocess.Popen(
        host.command(announced), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        inside = os.pidfd_open(_only_child(process.pid))
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            signal.pidfd_send_signal(inside, signal.SIGKILL)
        finally:
            os.close(inside)
        _, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode != 0


def _only_child(pid: int) -> int:
    """The install itself: the started process is one that only enters the host."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def _command(options: Sequence[str]) -> list[str]:
    return [*full_run.TOOL, "install", full_run.ON_MEDIUM, *options]


def _install(host: IsolatedHost, options: Sequence[str]) -> None:
    host.run(_command(options), timeout=_PATIENCE)


def _uninstall(host: IsolatedHost) -> None:
    host.run([*full_run.TOOL, "uninstall", "--purge"])


def _mirror_files(host: IsolatedHost) -> dict[str, str]:
    """Every file of the mirror's storage, also those that a kill may have left, with its hash."""
    root = host.path(_MIRROR)
    return {
        path.relative_to(root).as_posix(): _hash(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _assert_no_tag_without_its_blobs(host: IsolatedHost) -> None:
    storage = host.path(_MIRROR) / "docker" / "registry" / "v2"
    for link in storage.glob("repositories/**/_manifests/tags/*/current/link"):
        value = link.read_text().removeprefix("sha256:")
        assert (storage / "blobs" / "sha256" / value[:2] / value / "data").exists(), link
