"""What recording and replaying are to cost at most, and a table of what they do cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from benchmarks.data import MB
from benchmarks.report import Setting, head, table
from benchmarks.results import Row, Run, find, ratio
from benchmarks.targets import Target

JOB = "build"
MIRROR, PROXY, RECORDED, REPLAYED = "mirror", "proxy", "recorded", "replayed"
PROJECTS = ("pip", "npm")
"""Downloads that a build does something with, as projects do: there are targets for its time."""

_REPLAYED_MOST = 1.1
_RECORDED_MOST = 1.25
"""As a time; as a speed that is 0.8 times."""
_SIZE_MOST = 1.02
_NOTES = (
    "Seconds are medians of the wall time of the whole command; CPU is user and system time of "
    "the command with all it starts (buildx, airgap), not of BuildKit and nginx. "
    "Peak is the most memory of the airgap process alone, in any run.",
    "mirror: docker buildx build, RUN steps reach nginx on loopback directly.",
    "proxy: the same on BuildKit's proxy network, which buildkitd.toml gives to all builds; the "
    "source policy leads straight to nginx. Nothing of airgap takes part.",
    "recorded: by airgap's recorder, with nginx behind it; proxy network as in proxy.",
    "replayed: from that recording, as airgap build does it; proxy network as in proxy. The CA of "
    "the proxy is known from an earlier build, but for the first one.",
    "small: 1000 files, half of them one after another. large: 4 files. both: small and large. "
    "pip and npm: they install a service's packages, from an index and a registry of their own.",
    "Ways take turns in each round. Builds are without cache; the base is unpacked before. What is "
    "read is in the page cache, and sync(2) precedes each run.",
    "Downloads alone keep no image; other builds end with an OCI archive of the image.",
    "Targets for time are for builds that do something with what they download: pip and npm, to an "
    "OCI archive. The others only download, and show what requests and bytes cost beside nothing "
    "else: what of them would not meet the targets stands in their tables.",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a recording is.

    Attributes:
        data: Name of the downloads.
        responses: How many there were.
        downloaded_bytes: Of all bodies.
        distinct_bytes: Of all bodies, the same ones once.
        tar_bytes: Of `replay.tar`.
    """

    data: str
    responses: int
    downloaded_bytes: int
    distinct_bytes: int
    tar_bytes: int


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """All that is known in the end.

    Attributes:
        setting: What was measured where.
        runs: Every single one.
        rows: Medians.
        sizes: One for each of the downloads.
        targets: What was to be reached.
    """

    setting: Setting
    runs: Sequence[Run]
    rows: Sequence[Row]
    sizes: Sequence[Size]
    targets: Sequence[Target]


def replay_targets(rows: Sequence[Row], sizes: Sequence[Size]) -> list[Target]:
    """What is to be reached, and whether it is."""
    return [*_time_targets(rows), *_size_targets(sizes)]


def _time_targets(rows: Sequence[Row]) -> Iterator[Target]:
    limits = (
        (REPLAYED, MIRROR, _REPLAYED_MOST),
        (RECORDED, PROXY, _RECORDED_MOST),
    )
    for ours, theirs, limit in limits:
        for data in dict.fromkeys(row.data for row in rows if row.data in PROJECTS):
            figure = ratio(find(rows, data, JOB, ours), find(rows, data, JOB, theirs), sync=False)
            yield Target(f"{data}: time {ours} / {theirs}", limit, figure)


def _size_targets(sizes: Sequence[Size]) -> Iterator[Target]:
    for size in sizes:
        figure = size.tar_bytes / size.distinct_bytes
        what = f"{size.data}: bytes of replay.tar / downloaded, duplicates once"
        yield Target(what, _SIZE_MOST, figure)


def document(report: ReplayReport) -> dict[str, object]:
    """The report for programs."""
    targets = [{**asdict(target), "verdict": target.verdict} for target in report.targets]
    return {**asdict(report), "targets": targets}


def render(report: ReplayReport) -> str:
    """The report as Markdown."""
    parts = head("Recording and replaying: ", report.setting, _NOTES, report.targets)
    for data in dict.fromkeys(row.data for row in report.rows):
        parts += [f"## {data}", ways_table(report.rows, data)]
    parts += ["## Size of the recording", sizes_table(report.sizes)]
    return "\n\n".join(parts) + "\n"


def ways_table(rows: Sequence[Row], data: str) -> str:
    """A line for each way to build."""
    chosen = [row for row in rows if row.data == data]
    mirror, proxy = find(rows, data, JOB, MIRROR), find(rows, data, JOB, PROXY)
    return table(
        ("way", "runs", "s", "times mirror", "times proxy", "CPU s", "peak MB of airgap"),
        [
            (
                row.tool,
                str(row.rounds),
                _number(row.seconds),
                _number(ratio(row, mirror, sync=False)),
                _number(ratio(row, proxy, sync=False)),
                _number(row.cpu_seconds),
                f"{row.peak_bytes / MB:.0f}" if row.peak_bytes else "-",
            )
            for row in chosen
        ],
    )


def sizes_table(sizes: Sequence[Size]) -> str:
    """A line for each of the downloads."""
    return table(
        ("downloads", "files", "MB", "MB, duplicates once", "MB of replay.tar", "more"),
        [
            (
                size.data,
                str(size.responses),
                f"{size.downloaded_bytes / MB:.2f}",
                f"{size.distinct_bytes / MB:.2f}",
                f"{size.tar_bytes / MB:.2f}",
                f"{size.tar_bytes / size.distinct_bytes - 1:.2%}",
            )
            for size in sizes
        ],
    )


def _number(value: float | None) -> str:
    return f"{value:.2f}" if value is not None else "-"
