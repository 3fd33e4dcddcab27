"""Each promise of the README's threat model names tests that are there."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.readme import README, section

ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.+) \|$", re.M)
NAMED = re.compile(r"`(tests/\w+(?:/\w+)*\.py)::(\w+)`")


def promises() -> list[tuple[str, str, str]]:
    """Promise, how it is kept, and its tests; without the table's head."""
    return ROW.findall(section("Threat model"))[1:]


@cache
def named_in(path: str) -> set[str]:
    """The names of all tests in a file."""
    tree = ast.parse((README.parent / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_there_are_promises() -> None:
    assert len(promises()) > 10
    assert len({promise for promise, _, _ in promises()}) == len(promises())


@pytest.mark.parametrize("promise", [promise for promise, _, _ in promises()])
def test_a_promise_is_held_by_tests_that_are_there(promise: str) -> None:
    (cell,) = (tests for known, _, tests in promises() if known == promise)
    named = NAMED.findall(cell)
    assert named
    assert NAMED.sub("", cell).replace(", ", "") == "", "something that is no test"
    missing = [f"{path}::{name}" for path, name in named if name not in named_in(path)]
    assert missing == []


def test_a_name_that_is_no_test_is_found() -> None:
    assert "test_that_is_not_there" not in named_in("tests/unit/test_threat_model.py")
    assert "test_there_are_promises" in named_in("tests/unit/test_threat_model.py")
