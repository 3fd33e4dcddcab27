"""What a build needs: what is said of it. That it is right, the comparison with BuildKit shows."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from airgap.dockerfile.parse import parse_dockerfile
from airgap.dockerfile.scan import Hint, Scan, is_git, scan_dockerfile, unite
from airgap.dockerfile.stages import BuildOptions, Stages
from airgap.errors import UsageError
from airgap.oci.platform import Platform, parse_platform

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")


def scan(
    text: str,
    *,
    target: str = "",
    args: Mapping[str, str] | None = None,
    contexts: Mapping[str, str] | None = None,
) -> Scan:
    options = BuildOptions((AMD64, ARM64), AMD64, target, args or {}, contexts or {})
    return scan_dockerfile(text, "Dockerfile", options)


def images(found: Scan) -> list[tuple[int, str, str, str]]:
    return [
        (need.line, need.by, need.reference.familiar, ", ".join(map(str, need.platforms)))
        for need in found.images
    ]


BOTH = "linux/amd64, linux/arm64"


def test_every_need_says_where_and_by_what_and_for_which_platforms() -> None:
    found = scan(
        "# syntax=docker/dockerfile:1\n"
        "FROM --platform=$BUILDPLATFORM golang:alpine AS build\n"
        "RUN --mount=type=bind,from=tools,target=/t make\n"
        "FROM alpine\n"
        "COPY --from=build /a /a\n"
        "COPY --from=busybox:1 /b /b\n"
        "ADD https://x.test/y /y\n"
    )
    assert images(found) == [
        (1, "# syntax", "docker/dockerfile:1", "linux/amd64"),
        (2, "FROM", "golang:alpine", "linux/amd64"),
        (3, "RUN --mount", "tools:latest", BOTH),
        (4, "FROM", "alpine:latest", BOTH),
        (6, "COPY --from", "busybox:1", BOTH),
    ]
    assert [(need.url, need.line) for need in found.urls] == [("https://x.test/y", 7)]
    assert found.runs
    assert found.downloads


def test_what_is_not_built_is_not_needed() -> None:
    text = "FROM a AS x\nRUN y\nFROM b AS z\nADD https://x.test/y /\n"
    assert images(scan(text)) == [(3, "FROM", "b:latest", BOTH)]
    only = scan(text, target="x")
    assert images(only) == [(1, "FROM", "a:latest", BOTH)]
    assert (only.urls, only.runs) == ((), True)
    options = BuildOptions((AMD64,), AMD64)
    stages = Stages(parse_dockerfile(text, "Dockerfile"), options, AMD64)
    assert stages.numbers == {1}


def test_a_run_without_a_network_fetches_nothing() -> None:
    assert not scan("FROM a\nRUN --network=none git clone https://x\n").downloads


def test_onbuild_of_an_image_is_asked_for() -> None:
    asked = []

    def onbuild(reference: object, platform: Platform) -> list[str]:
        asked.append((str(reference), str(platform)))
        return ["COPY --from=b / /"]

    options = BuildOptions((ARM64,), AMD64)
    text = "FROM --platform=$BUILDPLATFORM a AS x\nFROM a\nCOPY --from=x / /\n"
    found = scan_dockerfile(text, "Dockerfile", options, onbuild)
    assert sorted(set(asked)) == [
        ("docker.io/library/a:latest", "linux/amd64"),
        ("docker.io/library/a:latest", "linux/arm64"),
        ("docker.io/library/b:latest", "linux/arm64"),
    ]
    assert (2, "ONBUILD", "b:latest", "linux/arm64") in images(found)


@pytest.mark.parametrize("name", ["base", "base:latest", "docker.io/library/base"])
def test_a_context_takes_the_place_of_an_image(name: str) -> None:
    text = "FROM base\nRUN x\nCOPY --from=base / /\nCOPY --from=other / /\n"
    found = scan(text, contexts={name: "../base"})
    assert images(found) == [(4, "COPY --from", "other:latest", BOTH)]
    assert found.runs


def test_a_context_may_be_an_image() -> None:
    found = scan("FROM base\n", contexts={"base": "docker-image://alpine:3"})
    assert images(found) == [(1, "FROM", "alpine:3", BOTH)]
    assert images(scan("FROM base\n", contexts={"base": "docker-image://scratch"})) == []


def test_a_context_takes_the_place_of_a_stage() -> None:
    text = "FROM a AS x\nADD https://x.test/y /\nFROM b\nCOPY --from=x / /\n"
    found = scan(text, contexts={"x": "target:y"})
    assert images(found) == [(3, "FROM", "b:latest", BOTH)]
    assert found.urls == ()


def test_a_context_may_be_for_one_platform() -> None:
    found = scan("FROM base\n", contexts={"base::linux/arm64": "x"})
    assert images(found) == [(1, "FROM", "base:latest", "linux/amd64")]


def test_the_frontend_can_be_given() -> None:
    text = "# syntax=a:1\nFROM scratch\n"
    found = scan(text, args={"BUILDKIT_SYNTAX": " b:2 x"})
    assert images(found) == [(1, "# syntax", "b:2", "linux/amd64")]
    assert "is not an image reference" in scan("# syntax=A:\nFROM scratch\n").hints[0].text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("FROM $BASE\n", "'$BASE' cannot be decided: BASE has no value"),
        ("FROM a:$TAG\n", "'a:$TAG' cannot be decided: TAG has no value"),
        ("FROM --platform=$P a\n", "'$P' cannot be decided: P has no value"),
        ("FROM --platform=x/y/z/0 a\n", "it is not a name that BuildKit takes"),
        ("FROM a\nADD https://x.test/$V /\n", "https://x.test/$V needs a value of V"),
        ("FROM a\nENV W=$V\nADD https://x.test/$W /\n", "https://x.test/$W needs a value of W"),
        ("FROM a\nADD git@x.test:y/z.git /\n", "git fetches git@x.test:y/z.git"),
        ("FROM a\nRUN git clone https://x.test/y\n", "git fetches with POST requests"),
    ],
)
def test_what_cannot_be_decided_or_recorded_is_hinted_at(text: str, hint: str) -> None:
    found = scan(text).hints
    assert len(found) == 1
    assert hint in found[0].text
    assert found[0].remedy


@pytest.mark.parametrize(
    "text", ["FROM dep\n", "FROM a AS dep\nFROM dep\n", "FROM a\nCOPY --from=dep / /\n"]
)
@pytest.mark.parametrize(
    ("context", "hinted"),
    [
        ("https://x.test/y.git#v1", True),
        ("git@x.test:y", True),
        ("github.com/x/y", True),
        ("https://x.test/y.tar.gz", False),
        ("docker-image://y", False),
        ("../github.com/x/y", False),
    ],
)
def test_a_build_context_that_git_fetches_is_hinted_at(
    text: str, context: str, hinted: bool
) -> None:
    hints = [hint.text for hint in scan(text, contexts={"dep": context}).hints]
    assert hints == ([f"git fetches {context}"] if hinted else [])


def test_undecided_names_leave_the_rest() -> None:
    found = scan("FROM $BASE AS x\nFROM a\nCOPY --from=x / /\n")
    assert images(found) == [(2, "FROM", "a:latest", BOTH)]
    assert len(found.hints) == 1


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("FROM a\nCOPY --from=$B / /\n", "expands no variables in COPY --from", "name a stage"),
        ("FROM a\nRUN --mount=from=$B,target=/b x\n", "expands no variables", "name a stage"),
        ("FROM a\nCOPY --from=3 / /\n", "there is no stage 3", ""),
        ("FROM a AS x\nCOPY --from=x / /\n", "copy from each other", ""),
    ],
)
def test_what_buildkit_refuses_is_refused_with_its_line(
    text: str, message: str, remedy: str
) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        scan(text)
    assert raised.value.message.startswith("Dockerfile:")
    assert remedy in raised.value.remedy


def test_a_target_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="no stage 'z'") as raised:
        scan("FROM a AS x\nFROM b AS y\n", target="z")
    assert raised.value.remedy == "stages: x, y"


def test_values_cannot_grow_beyond_measure() -> None:
    doubled = "".join(f"ARG A{n + 1}=$A{n}$A{n}\n" for n in range(100))
    with pytest.raises(UsageError, match="a word is longer than"):
        scan(f"ARG A0=xxxxxxxx\n{doubled}FROM a:$A100\n")
    with pytest.raises(UsageError, match="a word is longer than"):
        scan(f"FROM a\nADD https://x.test/{'y' * 20_000} /\n")


@pytest.mark.parametrize("pattern", ["${V##*a*a*a*a*b}", "${V//*a*a*a*a*b/x}", "${V%$P}"])
def test_patterns_cannot_take_ages(pattern: str) -> None:
    lines = f"ARG V={'a' * 15_000}\nARG P=*a*a*a*a*b\nFROM {pattern}\n"
    with pytest.raises(UsageError, match="too many wildcards"):
        scan(lines)
    (need,) = scan("ARG V=a-b-c\nFROM ${V##*-*-}\n").images
    assert need.reference.familiar == "c:latest"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://x.test/y.git", True),
        ("https://x.test/y.git#main", True),
        ("https://x.test/y.git?ref=v1", True),
        ("https://x.test/y%2Egit", True),
        ("SSH://git@x.test/y", True),
        ("https://x.test/y.git/", False),
        ("https://x.test/y", False),
        ("git://x.test/y", True),
        ("ssh://git@x.test/y", True),
        ("git@x.test:y", True),
        ("ftp://x.test/y.git", False),
        ("x.test/y.git", False),
        ("y.git", False),
        ("https://[x/y.git", False),
    ],
)
def test_git_sources_are_told_from_files_and_urls(source: str, expected: bool) -> None:
    assert is_git(source) is expected


def test_scans_are_united() -> None:
    one = scan_dockerfile("FROM a\n", "one", BuildOptions((AMD64,), AMD64))
    two = scan_dockerfile("FROM a\nRUN x\n", "two", BuildOptions((ARM64,), AMD64))
    hint = Hint("text", "remedy", "two", 1)
    both = unite([two, one, Scan(hints=(hint,)), Scan(hints=(hint,))])
    assert [need.file for need in both.images] == ["one", "two"]
    assert both.images[1].platforms == (parse_platform("linux/arm64"),)
    assert both.hints == (hint,)
    assert both.runs
    assert unite([]) == Scan()


def test_a_hint_is_a_sentence_with_the_way_round() -> None:
    (hint,) = scan("FROM a\nRUN curl -d x https://b\n").hints
    assert hint.sentence.startswith("Dockerfile:2: curl sends something other than GET: fetch it")
