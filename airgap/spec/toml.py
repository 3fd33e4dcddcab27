"""Writing TOML, for the files that people keep or carry."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NOT_PLAIN = re.compile(r"[^ !#-\[\]-~]")
_HALF = re.compile("[\ud800-\udfff]")


def text(value: str) -> str:
    """Return a TOML basic string; all but printable ASCII is escaped.

    Raises:
        ValueError: The value has half of a surrogate pair, which TOML cannot say.
    """
    if _HALF.search(value):
        raise ValueError("half of a surrogate pair")
    return '"' + _NOT_PLAIN.sub(lambda match: f"\\U{ord(match[0]):08x}", value) + '"'


def texts(values: Iterable[str]) -> str:
    """Return a TOML array of strings in one line.

    Raises:
        ValueError: See `text`.
    """
    return f"[{', '.join(map(text, values))}]"
