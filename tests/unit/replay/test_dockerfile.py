from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.dockerfile.parse import parse_dockerfile
from airgap.dockerfile.stages import BuildOptions
from airgap.errors import BuildError
from airgap.oci.platform import Platform
from airgap.replay.dockerfile import (
    is_foreign,
    is_outdated,
    needs,
    with_settings,
    without_syntax,
)
from airgap.replay.run_step_settings import Setting

_ONE = Setting("a", b"", "/a")
_MOUNT = " --mount=type=secret,id=a,target=/a,mode=0444"


def rewritten(text: str) -> str:
    return with_settings(text, parse_dockerfile(text, "Dockerfile"), [_ONE])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RUN apt-get update", f"RUN{_MOUNT} apt-get update"),
        ("run apt-get update", f"run{_MOUNT} apt-get update"),
        ("  RUN   a", f"  RUN{_MOUNT}   a"),
        ("RUN\ta", f"RUN{_MOUNT}\ta"),
        ('RUN ["a", "b"]', f'RUN{_MOUNT} ["a", "b"]'),
        ("RUN --network=none a", f"RUN{_MOUNT} --network=none a"),
        ("RUN \\\n  a \\\n  b", f"RUN{_MOUNT} \\\n  a \\\n  b"),
        ("RUN a \\\n# RUN is a comment\n  b", f"RUN{_MOUNT} a \\\n# RUN is a comment\n  b"),
        ("RUN <<EOF\nRUN text\nEOF", f"RUN{_MOUNT} <<EOF\nRUN text\nEOF"),
        ("RUN a\r\nRUN b\r", f"RUN{_MOUNT} a\r\nRUN{_MOUNT} b\r"),
    ],
)  # fmt: skip
def test_every_run_is_given_the_settings(before: str, after: str) -> None:
    assert rewritten(f"FROM a\n{before}\n") == f"FROM a\n{after}\n"


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nONBUILD RUN b\n",
        "FROM a\nCOPY RUN /\n",
        "# RUN a\nFROM a\nCMD RUN\n",
        "FROM a\nCOPY <<EOF /x\nRUN a\nEOF\n",
    ],
)
def test_nothing_else_is_touched(text: str) -> None:
    assert rewritten(text) == text


def test_another_escape_character_is_minded() -> None:
    text = "# escape=`\nFROM a\nRUN `\n  a\n"
    assert rewritten(text) == text.replace("RUN", f"RUN{_MOUNT}")


@given(st.lists(st.sampled_from(["RUN a", "RUN a \\\n b", "COPY a b", "# RUN", "", "ENV RUN=1"])))
def test_the_rest_stays_as_it_is(parts: list[str]) -> None:
    text = "\n".join(["FROM a", *parts])
    assert rewritten(text).replace(_MOUNT, "") == text
    before, after = parse_dockerfile(text, "D"), parse_dockerfile(rewritten(text), "D")
    assert [(one.name, one.line, one.args) for one in before.instructions] == [
        (one.name, one.line, one.args) for one in after.instructions
    ]


@pytest.mark.parametrize(
    ("syntax", "outdated"),
    [
        ("", False),
        ("docker/dockerfile:1", False),
        ("docker/dockerfile:1.10", False),
        ("docker/dockerfile:1.10.1-labs", False),
        ("docker/dockerfile:labs", False),
        ("docker/dockerfile", False),
        ("docker/dockerfile:1.9", True),
        ("docker.io/docker/dockerfile:1.4.3", True),
        ("docker/dockerfile:1.2-labs", True),
        ("docker/dockerfile:1.4@sha256:abc", True),
        ("registry.example:5000/docker/dockerfile:1.4", True),
        ("docker/dockerfile-upstream:1.6", True),
        ("example/nix:1.2", False),
    ],
)
def test_a_frontend_without_variables_for_steps_is_outdated(syntax: str, outdated: bool) -> None:
    assert is_outdated(syntax) is outdated


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# syntax=a:1\nFROM b\n", "\nFROM b\n"),
        ("# syntax=a:1\n# escape=`\nFROM b\n", "# escape=`\n\nFROM b\n"),
        ("# escape=`\n# syntax=a:1\n# check=b\n# c\n", "# escape=`\n# check=b\n\n# c\n"),
        ("#syntax=a:1\r\n#Escape = `\r\nFROM b\r\n", "#Escape = `\r\n\r\nFROM b\r\n"),
    ],
)  # fmt: skip
def test_other_directives_stay_first_and_no_instruction_moves(before: str, after: str) -> None:
    assert without_syntax(before, parse_dockerfile(before + "FROM b\n", "D")) == after


def test_what_is_no_dockerfile_is_told_from_one() -> None:
    assert is_foreign("example/nix:1.2")
    assert not is_foreign("")
    assert not is_foreign("registry.example:5000/docker/dockerfile:1")


_HOST = Platform("linux", "amd64")
_ADDRESSES = [
    f"{scheme}{host}{path}"
    for scheme in ("ssh://", "SSH://", "ssh://git@", "git://", "git@")
    for host in ("127.0.0.1:22", "x.test:", "$HOST:")
    for path in ("/y", "y.git", "/y.git#v1:folder", "/y?tag=v1")
]


@pytest.mark.parametrize("address", _ADDRESSES)
@pytest.mark.parametrize(
    "text", ["ADD {} /", "ADD --link a {} /", 'ADD ["{}", "/"]', "ENV A={}\nADD $A /"]
)
def test_what_git_would_fetch_never_gets_to_buildkit(text: str, address: str) -> None:
    parsed = parse_dockerfile(f"FROM a\n{text.format(address)}\n", "Dockerfile")
    with pytest.raises(BuildError) as raised:
        needs(parsed, BuildOptions((_HOST,), _HOST))
    assert "Dockerfile:" in raised.value.meaning
    assert "ADD an archive of the commit in its place" in raised.value.meaning


def test_a_build_context_of_git_never_gets_to_buildkit() -> None:
    parsed = parse_dockerfile("FROM a\nCOPY --from=dep / /\n", "Dockerfile")
    with pytest.raises(BuildError, match="git would fetch"):
        needs(parsed, BuildOptions((_HOST,), _HOST, contexts={"dep": "git@x.test:y"}))


def test_git_in_what_is_not_built_or_in_a_run_step_is_no_reason() -> None:
    text = "FROM a AS b\nADD git@x.test:y /\nFROM a\nRUN git clone https://x.test/y\n"
    assert needs(parse_dockerfile(text, "Dockerfile"), BuildOptions((_HOST,), _HOST)).hints
