"""`airgap scan` and `airgap init`, as they are given. They need no network."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.cli.main import run
from airgap.errors import ExitCode
from airgap.spec.bundle_spec import load_spec
from tests.contract import parse_json

TEXT = """\
# syntax=docker/dockerfile:1
ARG VERSION=3.20
FROM --platform=$BUILDPLATFORM golang:alpine AS build
RUN git clone https://x.test/y
FROM alpine:$VERSION
COPY --from=build /a /a
ADD https://x.test/$TARGETARCH /y
ARG TARGETARCH
ADD https://x.test/$TARGETARCH /z
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "Dockerfile").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return folder


def test_scan_shows_a_table_and_hints(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", "app"]) == ExitCode.DONE
    assert capsys.readouterr().out == (
        "WHERE             BY        NAME                  PLATFORMS\n"
        "app/Dockerfile:1  # syntax  docker/dockerfile:1   linux/amd64\n"
        "app/Dockerfile:3  FROM      golang:alpine         linux/amd64\n"
        "app/Dockerfile:5  FROM      alpine:3.20           linux/amd64, linux/arm64\n"
        "app/Dockerfile:9  ADD       https://x.test/amd64  -\n"
        "app/Dockerfile:9  ADD       https://x.test/arm64  -\n"
        "\n"
        "app/Dockerfile:4: git fetches with POST requests\n"
        "  -> fetch an archive of the commit in its place: curl -fsSL https://…/COMMIT.tar.gz\n"
        "app/Dockerfile:7: https://x.test/$TARGETARCH needs a value of TARGETARCH\n"
        "  -> give it a value: --build-arg NAME=VALUE\n"
        "\n"
        "RUN lines may download more: a recording carries it, see airgap init\n"
    )


def test_scan_heeds_its_options(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--platform", "linux/s390x,linux/arm64", "--build-arg", "VERSION=edge", "--json"]
    assert run(["scan", "app/Dockerfile", *options]) == ExitCode.DONE
    document = parse_json("scan", capsys.readouterr().out)
    assert sorted(document) == ["hints", "images", "runs", "urls"]
    assert document["images"][2] == {
        "name": "docker.io/library/alpine:edge",
        "platforms": ["linux/s390x", "linux/arm64"],
        "file": "app/Dockerfile",
        "line": 5,
        "by": "FROM",
    }
    assert [one["url"] for one in document["urls"]] == [
        *("https://x.test/s390x", "https://x.test/arm64"),
    ]
    assert run(["scan", "app", "--target", "build", "--json"]) == ExitCode.DONE
    assert len(parse_json("scan", capsys.readouterr().out)["images"]) == 2


def test_scan_of_a_build_that_needs_nothing(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app / "Dockerfile").write_text("FROM scratch\nCOPY a b\n")
    assert run(["scan", "app"]) == ExitCode.DONE
    assert capsys.readouterr().out == "nothing from outside\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scan", "none"], "'none' does not exist"),
        (["scan", "app", "--target", "x"], "no stage 'x'\n  -> stages: build"),
        (["scan", "app", "--platform", "x"], "is not a platform"),
        (["scan", "app", "--build-arg", "=x"], "has no name"),
        (["init", "app", "-o", "app/Dockerfile"], "is there already"),
        (["init", "app", "-o", "no/x.toml"], "cannot write"),
    ],
)
def test_what_is_wrong_is_said(
    app: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert (app / "Dockerfile").read_text() == TEXT


def test_init_writes_a_spec(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "app"]) == ExitCode.DONE
    done = capsys.readouterr()
    assert done.out.startswith("airgap.toml: 3 images\n")
    assert "git fetches" in done.err
    spec = load_spec(Path("airgap.toml"))
    assert [image.reference.familiar for image in spec.images] == [
        *("docker/dockerfile:1", "golang:alpine", "alpine:3.20"),
    ]
    assert [recording.context for recording in spec.recordings] == [Path("app")]
    assert run(["init", "app"]) == ExitCode.USAGE
    assert run(["init", "app", "--target", "build", "--force"]) == ExitCode.DONE
    assert len(load_spec(Path("airgap.toml")).images) == 2
