from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from airgap.builder.buildx import Buildx
from airgap.builder.emulated_steps import EmulatedStep, emulated_steps, may_emulate
from airgap.dockerfile.scan import scan_dockerfile
from airgap.dockerfile.stages import BuildOptions
from airgap.oci.platform import Platform, parse_platform

_AMD64, _ARM64 = parse_platform("linux/amd64"), parse_platform("linux/arm64")


def vertex(name: str, seconds: float, **more: object) -> dict[str, object]:
    ended = f"2026-11-25T19:26:{seconds:012.9f}Z"
    return {"name": name, "started": "2026-11-25T19:26:00.000000000Z", "completed": ended, **more}


@pytest.fixture
def buildx(tmp_path: Path) -> Buildx:
    """A program that prints what lies beside it, as buildx does: on standard error."""
    program = tmp_path / "buildx"
    program.write_text(
        f'#!/bin/sh\n[ "$1 $4 $5" = "history logs --progress" ]\ncat {tmp_path}/log >&2\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return Buildx([str(program)], "b")


def steps(buildx: Buildx, vertexes: list[dict[str, object]], *platforms: str) -> list[EmulatedStep]:
    log = "".join(json.dumps({"vertexes": [one]}) + "\n" for one in vertexes)
    Path(buildx.command[0]).with_name("log").write_text(log + '{"statuses": []}\nWARNING: x\n')
    return emulated_steps(buildx, "b/b0/x", _AMD64, [parse_platform(one) for one in platforms])


def test_the_slowest_emulated_steps_come_first(buildx: Buildx) -> None:
    found = steps(
        buildx,
        [
            vertex("[linux/amd64 build 2/3] RUN make", 50),
            vertex("[linux/arm64 build 2/3] RUN true", 1.5),
            vertex("[linux/arm64 build 3/3] RUN go build .", 20.25),
            vertex("[linux/amd64->arm64 cross 3/3] RUN go build .", 30),
            vertex("[linux/arm64 build 1/3] FROM alpine", 9),
            vertex("[linux/arm64 stage-1 2/2] COPY a b", 9),
            vertex("[linux/arm64 stage-1 2/2] RUN cached", 0, cached=True),
        ],
        "linux/amd64",
        "linux/arm64",
    )
    assert [(one.text, one.platform, one.seconds) for one in found] == [
        ("RUN go build .", _ARM64, 20.25),
        ("RUN true", _ARM64, 1.5),
    ]
    assert "GOARCH=$TARGETARCH" in found[0].advice
    assert found[1].advice == ""


def test_a_build_for_one_platform_names_none(buildx: Buildx) -> None:
    built = [vertex("[stage-0 2/2] RUN true", 2)]
    assert [one.platform for one in steps(buildx, built, "linux/arm64")] == [_ARM64]
    assert steps(buildx, built, "linux/amd64") == []


def test_our_own_mounts_are_not_shown(buildx: Buildx) -> None:
    mounts = (
        "--mount=type=secret,id=airgap-x,env=X --mount=type=secret,id=airgap-y,target=/y,mode=0444"
    )
    found = steps(buildx, [vertex(f"[2/2] RUN {mounts} --network=none true", 2)], "linux/arm64")
    assert [one.text for one in found] == ["RUN --network=none true"]


def test_without_a_history_nothing_is_said(tmp_path: Path) -> None:
    assert emulated_steps(Buildx(["false"], "b"), "b/b0/x", _AMD64, [_ARM64]) == []


@pytest.mark.parametrize(
    ("text", "platforms", "may"),
    [
        ("FROM alpine\nRUN true\n", [_AMD64], False),
        ("FROM alpine\nRUN true\n", [_AMD64, _ARM64], True),
        ("FROM --platform=linux/arm64 alpine\nRUN true\n", [_AMD64], True),
        ("FROM alpine\nCOPY --from=busybox / /\n", [_AMD64], False),
    ],
)
def test_a_build_for_this_machine_alone_emulates_nothing(
    text: str, platforms: list[Platform], may: bool
) -> None:
    options = BuildOptions(tuple(platforms), build_platform=_AMD64)
    assert may_emulate(scan_dockerfile(text, "Dockerfile", options), options) == may
