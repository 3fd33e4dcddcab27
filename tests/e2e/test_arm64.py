"""The machine with a real arm64 kernel: BuildKit builds on it without an emulator."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import arm64, debian
from lab.arm64_machine import Arm64Machine
from lab.host import IsolatedHost
from lab.machine import MOUNT_POINT, Machine
from lab.medium import Medium

_MEDIUM_BYTES = 256 << 20
_PORT = "8000"
_DOCKERFILE = """\
FROM scratch
COPY busybox /busybox
RUN ["/busybox", "uname", "-r", "-m"]
"""
_BUILD = f"""
cd {MOUNT_POINT}
./buildkitd --root /var/lib/buildkit >/var/log/buildkit.log 2>&1 &
until ./buildctl debug info >/dev/null 2>&1; do sleep 1; done
./buildctl build --progress plain --frontend dockerfile.v0 \
    --local context=app --local dockerfile=app --output type=oci,dest=/root/image.tar
kill $!
"""


@pytest.fixture(scope="module")
def neighbour() -> Iterator[IsolatedHost]:
    with IsolatedHost() as host:
        host.check_isolated()
        yield host


@pytest.fixture(scope="module")
def machine(neighbour: IsolatedHost, parts: Callable[..., Path]) -> Iterator[Arm64Machine]:
    """It stands beside a host, and in its drive are a BuildKit and something to build."""
    with Medium(_MEDIUM_BYTES) as medium:
        for name in ("buildkitd", "buildctl"):
            shutil.copy2(parts(name, "arm64"), medium.path)
        app = medium.path / "app"
        app.mkdir()
        shutil.copy2(debian.unpacked("busybox-static", arch="arm64") / "bin" / "busybox", app)
        (app / "Dockerfile").write_text(_DOCKERFILE)
        medium.seal()
        with Arm64Machine(neighbour) as machine:
            machine.attach(medium)
            yield machine


def test_buildkit_builds_on_the_arm64_kernel_itself(machine: Arm64Machine) -> None:
    said = machine.run(["sh", "-ec", _BUILD]).stderr
    assert f"{arm64.release()} aarch64" in said, said
    assert machine.run(["ls", "/proc/sys/fs/binfmt_misc"]).stdout == ""
    assert machine.run(["tar", "-tf", "/root/image.tar", "index.json"]).stdout


def test_the_machine_and_its_neighbour_reach_each_other_and_nothing_else(
    machine: Arm64Machine, neighbour: IsolatedHost
) -> None:
    _check_reaches(machine, neighbour, machine.neighbour_address)
    _check_reaches(neighbour, machine, machine.address)
    assert machine.run(["ip", "route", "show", "default"]).stdout == ""


def _check_reaches(client: Machine, server: Machine, address: str) -> None:
    """What listens at an address of one is found there by the other."""
    serve = f"cd /etc; exec timeout 60 python3 -m http.server -b {address} {_PORT}"
    server.run(["sh", "-c", f"({serve}) >/dev/null 2>&1 </dev/null &"])
    script = "import sys, urllib.request as ask; print(ask.urlopen(sys.argv[1]).read().decode())"
    fetch = ["python3", "-I", "-c", script, f"http://{address}:{_PORT}/hostname"]
    wait = ["sh", "-c", 'until "$@"; do sleep 0.5; done 2>/dev/null', "sh", *fetch]
    assert client.run(wait, timeout=60).stdout.strip() == server.name
