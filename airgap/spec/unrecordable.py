"""What a RUN line does that no recording can hold, found by its words, with the way round.

BuildKit's proxy hands over GET alone: everything else is refused while recording and replaying.
These are patterns over shell text, so they may be wrong both ways; they are hints, never errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Where a command may begin: at the start, after an operator, or after what runs another.
_START = r"(?:^|[;&|(\n`]|\b(?:then|else|do|sudo|exec|time|env)\s)\s*(?:\w+=\S*\s+)*(?:\S*/)?"
_REST = r"(?:[^;&|\n\\]|\\.)*?"


@dataclass(frozen=True, slots=True)
class _Pattern:
    name: str
    command: re.Pattern[str]
    remedy: str


def _pattern(name: str, command: str, remedy: str) -> _Pattern:
    return _Pattern(name, re.compile(_START + command, re.DOTALL), remedy)


_ARCHIVE = "fetch an archive of the commit in its place: curl -fsSL https://…/COMMIT.tar.gz"
_CONTEXT = "fetch it before the build, and COPY it from the context"
_PATTERNS = (
    _pattern(
        "git fetches over ssh",
        rf"git\s{_REST}(?:clone|fetch|pull|submodule|ls-remote)\b{_REST}"
        r"(?:ssh://|[\w.-]+@[\w.-]+:)",
        _ARCHIVE,
    ),
    _pattern(
        "git fetches with POST requests",
        rf"git\s{_REST}(?:clone|fetch|pull|submodule\s+update|ls-remote)\b",
        _ARCHIVE,
    ),
    _pattern(
        "curl sends something other than GET",
        rf"curl\s{_REST}(?<=\s)(?:-X\s*['\"]?(?!GET)[A-Z]|--request[\s=]['\"]?(?!GET)[A-Z]|"
        r"--data|--form|--json|--head|--upload-file|-[a-zA-Z]*[dFIT]\b)",
        _CONTEXT,
    ),
    _pattern(
        "wget sends something other than GET",
        rf"wget\s{_REST}(?<=\s)(?:--post-|--method[\s=]['\"]?(?!GET)[A-Z]|--body-|--spider)",
        _CONTEXT,
    ),
    _pattern(
        "ftp is not HTTP",
        rf"(?:(?:curl|wget)\s{_REST}ftps?://|(?:l?ftp|sftp)\s)",
        _CONTEXT,
    ),
    _pattern("ssh, scp and rsync are not HTTP", r"(?:ssh|scp|rsync)\s", _CONTEXT),
    _pattern(
        "the build has no Docker to talk to",
        r"(?:docker|podman|skopeo|crane)\s",
        "use FROM or COPY --from=IMAGE in its place",
    ),
)


@dataclass(frozen=True, slots=True)
class Unrecordable:
    """One finding: what it is, and the way round."""

    text: str
    remedy: str


def unrecordable(script: str) -> Iterator[Unrecordable]:
    """What a shell script does that cannot be recorded, each kind once, in a fixed order.

    Args:
        script: The text of a RUN with its heredocs.
    """
    shell = re.sub(r"(?m)(^|\s)#[^\n]*", r"\1", script)
    found = {one.name: one for one in _PATTERNS if one.command.search(shell)}
    if "git fetches over ssh" in found:
        found.pop("git fetches with POST requests", None)
    for one in found.values():
        yield Unrecordable(one.name, one.remedy)
