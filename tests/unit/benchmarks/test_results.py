from __future__ import annotations

import pytest

from benchmarks.measure import Measurement
from benchmarks.results import START, Run, find, ratio, rows_of
from benchmarks.targets import Target, targets_of


def run(  # noqa: PLR0913 - a run has so many properties
    tool: str,
    seconds: float,
    *,
    data: str = "1GB",
    job: str = "bundle",
    sync: bool = False,
    scale: float = 1.0,
    peak_bytes: int = 50_000_000,
) -> Run:
    took = Measurement(seconds, seconds / 2, peak_bytes)
    return Run(data, job, tool, f"{tool} does it", took, sync=sync, scale=scale)


def verdicts(runs: list[Run]) -> dict[str, str]:
    return {target.what: target.verdict for target in targets_of(rows_of(runs))}


def test_seconds_are_medians_of_each_kind() -> None:
    runs = [run("crane", seconds) for seconds in (1, 9, 2)]
    runs += [run("crane", seconds, sync=True) for seconds in (4, 3)]
    (row,) = rows_of(runs)
    assert (row.seconds, row.sync_seconds, row.rounds) == (2, 3.5, 3)
    assert row.cpu_seconds == 1.5  # of all five runs


def test_the_peak_is_the_most_of_all_runs() -> None:
    (row,) = rows_of([run("crane", 1, peak_bytes=peak) for peak in (10, 30, 20)])
    assert row.peak_bytes == 30


def test_times_of_a_sample_are_those_of_the_whole_and_memory_is_not() -> None:
    (row,) = rows_of([run("oras", 2, scale=20, peak_bytes=10)])
    assert (row.seconds, row.cpu_seconds, row.peak_bytes) == (40, 20, 10)


def test_rows_are_in_the_order_in_which_tools_first_ran() -> None:
    rows = rows_of([run("oras", 1), run("crane", 1), run("oras", 2), run("oras", 1, data="5GB")])
    assert [(row.data, row.tool) for row in rows] == [
        ("1GB", "oras"),
        ("1GB", "crane"),
        ("5GB", "oras"),
    ]


def test_ratios_are_of_like_with_like() -> None:
    runs = [run("crane", 2), run("crane", 6, sync=True), run("airgap", 1)]
    rows = rows_of([*runs, run("airgap", 2, sync=True)])
    crane, airgap = (find(rows, "1GB", "bundle", tool) for tool in ("crane", "airgap"))
    assert ratio(crane, airgap, sync=False) == 2
    assert ratio(crane, airgap, sync=True) == 3


def test_there_is_no_ratio_to_what_was_not_measured() -> None:
    rows = rows_of([run("airgap", 1)])
    airgap = find(rows, "1GB", "bundle", "airgap")
    assert ratio(airgap, find(rows, "1GB", "bundle", "crane"), sync=False) is None
    assert ratio(airgap, airgap, sync=True) is None


@pytest.mark.parametrize(
    ("figure", "verdict"), [(None, "not measured"), (0.7, "met"), (0.71, "NOT met")]
)
def test_a_target_is_met_up_to_its_limit(figure: float | None, verdict: str) -> None:
    assert Target("", 0.7, figure).verdict == verdict


def test_rivals_are_compared_without_and_with_a_sync() -> None:
    runs = [run("airgap", 1), run("crane", 1), run("skopeo", 4)]
    runs += [run("airgap", 3, sync=True), run("crane", 2, sync=True)]
    said = verdicts(runs)
    assert said["bundle 1GB, without sync: airgap / crane"] == "met"
    assert said["bundle 1GB, with sync: airgap / crane"] == "NOT met"
    assert said["bundle 1GB, without sync: airgap / skopeo"] == "NOT met"
    assert said["bundle 1GB, with sync: airgap / skopeo"] == "not measured"
    assert said["install 5GB, with sync: airgap / hauler"] == "not measured"


def test_memory_has_a_limit_for_every_size_and_job() -> None:
    runs = [run("airgap", 1, peak_bytes=99_000_000), run("crane", 1, peak_bytes=500_000_000)]
    runs += [run("airgap", 1, data="2000", job="verify", peak_bytes=101_000_000)]
    peaks = {what: said for what, said in verdicts(runs).items() if "peak" in what}
    assert peaks == {
        "bundle 1GB: peak memory of airgap": "met",
        "verify 2000: peak memory of airgap": "NOT met",
    }


def test_five_times_the_data_may_take_a_fifth_more_than_five_times_as_long() -> None:
    runs = [run("airgap", 1), run("airgap", 6, data="5GB")]
    runs += [run("airgap", 1, sync=True), run("airgap", 6.1, data="5GB", sync=True)]
    said = verdicts(runs)
    assert said["bundle, without sync: 5GB / 5 times 1GB"] == "met"
    assert said["bundle, with sync: 5GB / 5 times 1GB"] == "NOT met"
    assert said["install, with sync: 5GB / 5 times 1GB"] == "not measured"


def test_the_start_is_compared_with_a_bare_interpreter() -> None:
    runs = [run("airgap", 0.06, data="", job=START), run("python", 0.01, data="", job=START)]
    assert verdicts(runs)["airgap --version / a bare interpreter"] == "met"
    assert verdicts(runs[:1])["airgap --version / a bare interpreter"] == "not measured"
