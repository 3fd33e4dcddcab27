"""Folders with spaces and letters of other languages, and state on a disk of its own."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

import pytest

from airgap.errors import ExitCode
from lab import full_run, snapshot
from lab.host import IsolatedHost
from lab.medium import Medium
from tests import forge
from tests.contract import parse_json
from tests.e2e.conftest import Carried

DISK = "/srv/air gap"
ROOT = f"{DISK}/größe"
STICK = "/media/usb stick/Bündel \N{EN DASH} 1"
BUNDLE = f"{STICK}/bundle"
FOLDER = "/root/Größen und Maße"
CONTEXT = f"{FOLDER}/my app"
LINK = "/root/app"
"""buildx cannot send a context whose own name is not ASCII to a builder in a container."""

APP = "127.0.0.1:5000/demo/app"
AT_ROOT = ["--root", ROOT]
DISK_BYTES = 4 << 30


@pytest.fixture(scope="module")
def host(carried: Carried) -> Iterator[IsolatedHost]:
    """With Docker and the medium at a place with such a name; the tool was checked there."""
    with IsolatedHost() as host:
        host.check_isolated()
        host.start_docker()
        host.attach(carried.medium, STICK)
        full_run.check_by_hand(host, carried.public_key, BUNDLE)
        host.run(["mkdir", "-p", DISK])
        yield host


def test_a_full_disk_is_said_before_anything_is_changed(host: IsolatedHost) -> None:
    folders = ("/etc", "/usr", "/root", "/home", "/srv", "/opt")
    host.run(["mount", "-t", "tmpfs", "-o", "size=50m,mode=755", "tmpfs", DISK])
    try:
        before = snapshot.files(host, *folders), snapshot.docker(host)
        trust = ["--trust", "/root/site.pub"]
        done = host.run([*full_run.TOOL, *AT_ROOT, "install", BUNDLE, *trust], check=False)
        assert done.returncode == ExitCode.SPACE
        assert f"{ROOT} has" in done.stderr
        assert "Nothing was changed" in done.stderr
        changed = {line.rsplit(" ", 2)[0] for line in snapshot.files(host, *folders) ^ before[0]}
        own = ROOT.lstrip("/")  # where the program unpacks its own parts
        ours = {own, f"{own}/lock", f"{own}/tool", f"{own}/airgap.log"}
        assert {name for name in changed if not name.startswith(f"{own}/tool/")} <= ours
        assert snapshot.docker(host) == before[1]
    finally:
        host.run(["umount", DISK])


def test_the_whole_way_on_another_disk_with_such_names(
    host: IsolatedHost, medium: Callable[[int], Medium]
) -> None:
    disk = medium(DISK_BYTES)
    host.run(["mount", disk.device, DISK])
    try:
        _set_up(host)
        _build(host)
        _back_and_prune(host)
        _without_the_option(host)
        _without_the_disk(host, disk)
        _uninstall(host)
    finally:
        host.run(["umount", DISK], check=False)


def _set_up(host: IsolatedHost) -> None:
    host.run([*full_run.TOOL, *AT_ROOT, "verify", BUNDLE, "--trust", "/root/site.pub"])
    assert "arm64-builder" in host.run([*full_run.TOOL, *AT_ROOT, "inspect", BUNDLE]).stdout
    host.run([*full_run.TOOL, *AT_ROOT, "trust", "add", "/root/site.pub"])
    host.run([*full_run.TOOL, *AT_ROOT, "install", BUNDLE], timeout=600)
    host.run(["airgap", *AT_ROOT, "install", BUNDLE])
    for verb in ("status", "doctor", "log"):
        host.run(["airgap", *AT_ROOT, verb])
    host.run(["airgap", "status"], env={"AIRGAP_ROOT": ROOT})
    assert host.path(f"{ROOT}/mirror").stat().st_dev != host.path("/srv").stat().st_dev
    assert list(host.path("/var/lib/airgap").iterdir()) == []


def _build(host: IsolatedHost) -> None:
    context = host.path(CONTEXT)
    host.run(["ln", "-s", FOLDER, LINK])
    (context / "für alle").mkdir(parents=True)
    (context / "für alle" / "Datei ä").write_text("ja")
    (context / "Docker datei").write_text(
        'FROM alpine\nCOPY ["für alle/Datei ä", "/ä"]\nRUN test "$(cat /ä)" = ja && uname -m\n'
    )
    options = ["--platform", "linux/amd64,linux/arm64", "-t", APP, "--push"]
    file = ["-f", f"{CONTEXT}/Docker datei", CONTEXT]
    host.run(["airgap", *AT_ROOT, "build", *options, *file], timeout=120)
    host.run(["docker", "buildx", "build", *options, *file], timeout=120)
    (context.parent / "Dockerfile").write_text("FROM alpine\nCOPY . /ä\nRUN test -d '/ä/my app'\n")
    host.run(["airgap", *AT_ROOT, "build", LINK], timeout=120)
    output = "/root/für andere"
    host.run(["airgap", *AT_ROOT, "mirrors", "--for", "podman", "--output", output])
    assert any(path.is_file() for path in host.path(output).rglob("*"))
    said = host.run(["airgap", *AT_ROOT, "env"]).stdout
    plain = ["docker", "build", "-f", f"{CONTEXT}/Docker datei", CONTEXT]
    host.run(["sh", "-c", f"{said}\n{shlex.join(plain)}"])


def _back_and_prune(host: IsolatedHost) -> None:
    key = forge.new_key()
    image, recording = forge.indexed("docker.io/site/a:1"), forge.recorded()
    forge.make_bundle(host.path("/srv/mehr ü"), key, images=[image], recordings=[recording])
    host.path("/srv/schlüssel 1.pub").write_bytes(key.public.pem())
    more = ["airgap", *AT_ROOT, "install", "/srv/mehr ü", "--trust", "/srv/schlüssel 1.pub"]
    host.run(more)
    host.run(["airgap", *AT_ROOT, "rollback"])
    freed = parse_json("prune", host.run(["airgap", *AT_ROOT, "prune", "--json"]).stdout)
    assert freed["bytes"] > 0
    host.run(["airgap", *AT_ROOT, "status", "--deep"])


def _without_the_option(host: IsolatedHost) -> None:
    for verb in (["status"], ["doctor"], ["build", LINK], ["enable"], ["rollback"]):
        done = host.run(["airgap", *verb], check=False)
        assert done.returncode == ExitCode.HOST, verb
        assert f"--root '{ROOT}'" in done.stderr, (verb, done.stderr)
    done = host.run(["airgap", "prune"], check=False)
    assert done.returncode == ExitCode.HOST
    assert "what is installed here (/var/lib/airgap)" in done.stderr
    done = host.run(["airgap", "install", BUNDLE], check=False)
    assert done.returncode == ExitCode.HOST
    assert f"--root '{ROOT}'" in done.stderr, done.stderr
    assert list(host.path("/var/lib/airgap").glob("mirror")) == []


def _without_the_disk(host: IsolatedHost, disk: Medium) -> None:
    host.run(["umount", "--lazy", DISK])
    done = host.run(["airgap", *AT_ROOT, "status"], check=False)
    host.run(["mount", disk.device, DISK])
    assert done.returncode == ExitCode.HOST
    assert "is the disk of that folder mounted?" in done.stderr
    host.run(["airgap", *AT_ROOT, "doctor", "--fix"])


def _uninstall(host: IsolatedHost) -> None:
    host.run(["airgap", *AT_ROOT, "uninstall", "--purge", "--purge-pushed", "--yes"])
    assert not host.path(ROOT).exists()
    assert snapshot.docker(host)["containers"] == []
    assert snapshot.emulators(host) == []
