"""Trying again: patience, pauses, and what is said in the end; on a clock that only pauses move."""

from __future__ import annotations

import time

import pytest

from airgap.errors import CredentialsError, NotFoundError
from airgap.oci.retry import RetryBudget, TemporaryError, combine_errors, once_per_cause, retry


class Clock:
    """Time that passes only while somebody pauses.

    Attributes:
        now: Seconds.
        pauses: Those that were made.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def failure(
    kind: str = "broke", *, retry_after: float = 0, first_contact: bool = False
) -> TemporaryError:
    return TemporaryError(
        f"it {kind}", kind=kind, retry_after=retry_after, first_contact=first_contact
    )


def fail_for_good(attempts: RetryBudget, *, first_contact: bool = False) -> TemporaryError:
    """The error after which it is given up."""
    with pytest.raises(TemporaryError) as caught:
        while True:
            attempts.failed(failure(first_contact=first_contact))
    return caught.value


def test_pauses_are_doubled_up_to_half_a_minute_and_jittered_down_to_half(clock: Clock) -> None:
    fail_for_good(RetryBudget(300, clock.pause))
    longest = [0.5, 1, 2, 4, 8, 16, *[30.0] * 30]
    assert len(clock.pauses) > 10
    for pause, most in zip(clock.pauses, longest, strict=False):
        assert most / 2 <= pause <= most


def test_pauses_differ_from_run_to_run(clock: Clock) -> None:
    for _ in range(10):
        RetryBudget(60, clock.pause).failed(failure())
    assert len(set(clock.pauses)) > 1


@pytest.mark.parametrize("patience", [0, 1, 10, 300])
def test_no_more_time_is_spent_than_patience_lasts(clock: Clock, patience: float) -> None:
    begun = clock.now
    fail_for_good(RetryBudget(patience, clock.pause))
    assert patience - 30 <= clock.now - begun <= patience


def test_without_patience_the_first_failure_is_the_last(clock: Clock) -> None:
    error = failure()
    with pytest.raises(TemporaryError) as caught:
        RetryBudget(0, clock.pause).failed(error)
    assert caught.value is error
    assert clock.pauses == []
    assert error.meaning == ""  # one failure needs no counting


def test_patience_and_pauses_begin_again_when_something_came(clock: Clock) -> None:
    attempts = RetryBudget(10, clock.pause)
    for _ in range(100):  # far longer than patience in all
        for _ in range(3):
            attempts.failed(failure())
        attempts.progressed()
    assert clock.now > 1100
    assert all(0.25 <= pause <= 0.5 for pause in clock.pauses[::3])


def test_time_in_which_bytes_come_is_not_counted(clock: Clock) -> None:
    attempts = RetryBudget(10, clock.pause)
    clock.now += 1_000
    attempts.progressed()
    attempts.failed(failure())
    assert len(clock.pauses) == 1


def test_time_in_which_nothing_comes_is_counted_though_nobody_pauses(clock: Clock) -> None:
    attempts = RetryBudget(10, clock.pause)
    clock.now += 11
    with pytest.raises(TemporaryError):
        attempts.failed(failure())


def test_the_time_that_a_server_wants_is_given_to_it(clock: Clock) -> None:
    RetryBudget(60, clock.pause).failed(failure(retry_after=20))
    assert clock.pauses == [20]


def test_the_time_that_a_server_wants_does_not_shorten_a_pause(clock: Clock) -> None:
    attempts = RetryBudget(60, clock.pause)
    for _ in range(5):
        attempts.failed(failure(retry_after=0.01))
    assert clock.pauses[-1] >= 4


@pytest.mark.parametrize("wanted", [61, 1e9, float("inf")])
def test_a_server_that_wants_more_time_than_there_is_is_given_up_at_once(
    clock: Clock, wanted: float
) -> None:
    with pytest.raises(TemporaryError):
        RetryBudget(60, clock.pause).failed(failure(retry_after=wanted))
    assert clock.pauses == []


def test_a_server_that_never_answered_is_given_up_sooner(clock: Clock) -> None:
    begun = clock.now
    fail_for_good(RetryBudget(300, clock.pause), first_contact=True)
    assert clock.now - begun <= 5
    assert len(clock.pauses) >= 2


def test_a_server_that_never_answered_gets_no_more_patience_than_there_is(clock: Clock) -> None:
    begun = clock.now
    fail_for_good(RetryBudget(1, clock.pause), first_contact=True)
    assert clock.now - begun <= 1


def test_the_last_error_tells_what_failed_how_often(clock: Clock) -> None:
    attempts = RetryBudget(300, clock.pause)
    attempts.failed(failure("answered 503"))
    attempts.progressed()  # the counts are of all the work, not of a streak
    attempts.failed(failure("broke"))
    attempts.failed(failure("broke"))
    last = failure("answered 429", retry_after=1_000).but(
        meaning="It limits how often it may be asked."
    )
    with pytest.raises(TemporaryError) as caught:
        attempts.failed(last)
    assert caught.value.meaning == (
        "It limits how often it may be asked. "
        "It was tried 4 times: 2 x broke, 1 x answered 503, 1 x answered 429."
    )


def test_counts_stand_alone_where_nothing_else_is_known(clock: Clock) -> None:
    error = fail_for_good(RetryBudget(2, clock.pause))
    assert error.meaning.startswith("It was tried ")
    assert error.meaning.endswith(" x broke.")


def test_longer_pauses_are_announced_and_short_ones_are_not(clock: Clock) -> None:
    said: list[str] = []
    attempts = RetryBudget(300, clock.pause, said.append)
    attempts.failed(failure())
    assert said == []
    attempts.failed(failure(retry_after=7))
    assert said == ["it broke: trying again in 7 s"]


def test_a_pause_may_end_it_all() -> None:
    def stopped(_: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        RetryBudget(300, stopped).failed(failure())


def test_days_of_failures_are_tolerated_where_patience_is_as_long(clock: Clock) -> None:
    attempts = RetryBudget(1e9, clock.pause)
    for _ in range(2_000):
        attempts.failed(failure())
    assert 15 <= clock.pauses[-1] <= 30


def test_work_is_done_again_until_it_succeeds(clock: Clock) -> None:
    outcomes = [failure(), failure(), "done"]

    def work() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, TemporaryError):
            raise outcome
        return outcome

    assert retry(work, RetryBudget(60, clock.pause)) == "done"
    assert len(clock.pauses) == 2


def test_other_errors_end_work_at_once(clock: Clock) -> None:
    def work() -> None:
        raise NotFoundError("there is none")

    with pytest.raises(NotFoundError):
        retry(work, RetryBudget(60, clock.pause))
    assert clock.pauses == []


def test_work_that_never_succeeds_is_given_up(clock: Clock) -> None:
    def work() -> None:
        raise failure()

    with pytest.raises(TemporaryError, match="it broke"):
        retry(work, RetryBudget(60, clock.pause))
    assert 30 <= clock.now - 1000 <= 60


def test_waiting_for_ones_turn_does_not_count(clock: Clock) -> None:
    attempts = RetryBudget(10, clock.pause)
    attempts.failed(failure())
    clock.now += 1_000
    attempts.begin()
    attempts.failed(failure())
    assert len(clock.pauses) == 2


def test_no_image_in_the_registry_is_final_whatever_mirrors_say() -> None:
    missing = NotFoundError("the registry has none")
    combined = combine_errors([failure("mirror broke"), missing])
    assert (type(combined), combined.message) == (NotFoundError, missing.message)
    assert "it mirror broke" in combined.meaning


@pytest.mark.parametrize(
    "registry", [failure("is cut off", first_contact=True), CredentialsError("it refuses")]
)
def test_a_mirror_that_may_answer_later_is_waited_for(
    registry: TemporaryError | CredentialsError,
) -> None:
    chosen = combine_errors([failure("answered 429", retry_after=7), registry])
    assert isinstance(chosen, TemporaryError)
    assert not chosen.first_contact
    assert chosen.retry_after == 7


def test_one_cause_is_told_once_however_many_connections_it_breaks() -> None:
    lines: list[str] = []
    say = once_per_cause(lines.append)
    for seconds in (1, 2, 3):
        say(f"registry.example cannot be reached: trying again in {seconds} s")
    say("registry2.example cannot be reached: trying again in 1 s")
    say("registry2.example answered 503: trying again in 1 s")
    say("registry2.example answered 502: trying again in 1 s")
    assert [line.partition(":")[0] for line in lines] == [
        "registry.example cannot be reached",
        "registry2.example cannot be reached",
        "registry2.example answered 503",
        "registry2.example answered 502",
    ]


def test_a_cause_that_lasts_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    say, now = once_per_cause(lines.append), 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    say("it answered 503")
    now += 61
    say("it answered 503")
    assert len(lines) == 2
