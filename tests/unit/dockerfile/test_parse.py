"""Dockerfiles as data: the corpus shows what is read, these tests where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.dockerfile.parse import (
    Dockerfile,
    Instruction,
    parse_dockerfile,
    parse_trigger,
    read_dockerfile,
)
from airgap.dockerfile.scan import scan_dockerfile
from airgap.dockerfile.stages import BuildOptions
from airgap.errors import UsageError
from airgap.limits import LIMITS
from airgap.oci.platform import Platform
from tests.unit.dockerfile.corpus import CASES

AMD64 = Platform("linux", "amd64")
# What Dockerfiles are made of, and what may confuse who reads them.
PIECES = [
    *("FROM ", "a", " AS x", "ARG ", "A=1", "ENV ", "RUN ", "COPY ", "--from=", "ADD ", "ONBUILD "),
    *("--mount=", "type=bind,from=", "--platform=", "$A", "${A", ":-", "}", "%", "#", "//", "/"),
    *("\n", "\r\n", "\\\n", "`\n", "# escape=`\n", "# syntax=x\n", "<<EOF", "<<-", "EOF\n", "<<1"),
    *('["', '"]', "'", '"', "\\", "`", " ", "\t", "0", "scratch", "https://x/", "git@x:", "\ufeff"),
    *("[" * 3000, "${A:-" * 3000, "<", "=", ",", "\0", "é", "\udc80"),
]


def parse(text: str) -> Dockerfile:
    return parse_dockerfile(text, "Dockerfile")


def only(text: str) -> Instruction:
    """The instruction that follows FROM."""
    return parse(text).instructions[1]


@pytest.mark.parametrize("case", [case for case in CASES if not case.fails], ids=lambda c: c.name)
def test_every_word_of_the_corpus_ends_where_it_is_said_to(case: object) -> None:
    text = case.text  # type: ignore[attr-defined]
    for one in parse(text).instructions:
        before = text.split("\n")[one.word_line - 1][: one.word_end]
        word = before.split()[-1].removeprefix("\ufeff").upper()
        assert one.name.endswith(word)  # the whole word, or what a continuation left of it
        assert one.line <= one.word_line <= one.end_line


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("FROM a\nRUN x\n", "FROM a\nRUN! x\n"),
        ("FROM a\n\t run\tx\n", "FROM a\n\t run!\tx\n"),
        ("FROM a\nRUN --network=none x\n", "FROM a\nRUN! --network=none x\n"),
        ("FROM a\r\nRUN \\\r\n x\r\n", "FROM a\r\nRUN! \\\r\n x\r\n"),
        ("FROM a\nRUN\\\n x\n", "FROM a\nRUN!\\\n x\n"),
        ("FROM a\nR\\\n# y\nUN x\n", "FROM a\nR\\\n# y\nUN! x\n"),
        ("# escape=`\nFROM a\n`\n\n RUN `\nx\n", "# escape=`\nFROM a\n`\n\n RUN! `\nx\n"),
        ("FROM a\nRUN <<EOF\nRUN y\nEOF\n", "FROM a\nRUN! <<EOF\nRUN y\nEOF\n"),
        ('FROM a\nRUN ["x"]\n', 'FROM a\nRUN! ["x"]\n'),
    ],
)
def test_text_can_be_put_right_after_a_word(text: str, written: str) -> None:
    one = only(text)
    lines = text.split("\n")
    line = lines[one.word_line - 1]
    lines[one.word_line - 1] = line[: one.word_end] + "!" + line[one.word_end :]
    assert "\n".join(lines) == written


def test_an_instruction_has_what_was_written() -> None:
    one = only(
        'FROM a\nRUN --mount=type=cache,target=/x --mount="type=tmpfs,target=/y" \\\n  a b\n'
    )
    assert (one.name, one.args, one.exec_form) == ("RUN", ("a b",), False)
    assert one.flag_values("mount") == ("type=cache,target=/x", "type=tmpfs,target=/y")
    assert (one.flag("mount"), one.flag("network")) == ("type=cache,target=/x", "")
    assert (one.line, one.end_line, one.stage) == (2, 3, 0)
    assert only('FROM a\nRUN ["a b", "c"]\n').args == ("a b", "c")
    assert only('FROM a\nRUN ["a b", "c"]\n').exec_form


def test_heredocs_belong_to_their_instruction() -> None:
    one = only("FROM a\nRUN <<A cat <<-'B' >x\n1\nA\n\t2\n\tB\nUSER x\n")
    assert [(doc.name, doc.content) for doc in one.heredocs] == [("A", "1\n"), ("B", "\t2\n")]
    assert (one.line, one.end_line) == (2, 6)


def test_stages_have_their_instructions() -> None:
    dockerfile = parse("ARG A\nFROM --platform=$P a AS One\nRUN x\nFROM b\nRUN y\nUSER z\n")
    assert [one.name for one in dockerfile.global_args] == ["ARG"]
    first, second = dockerfile.stages
    assert (first.number, first.name, first.base, first.platform, first.line) == (
        *(0, "one", "a", "$P", 2),
    )
    assert [one.name for one in second.instructions] == ["RUN", "USER"]
    assert [one.stage for one in dockerfile.instructions] == [-1, 0, 0, 1, 1, 1]


def test_onbuild_keeps_its_trigger() -> None:
    one = only("FROM a\n  onbuild  RUN --network=none \\\n <<EOF\nx\nEOF\n")
    assert (one.name, one.line, one.end_line) == ("ONBUILD", 2, 5)
    assert one.trigger == "RUN --network=none  <<EOF\nx\nEOF"
    trigger = parse_trigger(one.trigger, "Dockerfile", 7)
    assert (trigger.name, trigger.flags, trigger.line) == ("RUN", ("--network=none",), 7)
    assert trigger.heredocs[0].content == "x\n"


@pytest.mark.parametrize("text", ["", "RUN x\nRUN y", "FROM a", "MAINTAINER x", "ONBUILD RUN x"])
def test_what_is_no_trigger_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_trigger(text, "Dockerfile", 1)


@pytest.mark.parametrize(
    ("text", "syntax", "line"),
    [
        ("# syntax=a/b:1\nFROM a\n", "a/b:1", 1),
        ("FROM a\n", "", 0),
        ("// syntax=a/b\nFROM a\n", "a/b", 1),
        ("#!/x\n#syntax = a/b c\nFROM a\n", "a/b", 2),
    ],
)
def test_the_frontend_is_found(text: str, syntax: str, line: int) -> None:
    if text.startswith("//"):  # another frontend's language
        from airgap.dockerfile.parse import detect_syntax

        assert detect_syntax(text) == (syntax, line)
        assert detect_syntax('{"syntax": "a/b", "x": 1}') == (syntax, 0)
        assert detect_syntax("{" * 5000) == ("", 0)
        return
    dockerfile = parse(text)
    assert (dockerfile.syntax, dockerfile.syntax_line) == (syntax, line)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM a\nFETCH x\n", "Dockerfile:2: unknown instruction: FETCH"),
        ("FROM a\nRUN <<EOF\n", "Dockerfile:2: unterminated heredoc"),
        ("RUN x\n", "Dockerfile:1: RUN comes before the first FROM"),
        ("FROM a b\n", "Dockerfile:1: FROM needs an image, or an image AS a name"),
        ("FROM a\nONBUILD FROM b\n", "Dockerfile:2: ONBUILD cannot have 'FROM b'"),
        ("# x\n", "Dockerfile has no FROM"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert raised.value.message == message


def test_a_file_is_read_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_bytes(b"FROM a\nRUN \xff\n")
    assert read_dockerfile(path) == "FROM a\nRUN \ufffd\n"
    path.write_bytes(b"FROM a\n" + b"#" * LIMITS.dockerfile_bytes)
    with pytest.raises(UsageError, match="is larger than"):
        read_dockerfile(path)
    with pytest.raises(UsageError, match="is larger than"):
        parse("#" * (LIMITS.dockerfile_bytes + 1))
    with pytest.raises(UsageError, match="cannot read"):
        read_dockerfile(tmp_path)


def test_many_stages_are_no_trouble() -> None:
    count = 20_000
    text = "FROM a AS s0\n" + "".join(f"FROM s{n} AS s{n + 1}\n" for n in range(count))
    scan = scan_dockerfile(text, "Dockerfile", BuildOptions((AMD64,), AMD64))
    assert [need.line for need in scan.images] == [1]


@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_text_is_a_dockerfile_or_a_usage_error(text: str) -> None:
    try:
        dockerfile = parse(text)
    except UsageError:
        return
    assert dockerfile.stages
    try:
        scan_dockerfile(text, "Dockerfile", BuildOptions((AMD64,), AMD64))
    except UsageError as error:
        assert error.message.startswith("Dockerfile")
