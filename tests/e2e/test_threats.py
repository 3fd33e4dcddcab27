"""What others than root can do to a host that was set up carelessly, and steps of builds to it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab import full_run
from lab.host import IsolatedHost
from tests.e2e.conftest import Carried, visit
from tests.e2e.test_build import BUILDX, write_context

ADDRESS = "198.51.100.2"
PLACES = ("etc", "home", "opt", "root", "run", "srv", "tmp", "usr", "var/cache", "var/lib/airgap")
"""Where airgap may write."""

OF_DOCKER = {"run/containerd", "run/docker", "run/docker.sock"}

DOCKER_GROUP = 999
_PRIVATE = (b"BEGIN PRIVATE KEY", b"BEGIN ENCRYPTED PRIVATE KEY", b":$2b$", b":$2y$")
"""What private keys have in common, and the hashes of passwords."""


@pytest.fixture(scope="module")
def before() -> dict[str, float]:
    """What was there before the install."""
    return {}


@pytest.fixture(scope="module")
def host(carried: Carried, before: dict[str, float]) -> Iterator[IsolatedHost]:
    """Set up with a umask that lets everybody write, with all that has keys and passwords."""
    with IsolatedHost("blackhole") as host:
        visit(host, carried)
        before |= {str(path): status.st_ctime for path, status in _found(host)}
        _lax(host, *full_run.TOOL, "trust", "add", "/root/site.pub")
        _lax(host, *full_run.TOOL, "install", full_run.ON_MEDIUM, "--listen", ADDRESS)
        _lax(host, "airgap", "account", "add", "ci", "--generate")
        _lax(host, "airgap", "node", "add", "arm", "tcp://192.0.2.20:1234", "-o", "/root/arm.node")
        _lax(host, "airgap", "mirrors", "--for", "podman", "--output", "/")
        _lax(host, "airgap", "enable", user="alice")
        yield host


def _lax(host: IsolatedHost, *argv: str, user: str = "root") -> None:
    host.run(["sh", "-c", 'umask 000 && exec "$@"', "sh", *argv], user=user, timeout=600)


def _paths(host: IsolatedHost) -> Iterator[Path]:
    docker = {str(host.path(name)) for name in OF_DOCKER}
    for place in PLACES:
        root = host.path(place)
        yield root
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if f"{folder}/{name}" not in docker]
            ours = (f"{folder}/{name}" for name in (*folders, *files))
            yield from (Path(path) for path in ours if path not in docker)


def _found(host: IsolatedHost) -> Iterator[tuple[Path, os.stat_result]]:
    for path in _paths(host):
        with suppress(FileNotFoundError):  # removed meanwhile, as sockets are
            yield path, path.lstat()


def _made(host: IsolatedHost, before: dict[str, float]) -> list[tuple[Path, os.stat_result]]:
    """What is there since, or was changed, but links, which have no rights of their own."""
    return [
        (path, status)
        for path, status in _found(host)
        if before.get(str(path)) != status.st_ctime and not stat.S_ISLNK(status.st_mode)
    ]


def test_nobody_else_can_write_to_what_airgap_makes(
    host: IsolatedHost, before: dict[str, float]
) -> None:
    made = _made(host, before)
    assert len(made) > 100
    others = stat.S_IWOTH | stat.S_IWGRP
    writable = [
        f"{path} {status.st_mode:o}"
        for path, status in made
        if status.st_mode & others and not status.st_mode & stat.S_ISVTX
    ]
    assert writable == []


def test_private_files_are_their_owners_alone(host: IsolatedHost, before: dict[str, float]) -> None:
    private = {
        str(path.relative_to(host.path("/"))): (stat.S_IMODE(status.st_mode), status.st_gid)
        for path, status in _made(host, before)
        if stat.S_ISREG(status.st_mode) and any(mark in _begin(path) for mark in _PRIVATE)
    }
    state = "var/lib/airgap"
    assert private == {
        "root/arm.node": (0o600, 0),
        f"{state}/authority/ca.key": (0o600, 0),
        # Who may use Docker builds on the node, and is as good as root here.
        f"{state}/nodes/arm/client.key": (0o640, DOCKER_GROUP),
        f"{state}/secrets/htpasswd": (0o600, 0),
        f"{state}/secrets/tls.key": (0o600, 0),
    }


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1 << 16)


def test_a_stranger_cannot_change_keys_state_or_programs(host: IsolatedHost) -> None:
    for target in (
        "/etc/airgap/trust/mine.pub",
        "/etc/airgap/mine",
        "/var/lib/airgap/mine",
        "/var/lib/airgap/receipts/000001.json",
        "/var/lib/airgap/mirror/mine",
        "/var/lib/airgap/pushed/mine",
        "/usr/local/bin/airgap",
        "/usr/local/lib/airgap/current/airgap.pyz",
        "/usr/libexec/airgap/mine",
    ):
        write = ["sh", "-c", 'echo mine >> "$1"', "sh", target]
        # `alice` without the group `docker`, whose members can do what root can.
        plain = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", *write]
        done = host.run(plain, check=False)
        assert "Permission denied" in done.stderr, target


def test_a_stranger_cannot_read_recordings_or_hold_a_lock(host: IsolatedHost) -> None:
    host.run(["mkdir", "-p", "/var/lib/airgap/replay"])
    host.run(["airgap", "doctor", "--fix"], check=False)
    locks = ["lock", "tool/lock"]
    attempts = {f"/var/lib/airgap/{name}": ["flock", "--nonblock"] for name in locks}
    attempts["/var/lib/airgap/replay"] = ["ls"]
    for path, command in attempts.items():
        assert host.path(path).exists(), path
        run = [*command, path, "true"] if command[0] == "flock" else [*command, path]
        plain = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", *run]
        done = host.run(plain, check=False)
        assert "Permission denied" in done.stderr, path


@pytest.mark.parametrize("builder", ["airgap", "airgap-replay"])
def test_a_run_step_does_not_get_at_the_disk_of_the_mirror(
    host: IsolatedHost, builder: str
) -> None:
    device = host.path("/var/lib/airgap").stat().st_dev
    assert os.major(device), "no disk of its own: there would be nothing to get at"
    numbers = f"{os.major(device)} {os.minor(device)}"
    attempts = (
        f"mknod /disk b {numbers} && dd if=/disk of=/dev/null count=1",
        "mount -t proc proc /mnt",
        "mount --bind / /mnt",
        "ls /var/lib/airgap",
        "ls /run/buildkit/buildkitd.sock",
        "ls /var/run/docker.sock",
        "grep -q /var/lib/airgap /proc/self/mountinfo",
        "kill -0 2",
        "echo 1 > /proc/sys/kernel/panic",
    )
    lines = "".join(f"if {attempt}; then echo DID {attempt}; fi\n" for attempt in attempts)
    # One stream for both: otherwise a line of one may begin within a line of the other.
    text = f"FROM alpine\nRUN <<TRY\nexec 2>&1\n{lines}\necho ended\nTRY\n"
    options = ["--no-cache", "--builder", builder, "--output", "type=cacheonly"]
    done = host.run([*BUILDX, *options, write_context(host, text)])
    assert re.search(r"^#\d+ [\d.]+ ended", done.stderr, re.M), done.stderr
    assert not re.search(r"^#\d+ [\d.]+ DID", done.stderr, re.M), done.stderr


@pytest.mark.parametrize("builder", ["airgap", "airgap-replay"])
def test_no_build_is_given_the_rights_of_the_host(host: IsolatedHost, builder: str) -> None:
    context = write_context(host, "FROM alpine\nRUN --security=insecure true\n")
    right = ["--allow", "security.insecure"]
    options = ["--builder", builder, *right, "--output", "type=cacheonly"]
    done = host.run([*BUILDX, *options, context], check=False)
    assert done.returncode != 0
    assert "security.insecure is not allowed" in done.stderr


@pytest.mark.parametrize("name", ["airgap-mirror", "airgap-registry", "airgap-registry-tls"])
def test_registries_have_no_capability(host: IsolatedHost, name: str) -> None:
    pid = host.run(["docker", "inspect", "--format", "{{.State.Pid}}", name]).stdout.strip()
    states = host.run(["cat", f"/proc/{pid}/status"]).stdout
    found = dict(re.findall(r"^(Cap(?:Prm|Eff|Bnd)):\s*(\w+)$", states, re.MULTILINE))
    assert found == dict.fromkeys(["CapPrm", "CapEff", "CapBnd"], "0" * 16)
