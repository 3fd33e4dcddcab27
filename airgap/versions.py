"""Versions of programs, found in what they print, and compared.

>>> version_in("github.com/docker/buildx v0.36.1 6a6b08b")
Version(numbers=(0, 36, 1), before_release=())
>>> version_in("1.0.0rc2") < version_in("1.0.0") < version_in("1.0.0.1")
True
>>> bool(version_in("no version"))
False
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

_VERSION = re.compile(
    r"(?<![\w.])v?(?P<numbers>[0-9]+(?:\.[0-9]+)+)"
    r"(?:[-.]?(?P<kind>alpha|beta|rc|a|b)[-.]?(?P<number>[0-9]*))?"
)
_KINDS = {"a": 1, "alpha": 1, "b": 2, "beta": 2, "rc": 3}


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A version.

    Attributes:
        numbers: Major, minor and further numbers; empty if there is no version.
        before_release: Kind and number of a pre-release; empty for a release.
    """

    numbers: tuple[int, ...] = ()
    before_release: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there is a version."""
        return bool(self.numbers)

    def __str__(self) -> str:
        """Return the numbers."""
        return ".".join(map(str, self.numbers))

    def __lt__(self, other: Version) -> bool:
        """Return whether this is older; no version is older than any other."""
        own, others = (
            (version.numbers, not version.before_release, version.before_release)
            for version in (self, other)
        )
        return own < others


def version_in(text: str) -> Version:
    """Return the first version in a text, which needs at least two numbers."""
    match = _VERSION.search(text)
    if match is None:
        return Version()
    kind = match["kind"]
    before = (_KINDS[kind], int(match["number"] or 0)) if kind else ()
    return Version(tuple(map(int, match["numbers"].split("."))), before)
