"""The results as a table for people, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.data import MB
from benchmarks.results import Row, Run, find, ratio
from benchmarks.targets import AIRGAP, Target

_NOTES = (
    "Seconds are medians; `times airgap` is how many times as long as airgap. CPU is user and "
    "system time, the median of all runs; peak is the most memory of one process in any run.",
    "Registries are on loopback; their CPU time and memory are not counted. "
    "All that is read is in the page cache.",
    "With sync: sync(2) follows the command and counts. Before each run it precedes it and does "
    "not count.",
    "Runs are of each kind, without and with sync. Who takes more than a minute runs in one round.",
    "A sample is of 100 images, one command for each; times are multiplied, also that of the sync.",
)
_SMALL = 0.1
"""Below it, a figure has three decimals."""
_COLUMNS = (
    "tool",
    "command",
    "runs",
    "s",
    "s with sync",
    "times airgap",
    "times airgap with sync",
    "CPU s",
    "peak MB",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What was measured where.

    Attributes:
        date: `2026-01-31`.
        command: The command line.
        machine: In words.
        versions: Each tool's.
        notes: What is special about these results.
    """

    date: str
    command: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Report:
    """All that is known in the end.

    Attributes:
        setting: What was measured where.
        failures: What did not work.
        runs: Every single one.
        rows: Medians.
        targets: What was to be reached.
    """

    setting: Setting
    failures: Sequence[str]
    runs: Sequence[Run]
    rows: Sequence[Row]
    targets: Sequence[Target]


def document(report: Report) -> dict[str, object]:
    """The report for programs."""
    targets = [{**asdict(target), "verdict": target.verdict} for target in report.targets]
    return {**asdict(report), "targets": targets}


def head(
    title: str, setting: Setting, notes: Sequence[str], targets: Sequence[Target]
) -> list[str]:
    """What every report begins with: where it was measured, and what was to be reached."""
    return [
        f"# {title}{setting.date}, {setting.machine['cores']} cores",
        f"`{setting.command}`",
        pairs(setting.machine),
        pairs(setting.versions),
        bullets((*notes, *setting.notes)),
        "## Targets",
        targets_table(targets),
    ]


def render(report: Report, plot: str) -> str:
    """The report as Markdown.

    Args:
        report: What to show.
        plot: File name of the plot, which lies beside.
    """
    parts = head("", report.setting, _NOTES, report.targets)
    if report.failures:
        parts += ["## What did not work", bullets(report.failures)]
    for data, job in dict.fromkeys((row.data, row.job) for row in report.rows):
        parts += [f"## {job} {data}".rstrip(), rows_table(report.rows, data, job)]
    parts += ["## Plot", f"![Seconds of each tool]({plot})"]
    return "\n\n".join(parts) + "\n"


def targets_table(targets: Sequence[Target]) -> str:
    """A line for each target."""
    return table(
        ("target", "at most", "measured", ""),
        [
            (
                target.what,
                f"{target.limit:g} {target.unit}",
                f"{target.figure:.2f} {target.unit}" if target.figure is not None else "-",
                target.verdict,
            )
            for target in targets
        ],
    )


def rows_table(rows: Sequence[Row], data: str, job: str) -> str:
    """A line for each tool that did a job with a data set."""
    chosen = [row for row in rows if (row.data, row.job) == (data, job)]
    ours = find(chosen, data, job, AIRGAP)
    return table(
        _COLUMNS,
        [
            (
                row.tool,
                f"`{row.does}`{_scaled(row)}",
                str(row.rounds),
                _number(row.seconds),
                _number(row.sync_seconds),
                _number(ratio(row, ours, sync=False)),
                _number(ratio(row, ours, sync=True)),
                _number(row.cpu_seconds),
                f"{row.peak_bytes / MB:.0f}",
            )
            for row in chosen
        ],
    )


def _scaled(row: Row) -> str:
    return f" (a sample, times {row.scale:g})" if row.scale != 1 else ""


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value >= _SMALL else f"{value:.3f}"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def pairs(named: Mapping[str, str]) -> str:
    """Names and values in a line."""
    return ", ".join(f"{name} {value}" for name, value in named.items())


def bullets(lines: Sequence[str]) -> str:
    """A list of Markdown."""
    return "\n".join(f"- {line}" for line in lines)
