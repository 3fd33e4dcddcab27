"""The words that people read, and the names in the code: see STYLE.md.

Run with `-k` and a part of a path to see what one file or package has to change.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import readme

ROOT = readme.README.parent
FOLDERS = ("airgap", "benchmarks", "bundles", "lab", "scripts", "tests")
# What STYLE.md bans, and how each word can be recognised without reading the sentence.
BANNED_WORDS = re.compile(
    r"(?i:\b(?:goes on|went on|in place of|anew|borne|bears? with|vouch(?:es|ed|ing)?"
    r"|mend(?:s|ed|ing)?|brings?|bringing|brought|shall|counts? still|of these(?! \w+s\b)"
    r"|for so long|(?:has|have|had) not (?:a|an|the|that|this|it|them|what|all|any)"
    r"|knows? not|given again|set-ups?|somebody's)\b)|(?<![Tt]here) is none\b"
)
# Words for things that have a noun of their own.
BANNED_NAMES = {
    *("asked", "brought", "mend", "one", "standing", "told", "wanted"),
    *("foreseen", "stock", "surplus", "united", "vouches", "well"),
}
_STRINGS = (tokenize.STRING, tokenize.COMMENT)


def sources() -> list[Path]:
    """Every Python file of the project but this one, scripts without a suffix included."""
    files = {path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    files |= {
        path
        for path in (ROOT / "scripts").iterdir()
        if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env python")
    }
    return sorted(files - {Path(__file__)})


def documents() -> list[Path]:
    """Every text for people: Markdown at the top and below the folders, and ready-made specs."""
    return sorted(
        [
            *ROOT.glob("*.md"),
            *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")),
            *(ROOT / "bundles").rglob("*.toml"),
        ]
    )


def readable(path: Path) -> Iterator[tuple[int, str]]:
    """Each comment, string and test name of a Python file, with its line."""
    text = path.read_text()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in _STRINGS:
            for offset, line in enumerate(token.string.split("\n")):
                yield token.start[0] + offset, line
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name.replace("_", " ")


def names(path: Path) -> Iterator[tuple[int, str]]:
    """Each name that a Python file gives to something, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(), ids=_relative)
def test_comments_strings_and_test_names_are_plain_english(path: Path) -> None:
    assert [(line, text) for line, text in readable(path) if BANNED_WORDS.search(text)] == []


@pytest.mark.parametrize("path", documents(), ids=_relative)
def test_documents_are_plain_english(path: Path) -> None:
    lines = enumerate(path.read_text().splitlines(), 1)
    quoted = path.name == "STYLE.md"  # its table lists the words to avoid
    assert [
        (number, line)
        for number, line in lines
        if BANNED_WORDS.search(line) and not (quoted and line.startswith("| "))
    ] == []


@pytest.mark.parametrize(
    "path", [path for path in sources() if "tests" not in path.parts], ids=_relative
)
def test_names_are_nouns_and_verbs_of_the_field(path: Path) -> None:
    kept = {"wanted"} if path.name == "lock.py" else set()  # it is a key in locks
    banned = BANNED_NAMES - kept
    assert [(line, name) for line, name in names(path) if name.strip("_") in banned] == []


@pytest.mark.parametrize(
    ("text", "banned"),
    [
        ("the same command goes on", True),
        ("Docker has not the image", True),
        ("the mirror has not been started", False),
        ("a bundle brings images", True),
        ("the amended commit relies on it", False),
        ("one of these files", False),
        ("of these it restores two", True),
        ("where there is none", False),
        ("a lock that is none", True),
    ],
)
def test_the_search_knows_words_from_parts_of_words(text: str, banned: bool) -> None:
    assert bool(BANNED_WORDS.search(text)) is banned
