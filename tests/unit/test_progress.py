"""Progress: what each observer shows, and that threads may report to it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.progress import (
    LineProgress,
    Progress,
    TqdmProgress,
    choose_progress,
    format_bytes,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def use(progress: Progress) -> None:
    with progress:
        progress.message("hello")
        progress.start("fetching", 2048)
        progress.advance(512)
        progress.advance(1536)


def test_the_silent_observer_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    use(Progress())
    assert capfd.readouterr() == ("", "")


def test_lines_go_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    use(LineProgress())
    assert capfd.readouterr() == ("", "hello\nfetching: 2.0 KiB\n")


def test_lines_say_how_far_it_is_when_one_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LineProgress, "SECONDS_BETWEEN_LINES", 0.0)
    stream = io.StringIO()
    use(LineProgress(stream))
    assert stream.getvalue().splitlines() == [
        "hello",
        "fetching: 2.0 KiB",
        "fetching: 25 % of 2.0 KiB",
        "fetching: 100 % of 2.0 KiB",
    ]


def test_lines_of_new_work_begin_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LineProgress, "SECONDS_BETWEEN_LINES", 0.0)
    stream = io.StringIO()
    progress = LineProgress(stream)
    use(progress)
    progress.start("checking", 10)
    progress.advance(1)
    assert stream.getvalue().splitlines()[-1] == "checking: 10 % of 10 B"


def test_work_of_no_bytes_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LineProgress, "SECONDS_BETWEEN_LINES", 0.0)
    stream = io.StringIO()
    progress = LineProgress(stream)
    progress.start("fetching", 0)
    progress.advance(0)
    assert stream.getvalue() == "fetching: 0 B\nfetching: 100 % of 0 B\n"


def test_a_bar_shows_what_how_far_and_messages(capfd: pytest.CaptureFixture[str]) -> None:
    with TqdmProgress() as progress:
        progress.start("fetching", 2048)
        progress.advance(2048)
        progress.message("hello")
    out, err = capfd.readouterr()
    assert out == ""
    assert "fetching: 100%" in err
    assert "2.0 KiB of 2.0 KiB, " in err
    assert "iB/s" in err
    assert "hello\n" in err


def test_a_bar_and_lines_name_what_is_fetched(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with TqdmProgress() as bar:
        bar.item("nothing runs yet")
        bar.start("fetching", 2048)
        bar.item("registry.example.internal/team/a-long-name-of-an-image:2026")
        bar.advance(2048)
    err = capfd.readouterr().err
    assert "fetching …" in err
    assert "image:2026: 100%" in err
    monkeypatch.setattr(LineProgress, "SECONDS_BETWEEN_LINES", 0.0)
    stream = io.StringIO()
    lines = LineProgress(stream)
    lines.start("fetching", 10)
    lines.item("alpine")
    lines.advance(5)
    assert stream.getvalue().splitlines()[-1] == "fetching: 50 % of 10 B, alpine"


def test_a_bar_that_is_not_shown_takes_reports(capfd: pytest.CaptureFixture[str]) -> None:
    progress = TqdmProgress()
    progress.advance(1)
    progress.finish()
    assert capfd.readouterr() == ("", "")


def test_a_new_bar_ends_the_one_before(capfd: pytest.CaptureFixture[str]) -> None:
    with TqdmProgress() as progress:
        progress.start("first", 10)
        progress.start("second", 10)
        progress.advance(10)
    err = capfd.readouterr().err
    assert "first:   0%" in err
    assert "\x1b[A" not in err  # else the second would stand below the first
    assert "second: 100%" in err


@pytest.mark.parametrize(
    ("make", "all_of_it"), [(LineProgress, "100 % of"), (TqdmProgress, "100%")]
)
def test_no_report_from_a_thread_is_lost(
    make: Callable[[], Progress], all_of_it: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(LineProgress, "SECONDS_BETWEEN_LINES", 0.0)
    with make() as progress, ThreadPoolExecutor(4) as threads:
        progress.start("fetching", 400)
        list(threads.map(progress.advance, [1] * 400))
    assert all_of_it in stream.getvalue()


@pytest.mark.parametrize(
    ("quiet", "stream", "kind"),
    [
        (True, Terminal(), Progress),
        (False, Terminal(), TqdmProgress),
        (False, io.StringIO(), LineProgress),
    ],
)
def test_a_bar_is_for_terminals_and_lines_for_all_else(
    monkeypatch: pytest.MonkeyPatch, quiet: bool, stream: io.StringIO, kind: type[Progress]
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert type(choose_progress(quiet=quiet)) is kind


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1024**2, "1.0 MiB"),
        (1024**3 * 5 // 2, "2.5 GiB"),
        (1024**4 - 1, "1.0 TiB"),
        (1024**5, "1024.0 TiB"),
    ],
)
def test_sizes_are_shown_in_the_unit_that_fits(count: int, text: str) -> None:
    assert format_bytes(count) == text


@settings(max_examples=100, deadline=None)
@given(st.integers(min_value=0, max_value=1024**5))
def test_a_size_is_shown_to_half_a_tenth_of_its_unit(count: int) -> None:
    number, unit = format_bytes(count).split()
    factor = 1024 ** ["B", "KiB", "MiB", "GiB", "TiB"].index(unit)
    assert abs(float(number) * factor - count) <= factor * 0.051
    assert float(number) < 1024 or unit == "TiB"
