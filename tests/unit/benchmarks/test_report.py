from __future__ import annotations

import json

from benchmarks.measure import Measurement
from benchmarks.report import Report, Setting, document, render, rows_table, targets_table
from benchmarks.results import Run, rows_of
from benchmarks.targets import Target, targets_of


def some_runs() -> list[Run]:
    return [
        Run("1GB", "bundle", "airgap", "airgap bundle", Measurement(2, 1.5, 60_000_000)),
        Run("1GB", "bundle", "airgap", "airgap bundle", Measurement(4, 1.5, 61_000_000), sync=True),
        Run("1GB", "bundle", "oras", "oras cp", Measurement(0.004, 0.001, 9_000_000), scale=20),
    ]


def some_report() -> Report:
    setting = Setting("2026-01-31", "python -m benchmarks", {"cores": "2"}, {"oras": "v1"}, ["so"])
    rows = rows_of(some_runs())
    return Report(setting, ["1GB bundle crane: it failed"], some_runs(), rows, targets_of(rows))


def test_the_table_has_a_line_for_each_tool() -> None:
    *_, airgap, oras = rows_table(rows_of(some_runs()), "1GB", "bundle").splitlines()
    assert airgap == ("| airgap | `airgap bundle` | 1 | 2.00 | 4.00 | 1.00 | 1.00 | 1.50 | 61 |")
    assert oras == (
        "| oras | `oras cp` (a sample, times 20) | 1 | 0.080 | - | 0.040 | - | 0.020 | 9 |"
    )


def test_targets_say_whether_they_are_met() -> None:
    *_, met, missed, absent = targets_table(
        [Target("a", 1, 0.5), Target("b", 100, 101, "MB"), Target("c", 0.2, None)]
    ).splitlines()
    assert met == "| a | 1 x | 0.50 x | met |"
    assert missed == "| b | 100 MB | 101.00 MB | NOT met |"
    assert absent == "| c | 0.2 x | - | not measured |"


def test_the_markdown_has_everything() -> None:
    text = render(some_report(), "plot.svg")
    assert "\n## bundle 1GB\n" in text
    assert "(plot.svg)" in text
    assert "- so\n" in text
    assert "- 1GB bundle crane: it failed\n" in text


def test_the_json_has_every_run_and_every_verdict() -> None:
    read = json.loads(json.dumps(document(some_report())))
    assert read["runs"][1]["took"] == {
        "wall_seconds": 4,
        "cpu_seconds": 1.5,
        "peak_bytes": 61_000_000,
    }
    assert {target["verdict"] for target in read["targets"]} == {"met", "not measured"}
