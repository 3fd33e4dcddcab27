"""What `scan` finds against what BuildKit itself resolves, for every Dockerfile of the corpus."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from airgap.dockerfile.parse import parse_dockerfile
from airgap.dockerfile.scan import Scan, scan_dockerfile
from airgap.dockerfile.stages import BuildOptions
from airgap.errors import UsageError
from airgap.oci.platform import Platform, parse_platform
from airgap.oci.reference import Reference, parse_reference
from lab.parts import program
from tests.integration.generated import Generator
from tests.unit.dockerfile.corpus import CASES, PLATFORMS, Case

Answers = dict[tuple[str, str], dict[str, Any]]
PAIRS = [
    pytest.param(case, platform, id=f"{case.name}, {platform}")
    for case in CASES
    for platform in PLATFORMS
]


def resolved(asked: Sequence[tuple[Case, str]]) -> list[dict[str, Any]]:
    """What BuildKit says of cases, each for a platform."""
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
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(requests)
    return answers


@pytest.fixture(scope="session")
def answers() -> Answers:
    """What BuildKit says of the corpus, by the case's name and the platform."""
    asked = [(case, platform) for case in CASES for platform in PLATFORMS]
    names = [(case.name, platform) for case, platform in asked]
    return dict(zip(names, resolved(asked), strict=True))


def scan(case: Case, platform: str) -> Scan:
    def onbuild(reference: Reference, _platform: Platform) -> Sequence[str]:
        return case.onbuild.get(str(reference), ())

    options = BuildOptions(
        (parse_platform(platform),), parse_platform(case.build), case.target, case.args
    )
    return scan_dockerfile(case.text, "Dockerfile", options, onbuild)


def found_images(found: Scan) -> set[tuple[Reference, Platform]]:
    needs = [need for need in found.images if need.by != "# syntax"]
    return {(need.reference, one) for need in needs for one in need.platforms}


def resolved_images(answer: dict[str, Any]) -> set[tuple[Reference, Platform]]:
    pairs = answer["images"] or []
    return {(parse_reference(name), parse_platform(platform)) for name, platform in pairs}


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
    assert found_images(scan(case, platform)) == resolved_images(answer)


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
    assert refused(case, PLATFORMS[0])


def refused(case: Case, platform: str) -> bool:
    """Whether a message or hint says that the build cannot be."""
    try:
        found = scan(case, platform)
    except UsageError as error:
        assert error.message.startswith("Dockerfile")
        return True
    said = "cannot be decided|is not an image reference"
    return any(re.search(said, hint.text) for hint in found.hints)


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


@pytest.mark.parametrize("seed", range(8))
def test_generated_dockerfiles_are_resolved_as_buildkit_does(seed: int) -> None:
    generator = Generator(seed)
    args = {"A": "1", "B": "a-b"} if seed % 2 else {}
    cases = [
        Case(str(number), generator.dockerfile(), "a" if seed % 4 > 1 else "", args)
        for number in range(1000)
    ]
    platform = PLATFORMS[seed % 3]
    for case, answer in zip(cases, resolved([(case, platform) for case in cases]), strict=True):
        assert refused(case, platform) is bool(answer["error"]), (case.text, answer["error"])
        if answer["error"]:
            continue
        found = scan(case, platform)
        assert found_images(found) == resolved_images(answer), case.text
        urls = set(answer["urls"] or [])
        # A base image could set a variable that its Dockerfile does not: those are hinted at.
        if any("needs a value" in hint.text for hint in found.hints):
            assert {need.url for need in found.urls} <= urls, case.text
        else:
            assert {need.url for need in found.urls} == urls, case.text
