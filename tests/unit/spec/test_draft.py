"""Drafted specs: they say what was found, and are specs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from airgap.dockerfile.stages import BuildOptions
from airgap.errors import UsageError
from airgap.oci.platform import Platform
from airgap.spec.builds import Build, Choice, find_builds, scan_build
from airgap.spec.bundle_spec import load_spec
from airgap.spec.draft import draft_spec, write_draft

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
TEXT = """\
# syntax=docker/dockerfile:1
FROM --platform=$BUILDPLATFORM golang:alpine AS build
RUN go build
FROM alpine
COPY --from=build /a /a
"""


def draft(folder: Path, *paths: Path, choice: Choice | None = None) -> str:
    builds = [build for path in paths for build in find_builds(path, choice or Choice())]
    return draft_spec([(build, scan_build(build)) for build in builds], folder)


def project(folder: Path, text: str = TEXT, name: str = "Dockerfile") -> Path:
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    return folder


def test_a_draft_has_all_images_and_says_where_they_are_named(tmp_path: Path) -> None:
    app = project(tmp_path / "My App")
    assert draft(tmp_path, app) == (
        'name = "my-app"\n'
        'platforms = ["linux/amd64", "linux/arm64"]\n'
        "\n"
        f"# {app}/Dockerfile:1: # syntax\n"
        "[[images]]\n"
        'name = "docker/dockerfile:1"\n'
        'platforms = ["linux/amd64"]\n'
        "\n"
        f"# {app}/Dockerfile:2: FROM\n"
        "[[images]]\n"
        'name = "golang:alpine"\n'
        'platforms = ["linux/amd64"]\n'
        "\n"
        f"# {app}/Dockerfile:4: FROM\n"
        "[[images]]\n"
        'name = "alpine:latest"\n'
        "\n"
        f"# {app}/Dockerfile: what its RUN and ADD lines fetch\n"
        "[[recordings]]\n"
        'name = "my-app"\n'
        'context = "My App"\n'
    )


def test_a_draft_is_a_spec(tmp_path: Path) -> None:
    one = project(tmp_path / "one")
    two = project(tmp_path / "sub" / "one", "FROM a AS x\nRUN y\n", "other.dockerfile")
    choice = Choice(("x",), {"A": 'say "hi"\n\x7fé', "B": ""}, (ARM64,))
    builds = [*find_builds(one, Choice()), *find_builds(two / "other.dockerfile", choice)]
    path = tmp_path / "spec" / "my.toml"
    path.parent.mkdir()
    write_draft(path, draft_spec([(b, scan_build(b)) for b in builds], path.parent), force=False)
    spec = load_spec(path)
    assert (spec.name, spec.platforms) == ("one", (AMD64, ARM64))
    assert [image.reference.familiar for image in spec.images] == [
        *("docker/dockerfile:1", "golang:alpine", "alpine:latest", "a:latest"),
    ]
    assert spec.images[3].platforms == (ARM64,)
    first, second = spec.recordings
    assert (first.name, second.name) == ("one", "one-2")
    assert first.context.resolve() == one
    assert (second.context.resolve(), second.dockerfile) == (two, "other.dockerfile")
    assert (second.target, second.args, second.platforms) == ("x", choice.args, (ARM64,))


def test_a_build_that_downloads_nothing_is_not_recorded(tmp_path: Path) -> None:
    app = project(tmp_path / "app", "FROM a\nCOPY x y\nRUN --network=none z\n")
    assert "recordings" not in tomllib.loads(draft(tmp_path, app))


def test_hints_are_comments(tmp_path: Path) -> None:
    app = project(tmp_path / "app", "FROM a\nRUN git clone https://x.test/y\n")
    assert f"\n# {app}/Dockerfile:2: git fetches with POST requests: fetch" in draft(tmp_path, app)


@pytest.mark.parametrize(
    ("build", "comment"),
    [
        (
            Build("t", "f", None, None, "FROM a\nRUN x\n", BuildOptions((AMD64,), AMD64)),
            "into a file",
        ),
        (
            Build(
                "t",
                "f",
                Path("c"),
                Path("c/D"),
                "FROM a\nRUN x\n",
                BuildOptions((AMD64,), AMD64, contexts={"a": "x"}),
            ),
            "its contexts cannot be given here",
        ),
    ],
    ids=["inline", "contexts"],
)
def test_what_a_spec_cannot_record_is_said(build: Build, comment: str, tmp_path: Path) -> None:
    text = draft_spec([(build, scan_build(build))], tmp_path)
    assert comment in text
    assert "recordings" not in tomllib.loads(text)


def test_odd_file_names_do_no_harm(tmp_path: Path) -> None:
    app = project(tmp_path / "a\nb\udcff", "FROM a\nRUN x\n")
    document = tomllib.loads(draft(tmp_path, app))
    assert document["recordings"][0]["context"] == "a\nb\ufffd"
    assert document["name"] == "a-b"


def test_nothing_is_overwritten_unless_asked_to(tmp_path: Path) -> None:
    path = tmp_path / "airgap.toml"
    write_draft(path, "one", force=False)
    with pytest.raises(UsageError, match="is there already") as raised:
        write_draft(path, "two", force=False)
    assert "--force" in raised.value.remedy
    assert path.read_text() == "one"
    write_draft(path, "two", force=True)
    assert path.read_text() == "two"
    with pytest.raises(UsageError, match="cannot write"):
        write_draft(tmp_path / "no" / "x.toml", "one", force=False)
