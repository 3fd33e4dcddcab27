"""The plot: seconds of each tool, a panel for each job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import START, Row, find

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 9.0, 3.2
"""Inches, of one panel."""
_FILLED = 0.85
"""Of the room between two data sets, what the bars of one take."""


def draw(rows: Sequence[Row], path: Path) -> None:
    """Writes the plot as SVG: the bar is the time without sync, the paler rest is the sync."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "airgap"  # the same bytes for the same results
    rows = [row for row in rows if row.job != START]
    jobs = list(dict.fromkeys(row.job for row in rows))
    tools = dict.fromkeys(row.tool for row in rows)
    colours = {tool: f"C{number}" for number, tool in enumerate(tools)}
    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(jobs)), layout="constrained")
    panels = figure.subplots(len(jobs), squeeze=False)[:, 0]
    for job, panel in zip(jobs, panels, strict=True):
        _draw_job(panel, [row for row in rows if row.job == job], colours)
    figure.savefig(path, metadata={"Date": None})


def _draw_job(panel: Axes, rows: Sequence[Row], colours: Mapping[str, str]) -> None:
    job = rows[0].job
    sets = list(dict.fromkeys(row.data for row in rows))
    tools = list(dict.fromkeys(row.tool for row in rows))
    width = _FILLED / len(tools)
    for number, tool in enumerate(tools):
        for position, data in enumerate(sets):
            row = find(rows, data, job, tool)
            if row is not None:
                place = position + (number - (len(tools) - 1) / 2) * width
                _bar(panel, row, place, width, colours[tool])
        panel.bar(0, 0, color=colours[tool], label=tool)  # for the legend
    panel.set_xticks(range(len(sets)), sets)
    panel.set_yscale("log")
    panel.margins(y=0.15)  # room for the legend
    panel.set_ylabel("seconds")
    synced = any(row.sync_seconds is not None for row in rows)
    panel.set_title(f"{job} (pale: with sync)" if synced else job)
    panel.legend(loc="upper left", fontsize="small", ncols=len(tools))


def _bar(panel: Axes, row: Row, place: float, width: float, colour: str) -> None:
    if row.sync_seconds is not None:
        panel.bar(place, row.sync_seconds, width, color=colour, alpha=0.4)
    if row.seconds is not None:
        panel.bar(place, row.seconds, width, color=colour)
