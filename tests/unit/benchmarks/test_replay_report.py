from __future__ import annotations

import json

from benchmarks.measure import Measurement
from benchmarks.replay_report import (
    JOB,
    MIRROR,
    PROXY,
    RECORDED,
    REPLAYED,
    ReplayReport,
    Size,
    document,
    render,
    replay_targets,
    sizes_table,
    ways_table,
)
from benchmarks.report import Setting
from benchmarks.results import Run, rows_of

_SECONDS = {MIRROR: 2.0, PROXY: 2.2, RECORDED: 3.6, REPLAYED: 2.4}
_SIZE = Size("pip", 10, 2_000_000, 1_000_000, 1_010_000)


def some_report() -> ReplayReport:
    runs = [
        Run("pip", JOB, way, "", Measurement(seconds, 1.0, 50_000_000 * (way == REPLAYED)))
        for way, seconds in _SECONDS.items()
    ]
    rows = rows_of(runs)
    setting = Setting("2026-01-31", "python -m x", {"cores": "2"}, {"buildx": "v1"}, [])
    return ReplayReport(setting, runs, rows, [_SIZE], replay_targets(rows, [_SIZE]))


def test_targets_are_of_times_and_of_the_size() -> None:
    replayed, recorded, size = some_report().targets
    assert (replayed.figure, replayed.limit, replayed.verdict) == (1.2, 1.1, "NOT met")
    assert (recorded.limit, recorded.verdict) == (1.25, "NOT met")
    assert (size.figure, size.limit, size.verdict) == (1.01, 1.02, "met")


def test_there_is_no_target_for_the_time_of_builds_that_only_download() -> None:
    runs = [
        Run(data, JOB, way, "", Measurement(seconds, 1.0, 0))
        for data in ("small", "both", "pip, downloads alone")
        for way, seconds in _SECONDS.items()
    ]
    assert replay_targets(rows_of(runs), []) == []


def test_the_table_compares_each_way_with_the_mirror_and_the_proxy() -> None:
    *_, recorded, replayed = ways_table(some_report().rows, "pip").splitlines()
    assert recorded == "| recorded | 1 | 3.60 | 1.80 | 1.64 | 1.00 | - |"
    assert replayed == "| replayed | 1 | 2.40 | 1.20 | 1.09 | 1.00 | 50 |"


def test_the_size_counts_duplicates_once() -> None:
    *_, line = sizes_table([_SIZE]).splitlines()
    assert line == "| pip | 10 | 2.00 | 1.00 | 1.01 | 1.00% |"


def test_the_markdown_and_the_json_have_everything() -> None:
    text = render(some_report())
    assert "| pip: time replayed / mirror | 1.1 x | 1.20 x | NOT met |" in text
    assert "\n## pip\n" in text
    read = json.loads(json.dumps(document(some_report())))
    assert len(read["runs"]) == len(_SECONDS)
    assert [target["verdict"] for target in read["targets"]] == ["NOT met", "NOT met", "met"]
