"""From single runs to medians: no clocks and no files in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import Measurement

START = "start"
"""The job that is no work at all: what a command costs to start."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one tool took once.

    Attributes:
        data: Name of the data set.
        job: Name of the job.
        tool: Name of the tool.
        does: What people type.
        took: What was measured.
        sync: Whether the run ended only when all was on disk.
        scale: It did only a part of the work: the whole is so many times as much.
    """

    data: str
    job: str
    tool: str
    does: str
    took: Measurement
    sync: bool = False
    scale: float = 1.0

    @property
    def seconds(self) -> float:
        """Of the whole work."""
        return self.took.wall_seconds * self.scale


@dataclass(frozen=True, slots=True)
class Row:
    """What one tool takes: of several runs.

    Attributes:
        data: Name of the data set.
        job: Name of the job.
        tool: Name of the tool.
        does: What people type.
        scale: As in `Run`; the times here are of the whole work.
        rounds: How many runs there were of each kind.
        seconds: Median without a sync; None if there were no such runs.
        sync_seconds: Median with a sync; None if there were no such runs.
        cpu_seconds: Median of all runs.
        peak_bytes: The most of all runs.
    """

    data: str
    job: str
    tool: str
    does: str
    scale: float
    rounds: int
    seconds: float | None
    sync_seconds: float | None
    cpu_seconds: float
    peak_bytes: int

    def wall(self, *, sync: bool) -> float | None:
        """The median with a sync, or without."""
        return self.sync_seconds if sync else self.seconds


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """One row for each tool, job and data set, in the order in which they first ran."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.data, run.job, run.tool), []).append(run)
    return [_row(group) for group in groups.values()]


def _row(runs: Sequence[Run]) -> Row:
    first = runs[0]
    without = [run.seconds for run in runs if not run.sync]
    with_sync = [run.seconds for run in runs if run.sync]
    return Row(
        data=first.data,
        job=first.job,
        tool=first.tool,
        does=first.does,
        scale=first.scale,
        rounds=max(len(without), len(with_sync)),
        seconds=median(without) if without else None,
        sync_seconds=median(with_sync) if with_sync else None,
        cpu_seconds=median(run.took.cpu_seconds * run.scale for run in runs),
        peak_bytes=max(run.took.peak_bytes for run in runs),
    )


def find(rows: Sequence[Row], data: str, job: str, tool: str) -> Row | None:
    """The row of a tool, if it was measured."""
    key = (data, job, tool)
    return next((row for row in rows if (row.data, row.job, row.tool) == key), None)


def ratio(first: Row | None, second: Row | None, *, sync: bool) -> float | None:
    """How many times as long the first takes as the second; None if one was not measured."""
    if first is None or second is None:
        return None
    ours, theirs = first.wall(sync=sync), second.wall(sync=sync)
    return ours / theirs if ours is not None and theirs is not None else None
