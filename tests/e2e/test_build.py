"""After install, a host builds as any user would, with no network."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import full_run
from lab.host import IsolatedHost

APP = "127.0.0.1:5000/demo/app"
MIRRORED_ALPINE = "127.0.0.1:5001/docker.io/library/alpine:latest"
BUILDX = ["docker", "buildx", "build", "--progress", "plain"]
BOTH = ["--platform", "linux/amd64,linux/arm64"]
LEGACY_DOCKERFILE = """\
FROM multiarch/qemu-user-static:x86_64-aarch64 AS qemu
FROM arm64v8/alpine
COPY --from=qemu /usr/bin/qemu-aarch64-static /usr/bin
RUN uname -m > /machine
CMD ["cat", "/machine"]
"""


def write_context(host: IsolatedHost, dockerfile: str, folder: str = "/root/context") -> str:
    """A folder of the host with nothing but a Dockerfile."""
    context = host.path(folder)
    context.mkdir(parents=True, exist_ok=True)
    (context / "Dockerfile").write_text(dockerfile)
    return folder


def test_a_two_platform_image_is_built_pushed_and_run(installed: IsolatedHost) -> None:
    shutil.copytree(full_run.APP, installed.path("/root/app"))
    installed.run([*BUILDX, *BOTH, "-t", APP, "--push", "/root/app"], timeout=600)
    shown = installed.run(["docker", "buildx", "imagetools", "inspect", "--raw", APP]).stdout
    platforms = [entry["platform"] for entry in json.loads(shown)["manifests"]]
    architectures = {platform["architecture"] for platform in platforms}
    assert architectures - {"unknown"} == {"amd64", "arm64"}
    run = ["docker", "run", "--rm", "--pull", "always", "--platform"]
    amd64 = installed.run([*run, "linux/amd64", APP]).stdout
    assert amd64.splitlines() == ["hello from amd64", "x86_64", "hello from amd64", "x86_64"]
    arm64 = installed.run([*run, "linux/arm64", APP]).stdout
    assert arm64.splitlines() == ["hello from arm64", "aarch64", "hello from arm64", "aarch64"]


def test_a_builder_of_ones_own_by_the_three_commands_of_the_tutorials(
    installed: IsolatedHost,
) -> None:
    try:
        installed.run(["docker", "buildx", "create", "--name", "builderx"])
        installed.run(["docker", "buildx", "use", "builderx"])
        shown = installed.run(["docker", "buildx", "inspect", "--bootstrap"], timeout=60).stdout
        assert re.search(r"^Status:\s+running$", shown, re.M)
        context = write_context(installed, "FROM alpine\nRUN uname -m > /machine\n")
        arm64 = ["--platform", "linux/arm64", "--load", "-t", "own"]
        installed.run([*BUILDX, *arm64, context], timeout=120)
        machine = ["docker", "run", "--rm", "--platform", "linux/arm64", "own", "cat", "/machine"]
        assert installed.run(machine).stdout == "aarch64\n"
    finally:
        installed.run(["docker", "buildx", "rm", "builderx"], check=False)
        installed.run(["docker", "buildx", "use", "airgap"])


@pytest.mark.parametrize(
    "environment",
    [{}, {"DOCKER_BUILDKIT": "0"}, {"BUILDX_BUILDER": "airgap"}],
    ids=["plain", "legacy builder", "our builder"],
)
def test_qemu_user_static_copied_into_an_arm64_image(
    installed: IsolatedHost, environment: dict[str, str]
) -> None:
    context = write_context(installed, LEGACY_DOCKERFILE)
    installed.run(["docker", "build", "-t", "legacy", context], env=environment, timeout=120)
    assert installed.run(["docker", "run", "--rm", "legacy"]).stdout == "aarch64\n"


def test_docker_pull_takes_an_image_of_docker_hub_from_the_mirror(installed: IsolatedHost) -> None:
    installed.run(["docker", "pull", "busybox"])
    installed.run(["docker", "pull", "--platform", "linux/arm64", "busybox"])


def test_an_image_from_elsewhere_is_a_base_too(installed: IsolatedHost) -> None:
    context = write_context(installed, "FROM ghcr.io/example/base:1\nRUN uname -m\n")
    installed.run([*BUILDX, *BOTH, "--output", "type=cacheonly", context])


@pytest.mark.parametrize("address", ["127.0.0.1:5001", "172.17.0.1:5001"])
def test_a_run_step_cannot_write_to_the_mirror(installed: IsolatedHost, address: str) -> None:
    upload = f"http://{address}/v2/docker.io/library/alpine/blobs/uploads/"
    manifest = f"http://{address}/v2/docker.io/library/alpine/manifests/latest"
    context = write_context(
        installed,
        "FROM debian:bookworm-slim\n"
        "COPY put.pl /\n"
        f"RUN perl /put.pl {address} POST {upload}; perl /put.pl {address} PUT {manifest}\n",
    )
    installed.path("/root/context/put.pl").write_text(_PUT)
    inspect = ["docker", "buildx", "imagetools", "inspect", "--raw", MIRRORED_ALPINE]
    before = installed.run(inspect).stdout
    done = installed.run([*BUILDX, "--no-cache", "--output", "type=cacheonly", context])
    assert re.findall(r"HTTP/1\.1 (\d+)", done.stderr) == ["405", "405"]
    assert installed.run(inspect).stdout == before


_PUT = """\
use IO::Socket::INET;
my ($address, $method, $url) = @ARGV;
my $socket = IO::Socket::INET->new(PeerAddr => $address) or die "no connection to $address: $!";
print $socket "$method $url HTTP/1.1\\r\\nHost: $address\\r\\nContent-Length: 0\\r\\n"
    . "Connection: close\\r\\n\\r\\n";
print scalar(<$socket>);
"""


def _seconds_to_miss(host: IsolatedHost) -> float:
    context = write_context(host, "FROM not-in-the-bundle:1\nRUN true\n")
    begun = time.monotonic()
    done = host.run([*BUILDX, "--builder", "airgap", context], check=False)
    assert done.returncode != 0
    assert "not-in-the-bundle:1" in done.stderr
    return time.monotonic() - begun


def test_a_missing_base_image_fails_at_once(installed: IsolatedHost) -> None:
    assert _seconds_to_miss(installed) < 3


def test_a_missing_base_image_fails_at_once_also_where_packets_vanish(
    fresh_host: Callable[..., IsolatedHost],
) -> None:
    host = fresh_host("blackhole")
    full_run.install(host)
    assert _seconds_to_miss(host) < 3


def test_a_further_user_builds_after_enabling_themselves(installed: IsolatedHost) -> None:
    said = installed.run(["airgap", "enable"], user="alice").stdout
    assert "alice has the builder 'airgap'" in said
    context = write_context(installed, "FROM alpine\nRUN uname -m > /m\n", "/home/alice/app")
    tag = "127.0.0.1:5000/alice/app"
    installed.run([*BUILDX, *BOTH, "-t", tag, "--push", context], user="alice")
    installed.run(["airgap", "enable", "--undo"], user="alice")
    gone = installed.run(["docker", "buildx", "inspect", "airgap"], user="alice", check=False)
    assert gone.returncode != 0


def test_the_whole_set_up_on_an_older_python_and_the_classic_image_store(
    fresh_host: Callable[..., IsolatedHost],
) -> None:
    host = fresh_host(debian="bookworm", image_store="classic")
    full_run.install(host, "--load", "arm64v8/alpine", "--load", LEGACY_QEMU)
    context = write_context(host, LEGACY_DOCKERFILE)
    host.run(["docker", "build", "-t", "legacy", context], timeout=120)
    assert host.run(["docker", "run", "--rm", "legacy"]).stdout == "aarch64\n"
    shutil.copytree(full_run.APP, host.path("/root/app"))
    host.run([*BUILDX, *BOTH, "-t", APP, "--push", "/root/app"], timeout=600)
    arm64 = ["docker", "run", "--rm", "--platform", "linux/arm64", APP]
    assert "aarch64" in host.run(arm64).stdout


LEGACY_QEMU = "multiarch/qemu-user-static:x86_64-aarch64"


@pytest.mark.parametrize("image_store", ["containerd", "classic"])
def test_images_tar_loads_into_docker_without_any_of_this(
    fresh_host: Callable[..., IsolatedHost], image_store: str
) -> None:
    host = fresh_host(image_store=image_store)
    host.run(["docker", "load", "-i", f"{full_run.ON_MEDIUM}/images.tar"], timeout=300)
    run = ["docker", "run", "--rm", "alpine", "uname", "-m"]
    assert host.run(run).stdout == "x86_64\n"


def test_what_the_mirror_serves_is_sound_for_crane(
    installed: IsolatedHost, parts: Callable[..., Path]
) -> None:
    shutil.copy2(parts("crane"), installed.path("/usr/local/bin/crane"))
    for image in (
        "docker.io/library/debian:bookworm-slim",
        "library/alpine",
        "ghcr.io/example/base:1",
    ):
        for platform in ("linux/amd64", "linux/arm64"):
            name = f"127.0.0.1:5001/{image}"
            installed.run(["crane", "validate", "--platform", platform, "--remote", name])
