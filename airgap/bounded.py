"""Reading JSON and TOML that anybody may have written, within bounds of size, number and depth.

Both readers of Python make many objects of few bytes: 64 MiB of `[{},{},...]` would take 3 GB. So
what separates or opens values is counted before anything is read.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from airgap.limits import LIMITS

# Fewer bytes a value than these, in a document as large as its limit, nobody writes.
_BYTES_A_VALUE = 16
_BYTES_A_TOML_VALUE = 8
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
# A key of many parts: tomllib's time for it grows with the square of their number.
_MOST_PARTS = 64
_PART = r"""(?:"[^"\n]*+"|'[^'\n]*+'|[A-Za-z0-9_-]++)"""
# What tomllib notes of each table that has a name of its own.
_VALUES_A_TABLE = 4
_TABLE = re.compile(rb"\n[ \t]*+\[(?!\[)")
# The patterns of tomllib need a hundred bytes for each digit of a number. No text has such a run.
_MOST_DIGITS = 65_536
_LONG_NUMBER = re.compile(rf"(?<![0-9A-Fa-f_])[0-9A-Fa-f_]{{{_MOST_DIGITS + 1}}}")
_DEEP_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_MOST_PARTS}}}")


def read_json(body: bytes | str, limit: int) -> Any:  # noqa: ANN401 - any JSON value
    """Read one JSON value.

    Args:
        body: The document; bytes are UTF-8.
        limit: How many bytes, or characters, it may have.

    Raises:
        ValueError: It is not JSON that all readers take alike (a key twice, half a character, no
            number), or passes a bound.
    """
    _check_size(body, limit)
    most = min(limit // _BYTES_A_VALUE, LIMITS.json_values)
    if _count(body, ",[{") > most:
        raise ValueError(f"it has more than {most} values")
    text = body if isinstance(body, str) else body.decode()
    try:
        document = json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates
        )
        if _HALF.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("it has half of a surrogate pair") from error
    except RecursionError as error:
        raise _too_deep() from error
    if _depth(document) > LIMITS.json_depth:
        raise _too_deep()
    return document


def read_toml(body: bytes, limit: int) -> dict[str, Any]:
    """Read a TOML document.

    Args:
        body: UTF-8.
        limit: How many bytes it may have.

    Raises:
        ValueError: It is not TOML, or passes a bound.
    """
    _check_size(body, limit)
    most = min(limit // _BYTES_A_TOML_VALUE, LIMITS.json_values)
    tables = sum(1 for _ in _TABLE.finditer(body))
    if _count(body, ",[{\n") + _VALUES_A_TABLE * tables > most:
        raise ValueError(f"it has more than {most} values")
    text = body.decode()
    if _LONG_NUMBER.search(text):
        raise ValueError(f"it has a number of more than {_MOST_DIGITS} digits")
    if _DEEP_KEY.search(text):
        raise _too_deep()
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise _too_deep() from error
    if _depth(document) > LIMITS.json_depth:
        raise _too_deep()
    return document


def _check_size(body: bytes | str, limit: int) -> None:
    if len(body) > limit:
        raise ValueError(f"it is larger than {limit} bytes")


def _count(body: bytes | str, characters: str) -> int:
    """Count these characters, in strings too: an upper bound for the number of values."""
    if isinstance(body, str):
        return sum(map(body.count, characters))
    return sum(body.count(character.encode()) for character in characters)


def _too_deep() -> ValueError:
    return ValueError(f"it is nested deeper than {LIMITS.json_depth} levels")


def _refuse_constant(text: str) -> None:
    """NaN and the infinities are Python's; other readers of JSON stop at them."""
    raise ValueError(text)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that is there twice, some readers take the first value and some the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _depth(value: object) -> int:
    """Count levels of nesting, without recursion: the input is not trusted yet."""
    depth, level = 0, [value]
    while level and depth <= LIMITS.json_depth:
        depth += 1
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
    return depth
