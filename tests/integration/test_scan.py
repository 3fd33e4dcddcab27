"""What `scan` finds against what BuildKit itself resolves, for every Dockerfile of the corpus."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from airgap.errors import UsageError
from airgap.oci.platform import Platform, parse_platform
from airgap.oci.reference import Reference, parse_reference
from airgap.spec.dockerfile import parse_dockerfile
from airgap.spec.scan import Scan, scan_dockerfile
from airgap.spec.stages import BuildOptions
from tests.lab.parts import program
from tests.unit.spec.corpus import CASES, PLATFORMS, Case

Answers = dict[tuple[str, str], dict[str, Any]]
PAIRS = [
    pytest.param(case, platform, id=f"{case.name}, {platform}")
    for case in CASES
    for platform in PLATFORMS
]


@pytest.fixture(scope="session")
def answers() -> Answers:
    """What BuildKit says, by the case's name and the platform."""
    asked = [(case, platform) for case in CASES for platform in PLATFORMS]
    requests = [
        {
            "Dockerfile": case.text,
            "Target": case.target,
            "Args": dict(case.args),
            "Platform": platform,
            "BuildPlatform": case.build,
            "OnBuild": dict(case.onbuild),
        }
        for case, platform in asked
    ]
    done = subprocess.run(
        [program("resolve")],
        input="\n".join(map(json.dumps, requests)),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    return {
        (case.name, platform): json.loads(line)
        for (case, platform), line in zip(asked, lines, strict=True)
    }


def scan(case: Case, platform: str) -> Scan:
    def onbuild(reference: Reference, _platform: Platform) -> Sequence[str]:
        return case.onbuild.get(str(reference), ())

    options = BuildOptions(
        (parse_platform(platform),), parse_platform(case.build), case.target, case.args
    )
    return scan_dockerfile(case.text, "Dockerfile", options, onbuild)


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 50


@pytest.mark.parametrize(("case", "platform"), PAIRS)
def test_images_are_those_that_buildkit_resolves(
    case: Case, platform: str, answers: Answers
) -> None:
    answer = answers[case.name, platform]
    assert bool(answer["error"]) is case.fails, answer["error"]
    if case.fails:
        return
    found = {
        (need.reference, one)
        for need in scan(case, platform).images
        if need.by != "# syntax"
        for one in need.platforms
    }
    assert found == {
        (parse_reference(name), parse_platform(one)) for name, one in answer["images"] or []
    }


@pytest.mark.parametrize(("case", "platform"), PAIRS)
def test_urls_are_those_that_buildkit_fetches(case: Case, platform: str, answers: Answers) -> None:
    if case.fails:
        return
    answer = answers[case.name, platform]
    found = scan(case, platform)
    assert sorted({need.url for need in found.urls}) == sorted(set(answer["urls"] or []))
    git = [hint.text.split()[-1] for hint in found.hints if hint.text.startswith("git fetches")]
    remotes = {source.partition("#")[0].partition("?")[0] for source in git}
    assert remotes == set(answer["git"] or [])


@pytest.mark.parametrize("case", [case for case in CASES if case.fails], ids=lambda case: case.name)
def test_what_buildkit_refuses_is_refused_or_named(case: Case) -> None:
    try:
        found = scan(case, PLATFORMS[0])
    except UsageError as error:
        assert error.message.startswith("Dockerfile")
    else:
        said = "cannot be decided|is not an image reference"
        assert any(re.search(said, hint.text) for hint in found.hints)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_instructions_and_frontends_are_those_that_buildkit_reads(
    case: Case, answers: Answers
) -> None:
    answer = answers[case.name, PLATFORMS[0]]
    try:
        dockerfile = parse_dockerfile(case.text, "Dockerfile")
    except UsageError:
        assert case.fails
        return
    assert (dockerfile.syntax, dockerfile.syntax_line) == (answer["syntax"], answer["syntax_line"])
    assert answer["instructions"] == [
        [one.name, one.line, one.end_line] for one in dockerfile.instructions
    ]
