"""Dockerfiles as data: instructions with their places, grouped into stages, nothing resolved.

`e2b-dockerfile-utils`, a port of BuildKit's parser, does the reading. What is added here: the
`# syntax=` directive, ONBUILD with all that its trigger may have, where each instruction's word
ends, and stages. What names come to with arguments and platforms is in `stages.py`.

Source of the rules: `frontend/dockerfile/parser` and `instructions` of BuildKit 0.32.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airgap.errors import UsageError
from airgap.limits import LIMITS

if TYPE_CHECKING:
    from e2b_dockerfile_utils import DockerfileAst, DockerfileInstruction

_BOM = "\ufeff"
_SPACES = re.compile(r"[\t\v\f\r ]+")
_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_DIRECTIVES = ("syntax", "escape", "check")
_ONBUILD = re.compile(r"(\s*)onbuild(?=[\t\v\f\r ]+\S)", re.IGNORECASE)
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_UNTRIGGERED = ("FROM", "MAINTAINER", "ONBUILD")


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A text that follows an instruction.

    Attributes:
        name: Its terminator, without quotes.
        content: With the ends of its lines.
    """

    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, as written: no variable is expanded.

    Attributes:
        name: In capitals, such as `RUN`.
        text: The whole line, continuations joined, comments between them left out.
        flags: `--name=value` each, without quotes.
        args: What follows the flags, by the rules of the instruction: words for FROM, COPY, ADD
            and ARG; key, value and `=` by turns for ENV; one text for RUN in its shell form.
        exec_form: Whether `args` were given as JSON.
        heredocs: In order.
        line: Its first line, counted from 1.
        end_line: Its last line, the last heredoc's terminator included.
        word_line: The line on which the instruction's word ends; `line` but for oddities.
        word_end: How many characters of that line come before the end of the word: what is put
            there follows the word directly.
        stage: Number of its stage; -1 before the first FROM.
    """

    name: str
    text: str
    flags: tuple[str, ...]
    args: tuple[str, ...]
    exec_form: bool
    heredocs: tuple[Heredoc, ...]
    line: int
    end_line: int
    word_line: int
    word_end: int
    stage: int

    def flag(self, name: str) -> str:
        """Return the value of `--name=value`; empty if there is none."""
        return next(iter(self.flag_values(name)), "")

    def flag_values(self, name: str) -> tuple[str, ...]:
        """Return the values of a flag that may be repeated, in order."""
        start = f"--{name}="
        return tuple(flag.removeprefix(start) for flag in self.flags if flag.startswith(start))

    @property
    def trigger(self) -> str:
        """Of ONBUILD: what the image config keeps, and what a derived build runs."""
        heredocs = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in self.heredocs)
        return self.text.lstrip() + heredocs


@dataclass(frozen=True, slots=True)
class Stage:
    """What one FROM begins.

    Attributes:
        number: Counted from 0.
        name: In lower case; empty if it has none.
        base: As written.
        platform: The value of `--platform`, as written; empty if there is none.
        line: Of its FROM.
        instructions: Those that follow FROM.
    """

    number: int
    name: str
    base: str
    platform: str
    line: int
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A parsed Dockerfile.

    Attributes:
        file: What messages call it.
        syntax: The image of `# syntax=`; empty if the builder's own frontend reads the file.
        syntax_line: Where that stands; 0 if nowhere.
        escape: The escape character.
        instructions: All, FROM and the ARG lines before the first FROM included.
        stages: At least one.
    """

    file: str
    syntax: str
    syntax_line: int
    escape: str
    instructions: tuple[Instruction, ...]
    stages: tuple[Stage, ...]

    @property
    def global_args(self) -> tuple[Instruction, ...]:
        """The ARG lines before the first FROM."""
        return tuple(instruction for instruction in self.instructions if instruction.stage < 0)


def read_dockerfile(path: Path) -> str:
    """Return the text of a Dockerfile; bytes that are not UTF-8 become U+FFFD.

    Raises:
        UsageError: It cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LIMITS.dockerfile_bytes + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > LIMITS.dockerfile_bytes:
        raise _too_large(str(path))
    return data.decode(errors="replace")


def parse_dockerfile(text: str, file: str) -> Dockerfile:
    """Read a Dockerfile.

    Args:
        text: The file, with or without a byte order mark, lines ending in LF or CRLF.
        file: What messages call it.

    Raises:
        UsageError: BuildKit would refuse it, or it is too large; names file and line.
    """
    if len(text) > LIMITS.dockerfile_bytes:
        raise _too_large(file)
    instructions, escape = _instructions(text, file)
    stages = _stages(instructions, file)
    syntax, syntax_line = detect_syntax(text)
    return Dockerfile(file, syntax, syntax_line, escape, instructions, stages)


def parse_trigger(text: str, file: str, line: int) -> Instruction:
    """Read what an image's ONBUILD left for those that derive from it.

    Args:
        text: One instruction, as an image config has it.
        file: What messages call the Dockerfile that derives.
        line: Its FROM.

    Raises:
        UsageError: It is not one instruction, or not one that may be a trigger.
    """
    found, _ = _instructions(text, file)
    if len(found) != 1 or found[0].name in _UNTRIGGERED:
        raise UsageError(f"{file}:{line}: {text[:80]!r} is no ONBUILD trigger")
    return replace(found[0], line=line, end_line=line)


def detect_syntax(text: str) -> tuple[str, int]:
    """Return the frontend image that the first lines ask for, and the line; empty and 0 if none.

    `# syntax=`, `// syntax=` and a JSON file's `"syntax"` count, as for BuildKit.
    """
    lines = text.removeprefix(_BOM).split("\n")
    skipped = 1 if lines[0].startswith("#!") else 0
    for comment in ("#", "//"):
        for number, line in enumerate(lines[skipped:], start=skipped + 1):
            body = line.removeprefix(comment).lstrip()
            match = _DIRECTIVE.fullmatch(body) if line.startswith(comment) else None
            if match is None or match[1].lower() not in _DIRECTIVES:
                break
            if match[1].lower() == "syntax":
                return match[2].partition(" ")[0], number
    return _json_syntax("\n".join(lines[skipped:])), 0


def _json_syntax(text: str) -> str:
    if not text.lstrip().startswith("{"):
        return ""
    try:
        syntax = json.loads(text).get("syntax")
    except (ValueError, RecursionError):
        return ""
    return syntax if isinstance(syntax, str) else ""


def _instructions(text: str, file: str) -> tuple[tuple[Instruction, ...], str]:
    """Return all instructions, and the escape character.

    The library reads no trigger. So ONBUILD is blanked out, which makes the trigger an
    instruction like any other, with the very same places.
    """
    lines = text.split("\n")
    candidates = {number for number, line in enumerate(lines, start=1) if _ONBUILD.match(line)}
    ast = _parse(_blanked(lines, candidates), file)
    onbuild = candidates & {instruction.start_line for instruction in ast.instructions}
    if onbuild != candidates:  # the others are inside of something else, such as a heredoc
        ast = _parse(_blanked(lines, onbuild), file)
    found: list[Instruction] = []
    stage = -1
    for instruction in ast.instructions:
        triggered = instruction.start_line in onbuild
        if instruction.name == "ONBUILD" or (triggered and instruction.name in _UNTRIGGERED):
            raise _wrong(
                file,
                instruction.start_line,
                f"ONBUILD cannot have {instruction.original.strip()[:40]!r}",
            )
        stage += instruction.name == "FROM"
        found.append(_instruction(instruction, lines, ast.escape_token, stage, triggered=triggered))
    return tuple(found), ast.escape_token


def _blanked(lines: Sequence[str], numbers: set[int]) -> str:
    blanks = r"\1" + " " * len("ONBUILD")
    return "\n".join(
        _ONBUILD.sub(blanks, line, count=1) if number in numbers else line
        for number, line in enumerate(lines, start=1)
    )


def _parse(text: str, file: str) -> DockerfileAst:
    from e2b_dockerfile_utils import DockerfileSyntaxError, parse_dockerfile_ast

    try:
        return parse_dockerfile_ast(text)
    except DockerfileSyntaxError as error:
        message = str(error).partition(": ")[2]
        raise _wrong(file, error.line or 1, message[:300]) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not a Dockerfile: {str(error)[:300]}") from error


def _instruction(
    instruction: DockerfileInstruction,
    lines: Sequence[str],
    escape: str,
    stage: int,
    *,
    triggered: bool,
) -> Instruction:
    word = "ONBUILD" if triggered else instruction.name
    word_line, word_end = _end_of_word(lines, instruction.start_line, len(word), escape)
    args = instruction.args
    if instruction.name in ("ADD", "COPY") and not instruction.json:
        # The library minds quotes here, which BuildKit does not.
        args = [arg for arg in _SPACES.split(" ".join(args)) if arg]
    return Instruction(
        word,
        instruction.original,
        tuple(instruction.flags),
        tuple(args),
        instruction.json,
        tuple(Heredoc(heredoc.name, heredoc.content) for heredoc in instruction.heredocs),
        instruction.start_line,
        instruction.end_line,
        word_line,
        word_end,
        stage,
    )


def _end_of_word(lines: Sequence[str], line: int, length: int, escape: str) -> tuple[int, int]:
    """Return the end of the word in which the first `length` characters of an instruction end."""
    token = re.escape(escape)
    continued = re.compile(rf"(?<!{token}){token}[ \t]*$")
    left = length
    for number in range(line, len(lines) + 1):
        text = lines[number - 1].rstrip("\r\n")
        start = text.startswith(_BOM) if number == 1 else 0
        body = text[start:].lstrip()
        if number > line and (not body or body.startswith("#")):
            continue
        if left == length:  # blanks before the word
            start = len(text) - len(body)
        match = continued.search(text, start)
        end = match.start() if match else len(text)
        if end - start >= left:
            return number, start + left
        left -= end - start
    return line, 0


def _stages(instructions: Sequence[Instruction], file: str) -> tuple[Stage, ...]:
    inside: dict[int, list[Instruction]] = {}
    for instruction in instructions:
        if instruction.stage < 0 and instruction.name != "ARG":
            raise _wrong(file, instruction.line, f"{instruction.name} comes before the first FROM")
        inside.setdefault(instruction.stage, []).append(instruction)
    inside.pop(-1, None)
    if not inside:
        raise UsageError(f"{file} has no FROM", remedy="is it a Dockerfile?")
    return tuple(_stage(number, ones, file) for number, ones in inside.items())


def _stage(number: int, instructions: Sequence[Instruction], file: str) -> Stage:
    begin, *rest = instructions
    name = _stage_name(begin, file)
    return Stage(number, name, begin.args[0], begin.flag("platform"), begin.line, tuple(rest))


def _stage_name(instruction: Instruction, file: str) -> str:
    if len(instruction.args) == 1:
        return ""
    if len(instruction.args) != 3 or instruction.args[1].lower() != "as":  # noqa: PLR2004 - BASE AS NAME
        raise _wrong(file, instruction.line, "FROM needs an image, or an image AS a name")
    name = instruction.args[2].lower()
    if not _STAGE_NAME.fullmatch(name):
        raise _wrong(file, instruction.line, f"{instruction.args[2][:80]!r} cannot name a stage")
    return name


def _wrong(file: str, line: int, message: str) -> UsageError:
    return UsageError(f"{file}:{line}: {message}")


def _too_large(file: str) -> UsageError:
    return UsageError(f"{file} is larger than {LIMITS.dockerfile_bytes} bytes")
