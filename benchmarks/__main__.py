"""`python -m benchmarks`: measures, and writes the results to `benchmarks/results`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import click

from airgap.errors import UsageError
from benchmarks.command import run
from benchmarks.data import DATA_SETS, DataSet
from benchmarks.machine import describe_machine, versions
from benchmarks.plot import draw
from benchmarks.report import Report, Setting, document, render
from benchmarks.results import rows_of
from benchmarks.runs import Results, measure_data, measure_start, prepare
from benchmarks.targets import targets_of
from benchmarks.workplace import Workplace, workplace
from lab.prepare import ready

RESULTS = Path(__file__).parent / "results"
ALL = ",".join(DATA_SETS)


@click.command(help=__doc__)
@click.option("--sizes", default=ALL, show_default=True, help="The data sets.")
@click.option("--rounds", type=click.IntRange(1), help="Runs of each tool [default: 3 or 5].")
@click.option(
    "--hauler",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    envvar="HAULER",
    show_envvar=True,
    help="hauler's program; it takes part only if it is given.",
)
@click.option("--keep", is_flag=True, help="Keep the folders that runs start from.")
def main(sizes: str, rounds: int | None, hauler: str | None, keep: bool) -> None:
    """Measures everything and writes the results."""
    if find_spec("matplotlib") is None:
        raise UsageError("matplotlib is missing", remedy="pip install '.[bench]', or: make bench")
    chosen = _chosen(sizes)
    ready()
    results = Results()
    with workplace(hauler or "", keep=keep) as place:
        setting = _setting(place, _command(sizes, rounds, hauler))
        prepare(place.folder, chosen)
        measure_start(place, results)
        for data in chosen:
            measure_data(place, data, rounds or data.rounds, results)
    if keep:
        click.echo(f"kept: {place.folder}")
    rows = rows_of(results.runs)
    report = Report(setting, results.failures, results.runs, rows, targets_of(rows))
    _write(report, "" if sizes == ALL else f"-{sizes.replace(',', '-')}")


def _chosen(sizes: str) -> list[DataSet]:
    names = sizes.split(",")
    for name in names:
        if name not in DATA_SETS:
            raise UsageError(f"there is no data set {name!r}", remedy=f"choose from {ALL}")
    return [DATA_SETS[name] for name in names]


def _command(sizes: str, rounds: int | None, hauler: str | None) -> str:
    """The command line, without folders of this machine."""
    parts = ["python -m benchmarks", f"--sizes {sizes}"]
    parts += [f"--rounds {rounds}"] if rounds else []
    parts += [f"--hauler {Path(hauler).name}"] if hauler else []
    return " ".join(parts)


def _setting(place: Workplace, command: str) -> Setting:
    notes = [
        f"airgap {verb} has no --no-sync: it always syncs its files to disk."
        for verb in ("bundle", "install")
        if verb not in place.programs.unsynced
    ]
    if not place.programs.hauler:
        notes.append("hauler was not given, so it was not measured.")
    return Setting(
        date=datetime.now(UTC).date().isoformat(),
        command=command,
        machine=describe_machine(place.folder),
        versions=versions(place.programs),
        notes=notes,
    )


def _write(report: Report, part: str) -> None:
    """Writes JSON, Markdown and plot.

    Args:
        report: What to write.
        part: In the files' names, what of all data sets they are about; empty for all.
    """
    RESULTS.mkdir(exist_ok=True)
    name = f"{report.setting.date}-{report.setting.machine['cores']}cpu{part}"
    (RESULTS / f"{name}.json").write_text(json.dumps(document(report), indent=1) + "\n")
    draw(report.rows, RESULTS / f"{name}.svg")
    text = render(report, f"{name}.svg")
    (RESULTS / f"{name}.md").write_text(text)
    click.echo(text)


if __name__ == "__main__":
    run(main)
