"""The one way in which the project writes JSON and times, so that equal data has equal bytes.

>>> canonical({"b": 1, "a": "é"}).decode()
'{"a":"é","b":1}\\n'
>>> format_time(parse_time("2026-01-31T12:00:00Z"))
'2026-01-31T12:00:00Z'
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

_TIME = "%Y-%m-%dT%H:%M:%SZ"


def canonical(document: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return the one serialisation of a JSON value that this format allows."""
    text = json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode() + b"\n"


def parse_time(text: str) -> datetime:
    """Read `2026-01-31T12:00:00Z`.

    Raises:
        ValueError: Any other form.
    """
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def format_time(moment: datetime) -> str:
    """Write a moment in the form that `parse_time` reads."""
    return moment.astimezone(UTC).strftime(_TIME)


def is_time(text: str) -> bool:
    """Return whether it is a moment in the one form, and not before 1970: tar headers hold it."""
    try:
        moment = parse_time(text)
    except ValueError:
        return False
    return format_time(moment) == text and moment.timestamp() >= 0
