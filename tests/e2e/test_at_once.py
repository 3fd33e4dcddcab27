"""Two installs at once, builds while the host is changed, and a medium pulled out half-way."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from airgap.errors import ExitCode
from lab import full_run
from lab.host import IsolatedHost
from lab.machine import MOUNT_POINT
from lab.medium import Medium
from lab.newer_bundle import LABEL, make_renewed
from tests import forge
from tests.e2e.conftest import Carried, started, visit

STATE = "/var/lib/airgap"
INSTALL = [*full_run.TOOL, "install", full_run.ON_MEDIUM]
UNLIKE = """\
FROM alpine
RUN for second in $(seq 300); do wget -qO /mark http://127.0.0.1:8099/{mark} && break; sleep 1; done
RUN test $(cat /mark) = {mark}
"""


@pytest.fixture(scope="module")
def renewed(carried: Carried, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with another BuildKit and another registry."""
    folder = tmp_path_factory.mktemp("renewed") / "1"
    make_renewed(carried.key, folder, 1)
    return folder


@pytest.fixture(scope="module")
def host(carried: Carried) -> Iterator[IsolatedHost]:
    """With Docker, the medium and the checked tool; the tests below set it up step by step."""
    with IsolatedHost() as host:
        visit(host, carried)
        host.run([*full_run.TOOL, "trust", "add", "/root/site.pub"])
        host.path("/srv/gate").mkdir()
        gate = "python3 -m http.server --bind 127.0.0.1 --directory /srv/gate 8099"
        # What it says of each step that asks would fill a pipe that nobody reads.
        with started(host, ["sh", "-c", f"exec {gate} > /dev/null 2>&1"]):
            yield host


def _let_go(host: IsolatedHost, mark: str) -> None:
    """A build that waits for it continues."""
    host.path(f"/srv/gate/{mark}").write_text(mark)


def test_a_pulled_medium_is_told_and_the_same_command_continues(
    host: IsolatedHost, carried: Carried
) -> None:
    with ExitStack() as after, started(host, INSTALL) as install:
        _wait_until(lambda: any(_blobs(host)), install)
        host.run(["pkill", "-STOP", "-f", "[a]irgap.pyz"])
        after.enter_context(_pulled_out(host, carried.medium))  # put back once the install ended
        install.send_signal(signal.SIGCONT)  # nsenter(1), which stops and continues with it
        _, said = install.communicate(timeout=60)
        seen = len(list(_blobs(host)))
    assert install.returncode == ExitCode.HOST, said
    assert "The medium may be damaged, or was removed." in said
    assert "reinsert it and run the same command again" in said
    assert "Traceback" not in said
    assert not any(host.path(STATE).glob("mirror/**/_manifests/tags/*/current/link"))
    kept = {path: path.stat().st_mtime_ns for path in _blobs(host)}
    assert len(kept) == seen > 0
    host.run(INSTALL, timeout=600)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}  # none was read again
    host.run(["airgap", "status"])


def test_of_two_installs_at_once_the_first_continues(host: IsolatedHost) -> None:
    host.run(["airgap", "uninstall", "--purge"])
    with started(host, INSTALL) as first:
        lock = host.path(STATE) / "lock"
        _wait_until(lambda: lock.exists() and lock.read_text() != "", first)
        for command in (INSTALL, [*full_run.TOOL, "uninstall"]):
            second = host.run(command, check=False)
            assert second.returncode == ExitCode.HOST, second.stdout + second.stderr
            assert "this host is being changed by airgap install, process" in second.stderr
            assert "wait until it has ended" in second.stderr
        out, said = first.communicate(timeout=600)
    assert first.returncode == 0, out + said
    host.run(["airgap", "status"])


def test_a_build_continues_while_nothing_of_its_builder_changes(host: IsolatedHost) -> None:
    key = forge.new_key()
    forge.make_bundle(host.path("/srv/more"), key, images=[forge.indexed("docker.io/site/a:1")])
    host.path("/srv/more.pub").write_bytes(key.public.pem())
    with started(host, _build(host, "same")) as build:
        _wait_until(lambda: _builds(host) == 1, build)
        said = host.run(["airgap", "install", full_run.ON_MEDIUM]).stdout
        assert "nothing to change" in said
        said = host.run(["airgap", "install", "/srv/more", "--trust", "/srv/more.pub"]).stdout
        assert "ok    builder" in said
        assert build.poll() is None, build.communicate()
        _let_go(host, "same")
        _, said = build.communicate(timeout=120)
    assert build.returncode == 0, said


def test_a_build_ends_before_its_builder_is_replaced_and_the_cache_is_kept(
    host: IsolatedHost, renewed: Path
) -> None:
    shutil.copytree(renewed, host.path("/srv/renewed"))
    command = _build(host, "other")
    with started(host, command) as build:
        _wait_until(lambda: _builds(host) == 1, build)
        with started(host, ["airgap", "install", "/srv/renewed"]) as install:
            assert install.stderr is not None
            waits = next((line for line in install.stderr if "for 1 build to finish" in line), "")
            assert waits, "it should have waited for the build"
            assert build.poll() is None, build.communicate()
            _let_go(host, "other")
            _, said = build.communicate(timeout=120)
            assert build.returncode == 0, said
            _, said = install.communicate(timeout=600)
        assert install.returncode == 0, said
    label = f'{{{{index .Config.Labels "{LABEL}"}}}}'
    version = host.run(["docker", "inspect", "--format", label, "airgap-buildkitd"]).stdout
    assert version.strip() == "1"
    assert "CACHED" in host.run(command).stderr


def _build(host: IsolatedHost, mark: str) -> list[str]:
    folder = host.path(f"/root/{mark}")
    folder.mkdir()
    (folder / "Dockerfile").write_text(UNLIKE.format(mark=mark))
    options = ["--progress", "plain", "--platform", "linux/amd64,linux/arm64"]
    name = f"127.0.0.1:5000/demo/{mark}"
    return ["docker", "buildx", "build", *options, "-t", name, "--push", f"/root/{mark}"]


def _builds(host: IsolatedHost) -> int:
    """How many builds the builder says that it has begun and not ended."""
    command = ["docker", "exec", "airgap-buildkitd", "buildctl", "debug", "histories"]
    lines = host.run(command, check=False).stdout.splitlines()
    return sum(line.startswith("STARTED") for line in lines)


def _blobs(host: IsolatedHost) -> Iterator[Path]:
    return host.path(STATE).glob("mirror/docker/registry/v2/blobs/sha256/*/*/data")


@contextmanager
def _pulled_out(host: IsolatedHost, medium: Medium) -> Iterator[None]:
    """Without the medium, which all other tests find as it was."""
    medium.pull_out()
    try:
        yield
    finally:
        try:
            host.run(["umount", "--lazy", MOUNT_POINT], check=False)  # whoever still has it open
        finally:
            medium.put_back()
        host.attach(medium)


def _wait_until(so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
