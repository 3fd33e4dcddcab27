"""What airgap is to reach, compared with what it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.data import MB
from benchmarks.results import START, Row, find, ratio

AIRGAP = "airgap"
PYTHON = "python"
SMALL, LARGE, TIMES_LARGER = "1GB", "5GB", 5

_RATIOS = (
    ("bundle", "crane", 1.0),
    ("bundle", "regctl", 0.7),
    ("bundle", "hauler", 0.5),
    ("bundle", "skopeo", 0.2),
    ("install", "crane", 0.6),
    ("install", "hauler", 0.2),
)
_GROWTH = 1.2
_START = 6.0
_PEAK_MB = 100.0


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to reach.

    Attributes:
        what: In words.
        limit: The most that the figure may be.
        figure: What was measured; None if it was not.
        unit: Of both: `x` or `MB`.
    """

    what: str
    limit: float
    figure: float | None
    unit: str = "x"

    @property
    def verdict(self) -> str:
        """Whether it is met, in words."""
        if self.figure is None:
            return "not measured"
        return "met" if self.figure <= self.limit else "NOT met"


def targets_of(rows: Sequence[Row]) -> list[Target]:
    """All targets, in the order of the requirement."""
    return [*_rivals(rows), *_peaks(rows), *_growth(rows), _start(rows)]


def _rivals(rows: Sequence[Row]) -> Iterator[Target]:
    """airgap against each rival, with a sync on both sides or on none."""
    for job, rival, limit in _RATIOS:
        for data in (SMALL, LARGE):
            ours, theirs = find(rows, data, job, AIRGAP), find(rows, data, job, rival)
            for sync in (False, True):
                figure = ratio(ours, theirs, sync=sync)
                yield Target(f"{job} {data}, {_words(sync)}: airgap / {rival}", limit, figure)


def _peaks(rows: Sequence[Row]) -> Iterator[Target]:
    """The memory of airgap, wherever it was measured."""
    for row in rows:
        if row.tool == AIRGAP and row.job != START:
            what = f"{row.job} {row.data}: peak memory of airgap"
            yield Target(what, _PEAK_MB, row.peak_bytes / MB, "MB")


def _growth(rows: Sequence[Row]) -> Iterator[Target]:
    """More data takes no more than its share of time."""
    for job in ("bundle", "install"):
        small, large = find(rows, SMALL, job, AIRGAP), find(rows, LARGE, job, AIRGAP)
        for sync in (False, True):
            figure = ratio(large, small, sync=sync)
            share = figure / TIMES_LARGER if figure is not None else None
            what = f"{job}, {_words(sync)}: {LARGE} / {TIMES_LARGER} times {SMALL}"
            yield Target(what, _GROWTH, share)


def _start(rows: Sequence[Row]) -> Target:
    ours, bare = find(rows, "", START, AIRGAP), find(rows, "", START, PYTHON)
    figure = ratio(ours, bare, sync=False)
    return Target("airgap --version / a bare interpreter", _START, figure)


def _words(sync: bool) -> str:
    return "with sync" if sync else "without sync"
