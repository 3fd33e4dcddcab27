"""The lab is what it claims to be: isolated, of real parts, and gone afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from lab import binfmt
from lab.arm64_machine import Arm64Machine
from lab.cache import cache_root
from lab.cleanup import sweep
from lab.host import IsolatedHost
from lab.medium import Medium
from lab.run import run
from lab.upstream import Upstream

StartHost = Callable[..., IsolatedHost]
MakeMedium = Callable[[int], Medium]
FindProgram = Callable[..., Path]

_MEDIUM = 64 << 20
_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("profile", ["loopback", "blackhole"])
def test_check_isolated_fails_where_there_is_a_way_out(
    isolated_host: StartHost, profile: str
) -> None:
    host = isolated_host(profile)
    host.run(["ip", "link", "add", "way0", "type", "veth", "peer", "name", "out0"])
    with pytest.raises(AssertionError, match=r"way0|out0"):
        host.check_isolated()


def test_only_the_blackhole_makes_a_program_wait(isolated_host: StartHost) -> None:
    seconds = []
    for profile in ("loopback", "blackhole"):
        host = isolated_host(profile)
        begun = time.monotonic()
        lookup = "import socket; socket.getaddrinfo('example.com', 443)"
        assert host.run(["python3", "-I", "-c", lookup], check=False).returncode != 0
        seconds.append(time.monotonic() - begun)
    assert seconds[0] < 1 < seconds[1]


@pytest.mark.parametrize(("debian", "python"), [("trixie", "3.13"), ("bookworm", "3.11")])
def test_a_host_has_a_python_and_nothing_of_the_building_machine(
    isolated_host: StartHost, debian: str, python: str
) -> None:
    host = isolated_host(debian=debian)
    facts = "import sys; print(sys.version.split()[0], sys.prefix, *sys.path)"
    version, prefix, *path = host.run(["python3", "-I", "-c", facts]).stdout.split()
    assert version.startswith(python)
    assert prefix == "/usr"
    assert all(folder.startswith("/usr") for folder in path)
    assert host.run(["which", "go", "pip"], check=False).stdout == ""
    assert not host.path(str(_ROOT)).exists()


@pytest.mark.parametrize("image_store", ["containerd", "classic"])
def test_docker_engine_29_runs_for_a_user_and_over_restarts(
    isolated_host: StartHost, image_store: str
) -> None:
    host = isolated_host(image_store=image_store)
    host.start_docker()
    host.restart_docker()
    said = host.run(["docker", "info", "--format", "{{json .}}"], user="alice").stdout
    facts = json.loads(said)
    assert facts["ServerVersion"].startswith("29.")
    assert (facts["Driver"] == "overlayfs") == (image_store == "containerd")
    host.check_isolated()


def test_a_medium_has_its_size_and_is_read_only_on_the_host(
    isolated_host: StartHost, medium: MakeMedium
) -> None:
    drive = medium(_MEDIUM)
    with pytest.raises(OSError, match="No space left"), (drive.path / "big").open("wb") as big:
        big.write(bytes(_MEDIUM))
    (drive.path / "big").unlink()
    (drive.path / "note").write_text("carried")
    drive.seal()
    host = isolated_host()
    host.attach(drive)
    assert host.run(["cat", "/media/airgap/note"]).stdout == "carried"
    refused = host.run(["touch", "/media/airgap/other"], check=False)
    assert "Read-only file system" in refused.stderr


def test_a_medium_that_is_pulled_out_cannot_be_read_until_it_is_back(
    isolated_host: StartHost, medium: MakeMedium
) -> None:
    drive = medium(_MEDIUM)
    (drive.path / "note").write_text("carried")
    drive.seal()
    host = isolated_host()
    host.attach(drive)
    host.run(["cat", "/media/airgap/note"])
    drive.pull_out()
    for command in ("cat /media/airgap/note", "ls /media/airgap"):
        refused = host.run(["sh", "-c", command], check=False)
        assert "Input/output error" in refused.stderr
    host.detach()
    drive.put_back()
    host.attach(drive)
    assert host.run(["cat", "/media/airgap/note"]).stdout == "carried"


def test_an_image_of_the_upstream_runs_on_a_host(
    isolated_host: StartHost, medium: MakeMedium, upstream: Upstream, parts: FindProgram
) -> None:
    drive = medium(_MEDIUM)
    name = f"{upstream.address}/docker.io/library/alpine:3.20"
    run([parts("crane"), "pull", "--platform=linux/amd64", name, drive.path / "alpine.tar"])
    drive.seal()
    host = isolated_host()
    host.attach(drive)
    host.start_docker()
    host.run(["docker", "load", "-i", "/media/airgap/alpine.tar"])
    machine = host.run(["docker", "run", "--rm", name, "uname", "-m"], user="alice")
    assert machine.stdout == "x86_64\n"


FILES = {
    "moby/buildkit:buildx-stable-1": ("usr/bin/git", "usr/bin/buildkitd-entrypoint", "sbin/apk"),
    "library/registry:3": ("entrypoint.sh", "etc/distribution/config.yml"),
    "library/python:3.13-slim": ("usr/local/bin/pip", "etc/ssl/certs/ca-certificates.crt"),
    "library/alpine": ("sbin/apk", "etc/apk/repositories", "lib/apk/db/installed"),
    "tonistiigi/binfmt": ("usr/bin/binfmt", "usr/bin/qemu-aarch64"),
    "docker/buildx-bin": ("buildx",),
}
"""What real images have, and what the product or a test relies on."""

VOLUMES = {
    "moby/buildkit:buildx-stable-1": ["/var/lib/buildkit"],
    "library/registry:3": ["/var/lib/registry"],
    "tonistiigi/binfmt": ["/tmp"],
}
FROM_SCRATCH = ("tonistiigi/binfmt", "docker/buildx-bin")


@pytest.mark.parametrize("name", FILES)
def test_images_are_laid_out_as_the_real_ones(
    upstream: Upstream, parts: FindProgram, tmp_path: Path, name: str
) -> None:
    image = f"{upstream.address}/docker.io/{name}"
    run([parts("crane"), "export", "--platform", "linux/amd64", image, tmp_path / "image.tar"])
    with tarfile.open(tmp_path / "image.tar") as tar:
        files = {entry.name for entry in tar if not entry.isdir()}
    assert set(FILES[name]) <= files
    assert not [file for file in files if file.endswith(".pyc")]
    assert bool({"bin/sh", "usr/bin/sh"} & files) != (name in FROM_SCRATCH)
    config = json.loads(run([parts("crane"), "config", "--platform", "linux/amd64", image]))
    assert [*config["config"].get("Volumes", {})] == VOLUMES.get(name, [])


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64", "linux/arm/v7"])
def test_the_upstreams_images_are_sound(
    upstream: Upstream, parts: FindProgram, platform: str
) -> None:
    name = f"{upstream.address}/docker.io/library/busybox:latest"
    run([parts("crane"), "validate", f"--platform={platform}", "--remote", name])


def test_the_shared_upstream_takes_no_push_and_a_writable_one_does(upstream: Upstream) -> None:
    before = _links(upstream)
    with pytest.raises(requests.HTTPError, match="405"):
        upstream.publisher().push_manifest("docker.io/library/alpine", "latest", _empty_index())
    with Upstream(upstream.storage, writable=True) as mine:
        mine.publisher().push_manifest("docker.io/library/alpine", "latest", _empty_index())
        assert _links(mine) != before
    assert _links(upstream) == before


def _links(registry: Upstream) -> dict[str, str]:
    """What every name in a registry's storage leads to."""
    paths = registry.storage.rglob("link")
    return {str(path.relative_to(registry.storage)): path.read_text() for path in paths}


def _empty_index() -> bytes:
    kind = "application/vnd.oci.image.index.v1+json"
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": []}).encode()


def test_a_registry_with_a_certificate_and_an_account() -> None:
    with Upstream(tls=True, htpasswd=("reader", "secret")) as registry:
        stranger = requests.get(f"{registry.url}/v2/", verify=str(registry.ca_file), timeout=10)
        assert stranger.status_code == requests.codes.unauthorized
        with registry.session() as session:
            assert session.get(f"{registry.url}/v2/", timeout=10).ok


def test_the_machines_own_emulators_are_away_and_come_back() -> None:
    binfmt.mount_table()
    name = "qemu-of-the-machine"
    binfmt.register(f":{name}:M:1:\\x4c\\x61\\x62:\\xff\\xff\\xfe:/bin/true:OCF")
    try:
        before = binfmt.entries()
        with IsolatedHost() as host:
            table = host.path("/proc/sys/fs/binfmt_misc")
            assert not (table / name).exists()
            binfmt.register(":qemu-of-the-host:M::lab::/bin/true:F")
            assert (table / "qemu-of-the-host").exists()
        assert binfmt.entries() == before
    finally:
        binfmt.unregister(name)


def test_nothing_is_left_after_an_exception() -> None:
    before = _traces(os.getpid())
    with pytest.raises(RuntimeError, match="on purpose"), Medium(_MEDIUM) as drive:
        drive.seal()
        with IsolatedHost() as host, Arm64Machine(), Upstream():
            host.attach(drive)
            host.start_docker()
            during = _traces(os.getpid())
            message = "on purpose"
            raise RuntimeError(message)
    assert all(during[kind] != before[kind] for kind in before), during
    assert _traces(os.getpid()) == before


def test_what_a_killed_owner_left_is_swept() -> None:
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
    assert not any(_traces(owner.pid).values())


_OWNER = f"""
import signal
from lab.arm64_machine import Arm64Machine
from lab.host import IsolatedHost
from lab.medium import Medium
from lab.upstream import Upstream
with Medium({_MEDIUM}) as drive, IsolatedHost() as host, Arm64Machine(), Upstream():
    drive.seal()
    host.attach(drive)
    host.start_docker()
    print("up", flush=True)
    signal.pause()
"""


def _traces(owner: int) -> dict[str, list[str]]:
    """Everything of a lab process that could be left on the machine; its number is in each name."""
    names = re.compile(rf"/(airgap-lab-)?{owner}-\d+")
    folders = (path for path in cache_root().glob("*/*") if path.parent.name != "locks")
    cgroups = Path("/sys/fs/cgroup").glob(f"**/airgap-lab-{owner}-*")
    places = {
        "folders": (str(path) for path in folders),
        "cgroups": (str(path) for path in cgroups),
        "mounts": Path("/proc/self/mounts").read_text().splitlines(),
        "loops": run(["losetup", "--list", "-n"]).splitlines(),
        "processes": run(["ps", "-e", "-ww", "-o", "pid,args"]).splitlines(),
    }
    return {kind: sorted(filter(names.search, found)) for kind, found in places.items()}
