"""Bake and compose files, as the real buildx reads them; nothing can be reached meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import ExitCode
from airgap.spec.bundle_spec import load_spec
from lab.parts import program
from tests.contract import parse_json
from tests.integration.command import Outcome, airgap

BAKE = """\
variable "VERSION" { default = "3.20" }
group "default" { targets = ["app", "inline"] }
target "base" {
  dockerfile = "base.Dockerfile"
}
target "app" {
  context = "app"
  contexts = { base = "target:base", tools = "docker-image://busybox:1" }
  args = { VERSION = VERSION, UNSET = null }
  target = "final"
  platforms = ["linux/arm64", "linux/s390x"]
}
target "inline" { dockerfile-inline = "FROM debian\\nRUN true\\n" }
target "plain" { context = "plain" }
target "away" { context = "https://x.test/y.git" }
target "many" {
  name = "many-${replace(v, ".", "-")}"
  matrix = { v = ["1.1", "1.2"] }
  context = "plain"
  args = { V = v }
}
"""
COMPOSE = """\
services:
  web:
    build:
      context: ./plain
      args: {V: "7"}
      platforms: [linux/arm64]
  other:
    build:
      context: .
      dockerfile: base.Dockerfile
  db:
    image: postgres:16
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files with builds, buildx as Docker's plugin, and a Docker that cannot be reached."""
    plugins = tmp_path / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(program("buildx"))
    monkeypatch.setenv("DOCKER_CONFIG", str(plugins.parent))
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    folder = tmp_path / "project"
    files = {
        "docker-bake.hcl": BAKE,
        "compose.yaml": COMPOSE,
        "bake.json": json.dumps({"target": {"default": {"context": "plain", "args": {"V": "9"}}}}),
        "base.Dockerfile": "FROM alpine:3\nRUN apk add x\n",
        "app/Dockerfile": (
            "ARG VERSION\nFROM base AS one\nRUN make\nFROM golang:$VERSION AS final\n"
            "COPY --from=one / /\nCOPY --from=tools / /\nADD https://x.test/y /\n"
        ),
        "plain/Dockerfile": "ARG V\nFROM plain:$V\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def scanned(done: Outcome) -> dict[str, Any]:
    assert done.code == ExitCode.DONE, done.err
    document: dict[str, Any] = parse_json("scan", done.out)
    return document


def images(document: dict[str, Any]) -> list[tuple[str, int, str, list[str]]]:
    return [
        (Path(one["file"]).name, one["line"], one["name"].rpartition("/")[2], one["platforms"])
        for one in document["images"]
    ]


DEFAULT = ["linux/amd64", "linux/arm64"]
OWN = ["linux/arm64", "linux/s390x"]


def test_a_bake_file_has_its_targets_and_what_they_stand_on(project: Path) -> None:
    document = scanned(airgap("scan", project / "docker-bake.hcl", "--json"))
    assert images(document) == [
        ("Dockerfile", 4, "golang:3.20", OWN),
        ("Dockerfile", 6, "busybox:1", OWN),
        ("base.Dockerfile", 1, "alpine:3", DEFAULT),
        ("docker-bake.hcl (inline)", 1, "debian:latest", DEFAULT),
    ]
    assert [one["url"] for one in document["urls"]] == ["https://x.test/y"]


def test_targets_arguments_and_platforms_can_be_given(project: Path) -> None:
    options = ["--target", "many", "--platform", "linux/s390x,linux/arm64", "--json"]
    document = scanned(airgap("scan", project / "docker-bake.hcl", *options))
    assert images(document) == [
        ("Dockerfile", 2, "plain:1.1", ["linux/s390x", "linux/arm64"]),
        ("Dockerfile", 2, "plain:1.2", ["linux/s390x", "linux/arm64"]),
    ]
    options = ["--target", "plain", "--build-arg", "V=a,b=c", "--build-arg", "V=5", "--json"]
    document = scanned(airgap("scan", project / "docker-bake.hcl", *options))
    assert images(document) == [("Dockerfile", 2, "plain:5", DEFAULT)]


def test_a_remote_context_is_named(project: Path) -> None:
    done = airgap("scan", project / "docker-bake.hcl", "--target", "away")
    assert done.code == ExitCode.DONE
    assert "docker-bake.hcl (away): its context is not on this machine" in done.out


def test_a_compose_file_has_the_services_that_are_built(project: Path) -> None:
    document = scanned(airgap("scan", project / "compose.yaml", "--json"))
    assert images(document) == [
        ("base.Dockerfile", 1, "alpine:3", DEFAULT),
        ("Dockerfile", 2, "plain:7", ["linux/arm64"]),
    ]
    only = scanned(airgap("scan", project / "compose.yaml", "--target", "web", "--json"))
    assert len(images(only)) == 1


def test_a_json_file_is_a_bake_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.parent)
    document = scanned(airgap("scan", "project/bake.json", "--json"))
    assert images(document) == [("Dockerfile", 2, "plain:9", DEFAULT)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.hcl", "target {", "x.hcl"),
        ("x.json", "{", "x.json"),
        ("x.yaml", "services: [", "x.yaml"),
        ("none.hcl", 'target "a" {}', "failed to find target default"),
    ],
)
def test_what_buildx_refuses_is_said(project: Path, name: str, text: str, said: str) -> None:
    (project / name).write_text(text)
    done = airgap("scan", project / name)
    assert done.code == ExitCode.USAGE
    assert done.err.startswith(f"error: buildx cannot read {project / name}: ")
    assert said in done.err


def test_init_writes_a_spec_for_several_files(project: Path) -> None:
    spec_path = project / "spec" / "all.toml"
    spec_path.parent.mkdir()
    done = airgap("init", project / "docker-bake.hcl", project / "compose.yaml", "-o", spec_path)
    assert done.code == ExitCode.DONE, done.err
    spec = load_spec(spec_path)
    assert [image.reference.familiar for image in spec.images] == [
        *("golang:3.20", "busybox:1", "alpine:3", "debian:latest", "plain:7"),
    ]
    assert [(one.name, one.dockerfile) for one in spec.recordings] == [
        ("base", "base.Dockerfile"),
        ("other", "base.Dockerfile"),
    ]
    text = spec_path.read_text()
    assert "(inline): to record it, write its Dockerfile into a file" in text
    assert "app/Dockerfile: not recorded, as its contexts cannot be given here" in text
