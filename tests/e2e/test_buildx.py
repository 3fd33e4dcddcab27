"""What people do with buildx, bake and compose, each with the builder `airgap` and no network."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import debian
from lab.host import IsolatedHost
from lab.run import run

FOLDER = "/root/context"
PUSHED = "127.0.0.1:5000/demo/full"
BUILD = ["docker", "buildx", "build", "--progress", "plain"]
REGISTRY_CACHE = "type=registry,ref=127.0.0.1:5000/demo/cache"
BOTH = ["--platform", "linux/amd64,linux/arm64"]
ARM64 = ["--platform", "linux/arm64"]

FULL = """\
# syntax=docker/dockerfile:1
FROM --platform=$BUILDPLATFORM golang:alpine AS build
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY <<EOF main.go
package main

import "runtime"

func main() { println(runtime.GOARCH) }
EOF
RUN --mount=type=cache,target=/root/.cache \\
    GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /hello main.go && uname -m > /built-on

FROM debian:bookworm-slim
COPY --from=build /hello /built-on /
COPY --from=busybox /bin/busybox /busybox
RUN --mount=type=bind,from=alpine,target=/alpine /alpine/bin/busybox uname -m > /machine
RUN <<EOF
cat /machine /etc/debian_version > /heredoc
EOF
"""

SMALL = "FROM alpine\nRUN uname -m > /machine\n"

HCL = """\
variable "TAG" { default = "hcl" }
group "default" { targets = ["app", "tool"] }
target "app" {
  platforms = ["linux/amd64", "linux/arm64"]
  tags = ["127.0.0.1:5000/bake/app:${TAG}"]
}
target "tool" {
  dockerfile-inline = "FROM app\\nRUN cat /machine"
  contexts = { app = "target:app" }
  platforms = ["linux/arm64"]
  tags = ["127.0.0.1:5000/bake/tool:${TAG}"]
}
"""

JSON = """\
{"target": {"default": {
  "platforms": ["linux/amd64", "linux/arm64"], "tags": ["127.0.0.1:5000/bake/app:json"]
}}}
"""

COMPOSE = """\
services:
  app:
    image: 127.0.0.1:5000/bake/app:compose
    build:
      context: .
      platforms: [linux/amd64, linux/arm64]
  tool:
    image: tool
    platform: linux/arm64
    command: cat /machine
    build: .
"""


@pytest.fixture
def context(installed: IsolatedHost) -> Iterator[Path]:
    """A folder of the host with a small Dockerfile, as the building machine sees it."""
    folder = installed.path(FOLDER)
    folder.mkdir()
    (folder / "Dockerfile").write_text(SMALL)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def pushed(installed: IsolatedHost) -> str:
    """An image of all that a Dockerfile can ask for, built once for both platforms and pushed."""
    installed.path("/root/full").mkdir()
    installed.path("/root/full/Dockerfile").write_text(FULL)
    attested = ["--sbom=true", "--provenance=mode=max"]
    installed.run([*BUILD, *BOTH, *attested, "-t", PUSHED, "--push", "/root/full"])
    return PUSHED


def _shown(host: IsolatedHost, image: str, what: str) -> dict[str, dict[str, object]]:
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format"]
    shown: dict[str, dict[str, object]] = json.loads(
        host.run([*command, f"{{{{json .{what}}}}}"]).stdout
    )
    return shown


def _platforms(host: IsolatedHost, image: str) -> set[str]:
    shown = host.run(["docker", "buildx", "imagetools", "inspect", image]).stdout
    return set(re.findall(r"Platform:\s+(linux/\S+)", shown))


def _in_arm64(host: IsolatedHost, image: str, *command: str) -> str:
    done = host.run(["docker", "run", "--rm", "--quiet", *ARM64, image, *command])
    return done.stdout + done.stderr


def test_a_stage_on_the_build_platform_compiles_natively_for_the_other(
    installed: IsolatedHost, pushed: str
) -> None:
    assert _platforms(installed, pushed) == {"linux/amd64", "linux/arm64"}
    assert _in_arm64(installed, pushed, "/hello") == "arm64\n"
    assert _in_arm64(installed, pushed, "cat", "/built-on") == "x86_64\n"


def test_files_come_from_images_by_copy_and_by_mount_and_heredocs_run(
    installed: IsolatedHost, pushed: str
) -> None:
    assert _in_arm64(installed, pushed, "/busybox", "uname", "-m") == "aarch64\n"
    assert _in_arm64(installed, pushed, "cat", "/machine") == "aarch64\n"
    machine, release = _in_arm64(installed, pushed, "cat", "/heredoc").splitlines()
    assert machine == "aarch64"
    assert release.startswith("12.")


def test_sbom_lists_the_packages_of_each_platform(installed: IsolatedHost, pushed: str) -> None:
    shown = _shown(installed, pushed, "SBOM")
    assert set(shown) == {"linux/amd64", "linux/arm64"}
    versions = {
        package["name"]: package["versionInfo"]
        for package in shown["linux/arm64"]["SPDX"]["packages"]  # type: ignore[index]
    }
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\\n"]
    lines = _in_arm64(installed, pushed, *query).splitlines()
    assert versions == dict(line.split() for line in lines)


def test_provenance_names_the_images_that_a_build_took(
    installed: IsolatedHost, pushed: str
) -> None:
    shown = _shown(installed, pushed, "Provenance")
    assert set(shown) == {"linux/amd64", "linux/arm64"}
    text = json.dumps(shown["linux/arm64"])
    for name in ("golang", "debian", "busybox", "docker/dockerfile"):
        assert f"pkg:docker/{name}@" in text, name


@pytest.mark.parametrize(
    ("version", "refused"), [("1", ""), ("1.11", "unknown flag: --parents")], ids=["1", "1.11"]
)
def test_the_frontend_is_the_one_that_a_dockerfile_names(
    installed: IsolatedHost, context: Path, version: str, refused: str
) -> None:
    """`COPY --parents` is newer than 1.11."""
    syntax = f"# syntax=docker/dockerfile:{version}\n"
    to_nowhere = [*BUILD, *BOTH, "--no-cache", "--output", "type=cacheonly", FOLDER]
    (context / "Dockerfile").write_text(f"{syntax}{SMALL}")
    installed.run(to_nowhere)
    (context / "Dockerfile").write_text(f"{syntax}FROM alpine\nCOPY --parents Dockerfile /x/\n")
    done = installed.run(to_nowhere, check=False)
    assert (refused in done.stderr) if refused else (done.returncode == 0), done.stderr


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (REGISTRY_CACHE, REGISTRY_CACHE),
        ("type=local,dest=/root/cache", "type=local,src=/root/cache"),
    ],
    ids=["registry", "local"],
)
def test_a_builder_whose_cache_is_empty_takes_one_that_was_kept(
    installed: IsolatedHost, context: Path, written: str, read: str
) -> None:
    to_nowhere = [*BUILD, *BOTH, "--output", "type=cacheonly", FOLDER]
    installed.run([*to_nowhere, "--no-cache", "--cache-to", f"{written},mode=max"])
    installed.run(["docker", "buildx", "prune", "--all", "--force"])
    said = installed.run([*to_nowhere, "--cache-from", read]).stderr
    steps = re.findall(r"^#(\d+) \[linux/\S+ 2/2\] RUN", said, re.M)
    assert len(steps) == 2
    assert all(f"#{step} CACHED" in said for step in steps), said


def test_docker_has_what_was_built_also_without_asking(
    installed: IsolatedHost, context: Path
) -> None:
    del context
    for options in ([*ARM64, "--load"], ARM64, [*BOTH, "--load"]):
        installed.run([*BUILD, *options, "-t", "loaded", FOLDER])
        assert _in_arm64(installed, "loaded", "cat", "/machine") == "aarch64\n", options
        installed.run(["docker", "image", "rm", "loaded"])


def test_an_oci_archive_is_whole_for_skopeo(
    installed: IsolatedHost, context: Path, tmp_path: Path
) -> None:
    installed.run([*BUILD, *BOTH, "--output", f"type=oci,dest={FOLDER}/app.tar", FOLDER])
    shutil.copy2(context / "app.tar", tmp_path)
    archive = f"oci-archive:{tmp_path}/app.tar"
    run(["skopeo", "copy", "--all", archive, f"dir:{tmp_path}/copy"])
    shown = json.loads(run(["skopeo", "inspect", "--override-arch", "arm64", archive]))
    assert shown["Architecture"] == "arm64"


@pytest.mark.parametrize(
    ("name", "text", "images"),
    [
        ("docker-bake.hcl", HCL, {"app:hcl": "amd64 arm64", "tool:hcl": "arm64"}),
        ("docker-bake.json", JSON, {"app:json": "amd64 arm64"}),
        ("compose.yaml", COMPOSE, {"app:compose": "amd64 arm64"}),
    ],
    ids=["HCL", "JSON", "compose file"],
)
def test_bake_builds_all_targets_of_a_file(
    installed: IsolatedHost, context: Path, name: str, text: str, images: dict[str, str]
) -> None:
    (context / name).write_text(text)
    targets = ["app"] if name == "compose.yaml" else []
    script = f'cd {FOLDER} && docker buildx bake --push "$@"'
    installed.run(["sh", "-c", script, "sh", *targets])
    for image, architectures in images.items():
        wanted = {f"linux/{architecture}" for architecture in architectures.split()}
        assert _platforms(installed, f"127.0.0.1:5000/bake/{image}") == wanted


@pytest.mark.parametrize(
    ("version", "environment"),
    [
        ("5", {"BUILDX_BUILDER": "airgap"}),
        ("5", {}),
        ("2.26", {"BUILDX_BUILDER": "airgap-compose"}),
    ],
    ids=["named builder", "selected builder", "Debian's compose"],
)
def test_docker_compose_builds_with_the_builder(
    installed: IsolatedHost,
    context: Path,
    parts: Callable[..., Path],
    version: str,
    environment: dict[str, str],
) -> None:
    if version == "5":
        compose = parts("docker-compose")
    else:
        root = debian.unpacked("docker-compose", suite=debian.TRIXIE)
        compose = root / "usr/libexec/docker/cli-plugins/docker-compose"
    target = installed.path("/usr/local/lib/docker/cli-plugins/docker-compose")
    shutil.copy2(compose, target)
    (context / "compose.yaml").write_text(COMPOSE)
    docker_compose = ["docker", "compose", "--project-directory", FOLDER]
    try:
        assert installed.run([*docker_compose, "version", "--short"]).stdout.startswith(version)
        installed.run([*docker_compose, "build", "--push", "app"], env=environment)
        pushed = _platforms(installed, "127.0.0.1:5000/bake/app:compose")
        assert pushed == {"linux/amd64", "linux/arm64"}
        installed.run([*docker_compose, "build", "--no-cache", "tool"], env=environment)
        said = installed.run([*docker_compose, "run", "--rm", "tool"], env=environment).stdout
        assert said == "aarch64\n"
    finally:
        installed.run([*docker_compose, "down", "--rmi", "all"], check=False)
        target.unlink()
