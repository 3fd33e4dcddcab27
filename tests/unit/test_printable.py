"""What others wrote does nothing to a terminal, whichever way we print it."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.cli._shared.table import table
from airgap.cli.main import cli, run
from airgap.errors import ExitCode, UsageError
from airgap.printable import PrintableStream, printable, terminal
from airgap.progress import LineProgress, TqdmProgress

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07 \r overwritten \x08\x7f \x85 \x9b31m \u202egnp.exe \u2066 \u200b "
    "\u2028 \ufeff \U000e0041 \ud800"
)
# All categories: control, format, surrogate, private, unassigned.
foreign = st.text(st.characters(codec=None), max_size=40) | st.just(HOSTILE)


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@given(foreign)
def test_only_printable_characters_are_left_and_these_as_they_were(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    if text.isprintable():
        assert shown == text


@given(foreign, foreign, foreign)
def test_an_error_is_harmless_and_only_its_meaning_has_lines(
    message: str, meaning: str, remedy: str
) -> None:
    first, *others = str(UsageError(message, meaning=meaning, remedy=remedy)).split("\n")
    assert first == printable(message)
    assert all(line.isprintable() and line.startswith("  ") for line in others)


@given(foreign)
def test_a_line_of_progress_and_a_cell_of_a_table_are_one_line(text: str) -> None:
    out = io.StringIO()
    LineProgress(out).message(text)
    assert out.getvalue() == f"{printable(text)}\n"
    assert table([("head", "head"), (text, text)]).count("\n") == 1
    assert is_harmless(table([(text, "x")]))


@given(foreign)
def test_a_stream_writes_lines_that_are_harmless(text: str) -> None:
    raw = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    stream = PrintableStream(raw)
    print(text, file=stream)
    click.echo(text, file=stream)  # type: ignore[arg-type]
    stream.flush()
    assert is_harmless(raw.buffer.getvalue().decode().replace("\t", ""))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_the_terminal_has_no_characters_for_is_escaped(encoding: str) -> None:
    raw = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print("→ 語", file=PrintableStream(raw), flush=True)
    assert raw.buffer.getvalue() == b"\\u2192 \\u8a9e\n"


def test_there_is_no_way_around() -> None:
    stream = PrintableStream(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    with pytest.raises(AttributeError):
        stream.buffer  # noqa: B018
    with pytest.raises(TypeError):
        stream.write(b"bytes")  # type: ignore[arg-type]
    assert terminal(stream) is stream.stream  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-verb-\x1b[2J\x9b\u202e"],
        ["inspect", "/no\x1b[2J\x9b\u202e/such"],
        ["inspect", "--no-such-\x1b[2J\x9b\u202e"],
        ["bundle", "no such\x1b[2J\x9b\u202e", "-o", "out", "--dry-run"],
        ["bundle", "/no/such\x1b[2J\x9b\u202e.toml", "-o", "out", "--dry-run"],
        ["bundle", "a:1", "-o", "out", "--jobs", "\x1b[2J\x9b\u202e"],
    ],
)
def test_errors_of_the_command_line_are_harmless(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) != ExitCode.DONE
    shown = capfd.readouterr()
    assert is_harmless(shown.err)
    assert "\\x1b[2J" in shown.err


@pytest.mark.parametrize(
    "spec",
    [
        '"\\u001b[2J\\u202e" = 1\n',
        '[[images]]\nname = "a\\u001b[2J"\n',
        '[[images]]\nname = "a:1"\n"\\u001b[2J\\n\\u009b" = 1\n',
        "a = \x7f\n",
    ],
)
def test_what_a_file_says_is_harmless(
    spec: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site.toml").write_text(spec)
    out = str(tmp_path / "out")
    assert run(["bundle", str(tmp_path / "site.toml"), "-o", out, "--dry-run"]) == ExitCode.USAGE
    assert is_harmless(capfd.readouterr().err)


def test_questions_are_harmless(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def ask() -> None:
        click.confirm(f"Fetch {HOSTILE}?", err=True)
        click.prompt(f"Name of {HOSTILE}", err=True)
        click.prompt(f"Passphrase for {HOSTILE}")

    monkeypatch.setattr(cli, "get_command", lambda _context, _name: ask)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\nsite\nsecret\n"))
    assert run(["ask"]) == ExitCode.DONE
    shown = capfd.readouterr()
    assert is_harmless(shown.out + shown.err)
    assert (shown.out + shown.err).count("\\x1b]0;title") == 3


def test_a_bar_on_a_terminal_is_drawn_and_messages_above_it_are_harmless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as screen:
        monkeypatch.setattr(sys, "stderr", PrintableStream(screen))
        progress = TqdmProgress()
        progress.start(f"fetching {HOSTILE}", 10)
        progress.message(HOSTILE)
        progress.advance(10)
        progress.finish()
    data = b""
    with suppress(OSError):  # so a terminal ends whose program has ended
        while piece := os.read(ours, 65536):
            data += piece
    os.close(ours)
    drawn = data.decode()
    assert "100%" in drawn
    assert "\\x1b[2J" in drawn
    assert "\x1b[2J" not in drawn
    assert "\u202e" not in drawn


def test_json_stays_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.toml").write_text('name = "site"\n')
    value = {"path": HOSTILE, "more": ["é", "\n"]}

    @click.command()
    def show() -> None:
        click.echo(json.dumps(value))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "get_command", lambda _context, _name: show)
        assert run(["show"]) == ExitCode.DONE
    assert json.loads(capfd.readouterr().out) == value


def test_a_traceback_is_harmless() -> None:
    program = """
        import sys
        from airgap.cli import main
        def fail(_arguments: list[str]) -> int:
            raise RuntimeError("\\x1b[2J\\x9b\\u202e")
        main.run = fail
        main.main()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "RuntimeError: \\x1b[2J\\x9b\\u202e" in done.stderr
    assert is_harmless(done.stderr)
