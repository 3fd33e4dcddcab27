"""The workstation is what recording and rehearsing find in the field, and gone afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.builder.engine import ContainerSpec, Engine
from airgap.builder.ephemeral_builder import BuilderInputs, _register_emulators
from airgap.errors import HostError
from airgap.oci.platform import Platform
from airgap.store.store import Store
from lab.cache import cache_root
from lab.cleanup import sweep
from lab.run import run
from lab.upstream import Upstream
from lab.workstation import Workstation

_ROOT = Path(__file__).parents[2]
_BOTH = "--platform=linux/amd64,linux/arm64"
_HOST_NETWORK = ["--network", "host"]


@pytest.fixture(scope="module")
def workstation() -> Iterator[Workstation]:
    with Workstation() as station:
        yield station


def pulled(station: Workstation, upstream: Upstream, name: str) -> str:
    """Pulls an image of Docker Hub from the upstream, and returns the name it has then."""
    image = f"{upstream.address}/docker.io/{name}"
    station.run(["docker", "pull", "--quiet", image])
    return image


def test_it_has_docker_buildx_and_airgap(workstation: Workstation) -> None:
    version = ["docker", "version", "--format", "{{.Server.Version}}"]
    assert workstation.run(version).stdout.startswith("29.")
    assert "buildx" in workstation.run(["docker", "buildx", "version"]).stdout
    assert workstation.run(["airgap", "--version"]).stdout.startswith("airgap")


def test_containers_see_any_folder_of_the_machine_and_its_network(
    workstation: Workstation, upstream: Upstream, tmp_path: Path
) -> None:
    alpine = pulled(workstation, upstream, "library/alpine")
    (tmp_path / "note").write_text("of the machine")
    container = ["docker", "run", "--rm", *_HOST_NETWORK, "--volume", f"{tmp_path}:/mnt", alpine]
    assert workstation.run([*container, "cat", "/mnt/note"]).stdout == "of the machine"
    asked = [*container, "wget", "-qO-", f"{upstream.url}/v2/"]
    assert workstation.run(asked).stdout == "{}"


def test_volumes_of_images_that_run_never_stay_behind(
    workstation: Workstation, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpine = pulled(workstation, upstream, "library/alpine")
    docker = workstation.run
    docker(["docker", "create", "--name", "made", alpine])
    docker(["docker", "commit", "--change", 'VOLUME ["/tmp", "/data"]', "made", "volumes:1"])
    docker(["docker", "rm", "made"])
    for variable in ("DOCKER_HOST", "DOCKER_CONFIG"):
        monkeypatch.setenv(variable, workstation.environment[variable])
    engine = Engine(Path("test"))
    before = docker(["docker", "volume", "ls", "-q"]).stdout
    assert engine.read_file("volumes:1", ["/none"], 100) is None
    with pytest.raises(HostError, match="is not a regular file"):
        engine.read_file("volumes:1", ["/etc"], 1 << 20)
    said = engine.run_once("once", "volumes:1", ["sh", "-c", "echo said; echo more >&2"])
    assert sorted(said.splitlines()) == ["more", "said"]
    for argv in (["sh", "-c", "echo why; exit 3"], ["/no/such/program"]):
        with pytest.raises(HostError, match=r"why|no such file"):
            engine.run_once("once", "volumes:1", argv)
    lasting = ContainerSpec(
        "lasting", "volumes:1", command=["sleep", "99"], host_network=True, temporary=True
    )
    engine.run(lasting)
    engine.run(lasting)
    engine.remove_container("lasting")
    with pytest.raises(HostError, match="nowhere not found"):
        engine.run(replace(lasting, host_network=False, network="nowhere"))
    assert docker(["docker", "volume", "ls", "-q"]).stdout == before
    assert docker(["docker", "ps", "-aq"]).stdout == ""


def test_an_emulator_that_was_not_registered_is_an_error_though_its_program_ends_well(
    workstation: Workstation,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """As that of tonistiigi/binfmt does, whatever happened."""
    alpine = pulled(workstation, upstream, "library/alpine")
    entrypoint = ["--change", 'ENTRYPOINT ["echo", "error: installing"]']
    workstation.run(["docker", "create", "--name", "made", alpine])
    workstation.run(["docker", "commit", *entrypoint, "made", "emulator:1"])
    workstation.run(["docker", "rm", "made"])
    monkeypatch.setenv("DOCKER_HOST", workstation.environment["DOCKER_HOST"])
    amd64, arm64 = (Platform("linux", name) for name in ("amd64", "arm64"))
    platforms = [amd64, arm64, Platform("linux", "386")]
    material = BuilderInputs(Store(tmp_path), {}, amd64, platforms, tmp_path)
    with ExitStack() as stack, pytest.raises(HostError, match="did not register arm64: error"):
        _register_emulators(Engine(Path("test")), "emulator:1", material, stack)


def test_an_internal_network_reaches_the_machine_and_nothing_else(
    workstation: Workstation, upstream: Upstream
) -> None:
    alpine = pulled(workstation, upstream, "library/alpine")
    rules = run(["iptables-save"])
    workstation.run(["docker", "network", "create", "--internal", "inside"])
    gateway = ["docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}"]
    address = workstation.run([*gateway, "inside"]).stdout.strip()
    served = ["python3", "-m", "http.server", "--bind", address, "0"]
    with subprocess.Popen(
        [sys.executable, "-u", *served[1:]],
        cwd=workstation.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            port = re.findall(r"port (\d+)", server.stdout.readline())[0]
            container = ["docker", "run", "--rm", "--network", "inside", alpine]
            workstation.run([*container, "wget", "-qO-", f"http://{address}:{port}/"])
        finally:
            server.terminate()
    routes = workstation.run([*container, "ip", "route"]).stdout
    assert "default" not in routes
    refused = workstation.run([*container, "wget", "-qO-", "http://192.0.2.1/"], check=False)
    assert "Network is unreachable" in refused.stderr
    assert run(["iptables-save"]) == rules


def test_buildkit_in_a_privileged_container_builds_for_both_platforms(
    workstation: Workstation, upstream: Upstream
) -> None:
    binfmt = pulled(workstation, upstream, "tonistiigi/binfmt")
    emulators = ["docker", "run", "--rm", "--privileged", binfmt]
    done = workstation.run([*emulators, "--install", "arm64,nosuch"])  # ends with status 0
    assert "installing: arm64 OK\ninstalling: nosuch unsupported architecture" in done.stderr
    assert "qemu-aarch64" in json.loads(done.stdout)["emulators"]
    buildkit = pulled(workstation, upstream, "moby/buildkit:buildx-stable-1")
    create = ["docker", "buildx", "create", "--name", "lab", "--bootstrap"]
    options = ["--driver-opt", f"image={buildkit},network=host"]
    workstation.run([*create, "--driver", "docker-container", *options])
    alpine = f"{upstream.address}/docker.io/library/alpine"
    (workstation.folder / "Dockerfile").write_text(f"FROM {alpine}\nRUN uname -m > /machine\n")
    build = ["docker", "buildx", "build", "--builder", "lab", _BOTH, "--output", "out", "."]
    workstation.run(build)
    built = {
        path.parent.name: path.read_text() for path in workstation.folder.glob("out/*/machine")
    }
    assert built == {"linux_amd64": "x86_64\n", "linux_arm64": "aarch64\n"}
    workstation.run(["docker", "buildx", "rm", "lab"])
    table = workstation.run([*emulators, "--uninstall", "qemu-aarch64"]).stdout
    assert "qemu-aarch64" not in table


def test_nothing_is_left_after_an_exception() -> None:
    before = _traces(os.getpid())
    with pytest.raises(RuntimeError, match="on purpose"), Workstation() as station:
        station.run(["docker", "network", "create", "--internal", "inside"])
        during = _traces(os.getpid())
        message = "on purpose"
        raise RuntimeError(message)
    assert all(during[kind] != before[kind] for kind in before), during
    assert _traces(os.getpid()) == before


def test_what_a_killed_owner_left_is_swept() -> None:
    before = _bridges()
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER], cwd=_ROOT, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        os.kill(owner.pid, signal.SIGKILL)
    left = _traces(owner.pid)
    assert all(left.values()), left
    sweep()
    after = _traces(owner.pid)
    assert after.pop("bridges") == before
    assert not any(after.values()), after


_OWNER = """
import signal
from lab.workstation import Workstation
with Workstation() as station:
    station.run(["docker", "network", "create", "--internal", "inside"])
    print("up", flush=True)
    signal.pause()
"""


def _traces(owner: int) -> dict[str, list[str]]:
    """What a workstation of a process could leave on the machine."""
    name = f"airgap-lab-{owner}-w"
    cgroups = Path("/sys/fs/cgroup").glob(f"**/{name}*")
    processes = run(["ps", "-e", "-ww", "-o", "pid,args"]).splitlines()
    return {
        "folders": sorted(str(path) for path in cache_root().glob(f"workstations/{name}*")),
        "cgroups": sorted(str(path) for path in cgroups),
        "processes": sorted(line for line in processes if name in line),
        "bridges": _bridges(),
    }


def _bridges() -> list[str]:
    return sorted(path.parent.name for path in Path("/sys/class/net").glob("*/bridge"))
