"""Sizes on the command line: `4GiB`, `700MB`, `512k`."""

from __future__ import annotations

import re

import click

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) *(?:([kmgt])(i?b?)|b)?(?:/s)?", re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only in recent versions
    """A number of bytes, with a unit: `MB` is 1000 x 1000, `MiB` and `M` are 1024 x 1024.

    Args:
        least: The smallest that is taken, in bytes.
    """

    name = "size"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the bytes.

        Raises:
            click.BadParameter: It is no size, or too small.
        """
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no size; write it like 4GiB, 700MB or 512k", param, ctx)
        number, unit, suffix = match.groups()
        base = 1000 if (suffix or "").lower() == "b" else 1024
        size = int(float(number) * base ** _POWERS[unit.lower()]) if unit else int(float(number))
        if size < self.least:
            self.fail(f"{value!r} is too small: at least {self.least} bytes", param, ctx)
        return size
