from __future__ import annotations

from pathlib import Path

import pytest

from airgap.builder.arguments import BuildArguments, recording_arguments
from airgap.errors import UsageError
from airgap.oci.platform import parse_platform
from airgap.spec.bundle_spec import RecordingSpec


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ("-t x:1 .", [("--tag", "x:1")]),
        ("-tx:1 .", [("--tag", "x:1")]),
        ("-t=x:1 .", [("--tag", "x:1")]),
        ("--tag x:1 .", [("--tag", "x:1")]),
        ("--tag=x:1 .", [("--tag", "x:1")]),
        (". -t x:1", [("--tag", "x:1")]),
        ("--build-arg A=b=c .", [("--build-arg", "A=b=c")]),
        ("--build-arg=A=b=c .", [("--build-arg", "A=b=c")]),
        ("--push .", [("--push", "true")]),
        ("--pull=false .", [("--pull", "false")]),
        ("-q .", [("--quiet", "true")]),
        ("-qf Dockerfile.web .", [("--quiet", "true"), ("--file", "Dockerfile.web")]),
        ("-Dqtx .", [("--debug", "true"), ("--quiet", "true"), ("--tag", "x")]),
        ("-f - .", [("--file", "-")]),
        ("--output type=local,dest=- .", [("--output", "type=local,dest=-")]),
        ("--some-new-option value .", [("--some-new-option", "value")]),
        ("--no-cache -- .", [("--no-cache", "true")]),
    ],
)
def test_options_are_read_as_buildx_reads_them(
    written: str, options: list[tuple[str, str]]
) -> None:
    assert BuildArguments.parse(written.split()) == BuildArguments(".", tuple(options))


def test_a_dash_alone_is_the_context() -> None:
    assert BuildArguments.parse(["-t", "x", "-"]).context == "-"


@pytest.mark.parametrize("written", ["", "-t x", "a b", "--push", ". -- other"])
def test_exactly_one_context_is_needed(written: str) -> None:
    with pytest.raises(UsageError, match="one context is needed"):
        BuildArguments.parse(written.split())


def test_an_option_without_its_value_is_named() -> None:
    with pytest.raises(UsageError, match="--file needs a value"):
        BuildArguments.parse([".", "-f"])


def test_what_was_read_is_given_on() -> None:
    arguments = BuildArguments.parse(["-t", "a", "--tag=b", "--push", "-f", "D", "ctx"])
    assert arguments.all("--tag") == ["a", "b"]
    assert arguments.last("--tag") == "b"
    assert arguments.last("--target") == ""
    kept = arguments.without("--file").plus("--metadata-file", "m")
    assert kept.words() == ["--tag=a", "--tag=b", "--push=true", "--metadata-file=m", "ctx"]


def test_a_recording_is_built_for_all_its_platforms_and_keeps_no_image() -> None:
    platforms = (parse_platform("linux/amd64"), parse_platform("linux/arm64"))
    spec = RecordingSpec("app", Path("app"), "web/Dockerfile", "final", {"A": "b"}, platforms)
    assert recording_arguments(spec).words() == [
        "--file=app/web/Dockerfile",
        "--platform=linux/amd64,linux/arm64",
        "--target=final",
        "--build-arg=A=b",
        "--provenance=false",
        "--output=type=cacheonly",
        "app",
    ]
