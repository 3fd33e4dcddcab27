"""How many connections there are at once, and how many bytes a second they include."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.connected.concurrency import Connections, RateLimit
from airgap.limits import KIB, MIB

_PATIENCE = 30.0


class Clock:
    """Time that passes as the test says, or while somebody pauses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def succeed(connections: Connections, times: int) -> None:
    for _ in range(times):
        connections.succeeded()


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_are_let_through_than_are_allowed(most: int) -> None:
    connections = Connections(most)
    lock, used, peak = threading.Lock(), 0, 0
    full = threading.Barrier(most)

    def work(number: int) -> None:
        nonlocal used, peak
        with connections.slot():
            with lock:
                used += 1
                peak = max(peak, used)
            if number < most * 4:  # as many as are allowed are in here together
                full.wait(_PATIENCE)
            with lock:
                used -= 1

    with ThreadPoolExecutor(most * 4) as threads:
        list(threads.map(work, range(most * 4)))
    assert peak == most
    assert used == 0


def test_a_place_is_given_back_after_an_error() -> None:
    connections = Connections(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="wrong"), connections.slot():
            raise ValueError("wrong")
    with connections.slot():
        pass


def test_overload_halves_them_and_one_always_remains(clock: Clock) -> None:
    connections = Connections(10)
    allowed = []
    for _ in range(5):
        clock.now += 2
        connections.overloaded()
        allowed.append(connections.allowed)
    assert allowed == [5, 2, 1, 1, 1]


def test_failures_within_a_second_have_one_cause(clock: Clock) -> None:
    connections = Connections(16)
    for _ in range(8):
        connections.overloaded()
        clock.now += 0.1
    assert connections.allowed == 8
    clock.now += 1
    connections.overloaded()
    assert connections.allowed == 4


def test_after_twice_as_many_successes_one_more_is_allowed(clock: Clock) -> None:
    connections = Connections(4)
    connections.overloaded()
    succeed(connections, 3)
    assert connections.allowed == 2
    connections.succeeded()
    assert connections.allowed == 3
    succeed(connections, 5)
    assert connections.allowed == 3
    connections.succeeded()
    assert connections.allowed == 4


def test_never_are_more_allowed_than_at_the_best_of_times() -> None:
    connections = Connections(2)
    succeed(connections, 100)
    assert connections.allowed == 2


def test_successes_before_an_overload_do_not_count(clock: Clock) -> None:
    connections = Connections(4)
    succeed(connections, 100)
    connections.overloaded()
    succeed(connections, 3)
    assert connections.allowed == 2


def test_who_waits_is_let_through_when_more_are_allowed(clock: Clock) -> None:
    connections = Connections(2)
    connections.overloaded()
    entered, leave = threading.Event(), threading.Event()

    def second() -> None:
        with connections.slot():
            entered.set()
            leave.wait(_PATIENCE)

    thread = threading.Thread(target=second)
    with ExitStack() as stack, connections.slot():
        thread.start()
        stack.callback(thread.join)
        stack.callback(leave.set)
        assert not entered.is_set()
        succeed(connections, 2)
        assert entered.wait(_PATIENCE)


def test_those_that_are_through_may_end_when_fewer_are_allowed(clock: Clock) -> None:
    connections = Connections(2)
    with connections.slot(), connections.slot():
        connections.overloaded()
    with connections.slot():
        assert connections.allowed == 1


def test_without_a_limit_nobody_waits(clock: Clock) -> None:
    rate = RateLimit(0, clock.pause)
    rate.spend(1 << 40)
    assert clock.pauses == []
    assert rate.piece_bytes == MIB


@pytest.mark.parametrize(
    ("rate", "piece"),
    [(1, KIB), (16 * KIB, 4 * KIB), (MIB, MIB // 4), (100 * MIB, MIB)],
)
def test_pieces_are_small_enough_to_come_evenly(rate: int, piece: int) -> None:
    assert RateLimit(rate, lambda _: None).piece_bytes == piece


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 10_000), st.lists(st.integers(0, 5_000), min_size=1, max_size=30))
def test_bytes_take_as_long_as_the_rate_says(rate: int, counts: list[int]) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", clock.monotonic)
        limit = RateLimit(rate, clock.pause)
        for count in counts:
            limit.spend(count)
    assert clock.now - 1000 == pytest.approx(sum(counts) / rate, abs=1e-6)


def test_time_in_which_nothing_came_is_not_made_up_for(clock: Clock) -> None:
    limit = RateLimit(1_000, clock.pause)
    limit.spend(1_000)
    clock.now += 100
    limit.spend(1_000)
    limit.spend(1_000)
    assert clock.pauses == pytest.approx([1, 1, 1])


def test_threads_share_one_limit(clock: Clock) -> None:
    waits: list[float] = []
    limit = RateLimit(1_000, waits.append)  # the clock stands still
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(limit.spend, [100] * 20))
    assert sorted(waits) == pytest.approx([0.1 * number for number in range(1, 21)])


def test_a_pause_may_end_it_all() -> None:
    def stopped(_: float) -> None:
        raise InterruptedError

    limit = RateLimit(1, stopped)
    for _ in range(2):  # and holds no lock while it does
        with pytest.raises(InterruptedError):
            limit.spend(1)


@pytest.mark.parametrize(("busy", "allowed"), [(0.1, 3), (0.9, 2)])
def test_one_more_is_let_through_where_processors_have_little_to_do(
    busy: float, allowed: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = os.cpu_count() or 1
    monkeypatch.setattr(time, "process_time", lambda: busy * cores * clock.now)
    connections = Connections(8, first=2)
    connections.look()
    assert connections.allowed == 2  # too soon to tell
    clock.now += 1
    connections.look()
    assert connections.allowed == allowed


def test_no_more_are_added_once_a_server_has_complained(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    connections = Connections(8, first=4)
    connections.overloaded()
    clock.now += 1
    connections.look()
    assert connections.allowed == 2
