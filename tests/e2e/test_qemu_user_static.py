"""qemu-user-static by hand, in either of Docker's image stores, and what becomes of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airgap.errors import ExitCode
from lab import binfmt, full_run
from lab.host import IsolatedHost
from tests.e2e.conftest import Carried, visit

REGISTER = ["docker", "run", "--rm", "--privileged"]
BY_HAND = ["qemu-aarch64", "qemu-arm"]
DOCKERFILE = """\
FROM multiarch/qemu-user-static:x86_64-aarch64 AS qemu
FROM arm64v8/alpine
COPY --from=qemu /usr/bin/qemu-aarch64-static /usr/bin
RUN uname -m > /machine
CMD ["cat", "/machine"]
"""


@pytest.fixture(scope="module", params=["containerd", "classic"])
def host(carried: Carried, request: pytest.FixtureRequest) -> Iterator[IsolatedHost]:
    """A host that was set up; all hosts share one table, so what is in it at the end goes."""
    with IsolatedHost(image_store=request.param) as host:
        host.check_isolated()
        visit(host, carried)
        full_run.install(host)
        host.path("/root/legacy").mkdir()
        host.path("/root/legacy/Dockerfile").write_text(DOCKERFILE)
        host.path("/root/Dockerfile").write_text("FROM alpine\nRUN uname -m\n")
        yield host
        for name in BY_HAND:
            binfmt.unregister(name)


def _emulator(host: IsolatedHost) -> str:
    """What `status` says of the emulators, which are not well."""
    status = host.run(["airgap", "status"], check=False)
    assert status.returncode == ExitCode.HOST
    assert "checks failed: emulator\n" in status.stderr
    (line,) = (line for line in status.stdout.splitlines() if line.split()[2:3] == ["emulator"])
    return line


def _build(host: IsolatedHost) -> str:
    """Builds on an arm64 base without qemu in it, and says what buildx says."""
    command = ["docker", "buildx", "build", "--progress", "plain", "--no-cache"]
    output = ["--platform", "linux/arm64", "--output", "type=cacheonly", "-f", "/root/Dockerfile"]
    return host.run([*command, *output, "/root/legacy"], check=False).stderr


def test_what_reset_registers_builds_by_hand_and_install_fixes_the_rest(
    host: IsolatedHost,
) -> None:
    images = ["register", "x86_64-aarch64", "latest"]
    names = [f"multiarch/qemu-user-static:{tag}" for tag in images]
    host.run(["airgap", "load", "arm64v8/alpine", *names])
    host.run([*REGISTER, names[0], "--reset"])
    said = _emulator(host)
    assert "linux/arm64: programs do not run; registered by others: qemu-aarch64 (" in said
    assert "exec /bin/sh: no such file or directory" in _build(host)

    for environment in ({}, {"DOCKER_BUILDKIT": "0"}):
        build = ["docker", "build", "--no-cache", "-t", "legacy", "/root/legacy"]
        host.run(build, env=environment)
        assert host.run(["docker", "run", "--rm", "legacy"]).stdout == "aarch64\n"

    assert "done  emulator" in host.run(["airgap", "install", full_run.ON_MEDIUM]).stdout
    assert " aarch64\n" in _build(host)
    host.run(["airgap", "status"])
    assert host.run(["docker", "run", "--rm", "legacy"]).stdout == "aarch64\n"

    host.run([*REGISTER, names[2], "--reset", "-p", "yes"])  # argv[0] is lost
    assert "qemu-aarch64 (/usr/bin/qemu-aarch64-static, flags F)" in _emulator(host)
    host.run(["airgap", "install", full_run.ON_MEDIUM])
    host.run(["airgap", "status"])


def test_images_are_loaded_for_the_platform_of_choice(host: IsolatedHost) -> None:
    def machine(*options: str) -> str:
        return host.run(["docker", "run", "--rm", *options, "alpine", "uname", "-m"]).stdout

    said = host.run(["airgap", "load", "--platform", "linux/arm64", "alpine", "busybox"]).stdout
    assert "Docker has alpine:latest for linux/arm64\n" in said
    assert machine("--platform", "linux/arm64") == "aarch64\n"
    if host.image_store == "classic":
        assert machine() == "aarch64\n"
    host.run(["airgap", "load", "alpine"])
    assert machine() == "x86_64\n"
    done = host.run(["airgap", "load", "--platform", "linux/riscv64", "alpine"], check=False)
    assert done.returncode == ExitCode.NOT_FOUND
    assert "no installed bundle has alpine:latest for linux/riscv64" in done.stderr
    assert "It is here for linux/amd64, linux/arm64." in done.stderr
