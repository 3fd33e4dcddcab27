"""The one strict reader of documents from outside: JSON and TOML, as parsed.

Each field is taken once, with its type and a rule; whatever is missing, of another type or left
over is refused by name.

>>> def refuse(why: str) -> Exception:
...     return ValueError(f"the file is broken: {why}")
>>> reader = Reader({"name": "site", "ports": [80]}, refuse)
>>> reader.text("name"), reader.number("port", 65535)
Traceback (most recent call last):
ValueError: the file is broken: port is missing
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Accept = Callable[[str], bool]
"""Whether a text keeps a field's rule."""
Refuse = Callable[[str], Exception]
"""Makes the error for a document, given the field and what is wrong with it."""
_SHOWN = 80


class Reader:
    """Takes typed fields out of one object.

    Args:
        value: The object, as it was parsed.
        refuse: Makes the error.
        where: What stands before a field's name in messages, such as `images[0].`.
        first: The number of the first entry of a list in messages: programs count from 0, people
            from 1.

    Raises:
        Exception: What `refuse` makes, also by every method: the field is missing or wrong.
    """

    def __init__(self, value: object, refuse: Refuse, where: str = "", *, first: int = 0) -> None:
        if not isinstance(value, dict):
            raise refuse(f"{where.rstrip('.') or 'it'} is not an object")
        self._rest: dict[str, Any] = dict(value)
        self._refuse, self._where, self._first = refuse, where, first

    def text(self, key: str, accept: Accept = str.isprintable) -> str:
        """Take a text that keeps a rule."""
        return self._accepted(key, self._take(key), accept)

    def texts(self, key: str, most: int, accept: Accept = str.isprintable) -> tuple[str, ...]:
        """Take a list of at most `most` texts that keep a rule."""
        return tuple(self._accepted(key, value, accept) for value in self._list(key, most))

    def number(self, key: str, most: int) -> int:
        """Take a whole number from 0 to `most`."""
        value = self._take(key)
        if type(value) is not int or not 0 <= value <= most:
            raise self.wrong(key, f"is not a whole number from 0 to {most}")
        return value

    def table(self, key: str) -> Reader:
        """Take an object, to be read by a reader of its own."""
        return self._inner(self._take(key), key)

    def tables(self, key: str, most: int) -> list[Reader]:
        """Take a list of at most `most` objects."""
        return [
            self._inner(value, f"{key}[{number}]")
            for number, value in enumerate(self._list(key, most), self._first)
        ]

    def mapping(self, accept_key: Accept, accept: Accept) -> dict[str, str]:
        """Take all fields: texts, whose names keep a rule too."""
        for key in self._rest:
            if not accept_key(key):
                raise self.wrong(key, "is an unknown key")
        return {key: self.text(key, accept) for key in tuple(self._rest)}

    def finish(self) -> None:
        """Refuse a field that was not taken."""
        for key in sorted(self._rest):
            raise self.wrong(key, "is an unknown key")

    def wrong(self, key: str, why: str) -> Exception:
        """Return the error for a field."""
        return self._refuse(f"{self._where}{ascii(key[:_SHOWN])[1:-1]} {why}")

    def _inner(self, value: object, name: str) -> Reader:
        return Reader(value, self._refuse, f"{self._where}{name}.", first=self._first)

    def _take(self, key: str) -> Any:  # noqa: ANN401 - any value of the document
        if key not in self._rest:
            raise self.wrong(key, "is missing")
        return self._rest.pop(key)

    def _list(self, key: str, most: int) -> list[Any]:
        value = self._take(key)
        if not isinstance(value, list) or len(value) > most:
            raise self.wrong(key, f"is not a list of at most {most} entries")
        return value

    def _accepted(self, key: str, value: object, accept: Accept) -> str:
        if not isinstance(value, str) or not value.isprintable():
            raise self.wrong(key, "is not printable text")
        if not accept(value):
            raise self.wrong(key, f"cannot be {value[:_SHOWN]!r}")
        return value


def fits(pattern: re.Pattern[str]) -> Accept:
    """Return the rule that a text is all of a pattern."""
    return lambda text: pattern.fullmatch(text) is not None
