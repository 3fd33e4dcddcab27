"""Several at once: results in order, and the first failure stops what has not ended."""

from __future__ import annotations

import time
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.parallel import run_all


@given(st.lists(st.integers()), st.integers(1, 8))
def test_results_are_in_the_order_of_the_items(items: list[int], workers: int) -> None:
    stop = Event()
    assert run_all(lambda item: item * 2, items, workers, stop) == [item * 2 for item in items]
    assert not stop.is_set()


def test_the_first_failure_stops_the_rest_and_is_raised() -> None:
    stop, done = Event(), []

    def work(item: int) -> None:
        if item == 0:
            raise ValueError("first")
        while not stop.wait(0.01):
            """Works on."""
        done.append(item)
        raise InterruptedError

    with pytest.raises(ValueError, match="first"):
        run_all(work, range(20), 3, stop)
    assert stop.is_set()
    assert len(done) <= 3  # items that no thread had begun are left out


def test_a_thread_that_does_not_notice_is_left_alone_after_a_while() -> None:
    released = Event()

    def work(item: int) -> None:
        if item == 0:
            raise ValueError
        released.wait(60)

    begun = time.monotonic()
    try:
        with pytest.raises(ValueError):
            run_all(work, range(2), 2, Event())
        assert time.monotonic() - begun < 30
    finally:
        released.set()
