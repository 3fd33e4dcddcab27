"""A server and a machine with a real arm64 kernel, where nothing but BuildKit runs: one build."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import arm64, full_run
from lab.arm64_machine import Arm64Machine
from lab.host import IsolatedHost
from lab.machine import MOUNT_POINT
from lab.medium import Medium
from tests.e2e.conftest import Carried, visit
from tests.readme import blocks

_MEDIUM_BYTES = 256 << 20
_ACCOUNT = ("ci", "correct horse")
_CONFIG = "/etc/buildkit"
_DOCKERFILE = """\
FROM alpine
RUN uname -r -m > /kernel
CMD ["cat", "/kernel"]
"""


@pytest.fixture(scope="module")
def host(carried: Carried) -> Iterator[IsolatedHost]:
    with IsolatedHost() as host:
        host.check_isolated()
        visit(host, carried)
        yield host


@pytest.fixture(scope="module")
def machine(host: IsolatedHost, parts: Callable[..., Path]) -> Iterator[Arm64Machine]:
    """In its drive is a BuildKit."""
    with Medium(_MEDIUM_BYTES) as medium:
        for name in ("buildkitd", "buildctl"):
            shutil.copy2(parts(name, "arm64"), medium.path)
        medium.seal()
        with Arm64Machine(host) as machine:
            machine.attach(medium)
            yield machine


@contextmanager
def _buildkit(machine: Arm64Machine) -> Iterator[None]:
    """What the README has people give on such a node."""
    (script,) = (block.text for block in blocks() if block.place == "node")
    script = script.replace("192.0.2.20", machine.address)
    script = f"PATH={MOUNT_POINT}:$PATH\n{script.replace('buildkitd --', 'exec buildkitd --')}"
    with subprocess.Popen(machine.command(["sh", "-euc", script])) as process:
        try:
            yield
        finally:
            machine.run(["pkill", "buildkitd"], check=False)
            process.wait(timeout=60)


def _carry(host: IsolatedHost, machine: Arm64Machine) -> None:
    """The folder that `airgap mirrors` wrote, and the node's file."""
    folder = host.path("/root/node") / _CONFIG.lstrip("/")
    for path in folder.rglob("*"):
        place = f"{_CONFIG}/{path.relative_to(folder)}"
        if path.is_file():
            machine.run(["mkdir", "-p", str(Path(place).parent)])
            machine.write(place, path.read_bytes())
    machine.write(f"{_CONFIG}/arm.node", host.path("/root/arm.node").read_bytes())


def test_one_build_runs_on_two_kernels_and_pushes_one_index(
    host: IsolatedHost, machine: Arm64Machine
) -> None:
    server = machine.neighbour_address
    user, password = _ACCOUNT
    full_run.install(host, "--listen", server)
    host.run(["airgap", "account", "add", user, "--password-stdin"], input=password)
    for port in (5000, 5001):
        login = ["docker", "login", f"{server}:{port}", "--username", user, "--password-stdin"]
        host.run(login, input=password)
    add = ["airgap", "node", "add", "arm", f"tcp://{machine.address}:1234"]
    host.run([*add, "--output", "/root/arm.node"])
    host.run(["airgap", "mirrors", "--for", "buildkit", "--elsewhere", "--output", "/root/node"])
    _carry(host, machine)
    host.path("/root/app").mkdir()
    host.path("/root/app/Dockerfile").write_text(_DOCKERFILE)
    app = f"{server}:5000/site/app"
    with _buildkit(machine):
        wait = "until airgap node list | grep running; do sleep 1; done"
        host.run(["timeout", "90", "sh", "-c", wait])
        build = ["docker", "buildx", "build", "--platform", "linux/amd64,linux/arm64"]
        host.run([*build, "-t", app, "--push", "/root/app"])
    inspect = ["docker", "buildx", "imagetools", "inspect", "--raw", app]
    index = json.loads(host.run(inspect).stdout)
    platforms = {one["platform"]["architecture"] for one in index["manifests"]}
    assert {"amd64", "arm64"} <= platforms
    assert _kernel(host, app, "arm64") == f"{arm64.release()} aarch64"
    own = host.run(["uname", "-r"]).stdout.strip()
    assert _kernel(host, app, "amd64") == f"{own} x86_64"
    assert own != arm64.release()


def _kernel(host: IsolatedHost, image: str, architecture: str) -> str:
    """What the image's RUN step saw."""
    run = ["docker", "run", "--rm", "--pull", "always", "--platform", f"linux/{architecture}"]
    return host.run([*run, image]).stdout.strip()
