"""Trying again: how long, with what pauses, and what is said when it is given up."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TypeVar

from airgap.errors import AirgapError, IntegrityError, NotFoundError, UpstreamError

# How often wrong bytes may come; other servers are asked in between.
WRONG_TRIES = 3
# Seconds before the second try; doubled each time, up to the other, and then jittered.
_FIRST_PAUSE, _LONGEST_PAUSE, _MOST_DOUBLINGS = 0.5, 30.0, 6
# Seconds for a server that has not answered once in this run: its name may be wrong.
_FIRST_CONTACT = 5.0
_T = TypeVar("_T")
# A cause is told again after so long.
_SAME_CAUSE_SECONDS = 60.0
_AGAIN = ": trying again in "


class TemporaryError(UpstreamError):
    """A failure after which the same request may well succeed.

    Args:
        message: As for every error.
        meaning: As for every error.
        remedy: As for every error.
        kind: The failure in a few words, without names, for counting.
        retry_after: Seconds that the server wants to be left alone.
        overload: Whether fewer requests at a time may help: 429, or a time-out.
        first_contact: Whether the server has not answered once yet.
    """

    def __init__(  # noqa: PLR0913 - a record with names
        self,
        message: str,
        *,
        kind: str,
        meaning: str = "",
        remedy: str = "run the same command again: what was fetched is kept",
        retry_after: float = 0,
        overload: bool = False,
        first_contact: bool = False,
    ) -> None:
        super().__init__(message, meaning=meaning, remedy=remedy)
        self.kind = kind
        self.retry_after = retry_after
        self.overload = overload
        self.first_contact = first_contact


class RetryBudget:
    """The tries of one piece of work.

    Args:
        retry_for: Seconds for which failures are tolerated while nothing comes.
        pause: Waits so many seconds; may raise to end it all.
        say: Is told of failures after which a longer pause follows.
    """

    def __init__(
        self,
        retry_for: float,
        pause: Callable[[float], object] = time.sleep,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._retry_for, self._pause, self._say = retry_for, pause, say
        self._failures: Counter[str] = Counter()
        self._spent, self._streak = 0.0, 0
        self._begun = time.monotonic()

    def begin(self) -> None:
        """Note that a try begins: the time since the last pause does not count."""
        self._begun = time.monotonic()

    def progressed(self) -> None:
        """Something came: patience begins again."""
        self._spent, self._streak = 0.0, 0
        self._begun = time.monotonic()

    def failed(self, error: TemporaryError) -> None:
        """Wait until the next try.

        Raises:
            TemporaryError: The one given, if patience is at its end; it tells what failed how
                often.
        """
        self._failures[error.kind] += 1
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._streak, _MOST_DOUBLINGS))
        self._streak += 1
        wait = max(error.retry_after, longest * random.uniform(0.5, 1))  # noqa: S311 - no secret
        self._spent += time.monotonic() - self._begun
        patience = min(self._retry_for, _FIRST_CONTACT) if error.first_contact else self._retry_for
        if self._spent + wait > patience:
            raise self._explained(error)
        if wait > _FIRST_PAUSE:
            self._say(f"{error.message}{_AGAIN}{wait:.0f} s")
        self._pause(wait)
        self._spent += wait
        self.begin()

    def _explained(self, error: TemporaryError) -> TemporaryError:
        if self._failures.total() == 1:
            return error
        counts = ", ".join(f"{count} x {kind}" for kind, count in self._failures.most_common())
        meaning = f"{error.meaning} It was tried {self._failures.total()} times: {counts}."
        return error.but(meaning=meaning.lstrip())


def once_per_cause(say: Callable[[str], object]) -> Callable[[str], None]:
    """Return what says a line unless it said one of the same cause a short time before.

    Many connections fail for one cause at once; their lines differ in the pause alone.

    Args:
        say: Shows a line.
    """
    lock, said = Lock(), dict[str, float]()

    def say_once(line: str) -> None:
        cause, now = line.partition(_AGAIN)[0], time.monotonic()
        with lock:
            if now - said.get(cause, -_SAME_CAUSE_SECONDS) < _SAME_CAUSE_SECONDS:
                return
            said[cause] = now
        say(line)

    return say_once


def retry(work: Callable[[], _T], attempts: RetryBudget) -> _T:
    """Return the result of `work`, which is done again while it fails and `attempts` has patience.

    Wrong bytes are asked for again too, a few times: whoever faked or spoiled them may be gone.

    Raises:
        AirgapError: What `work` raised last.
    """
    wrong = 0
    while True:
        try:
            return work()
        except TemporaryError as error:
            attempts.failed(error)
        except IntegrityError:
            wrong += 1
            if wrong == WRONG_TRIES:
                raise


def combine_errors(failures: Sequence[AirgapError]) -> AirgapError:
    """Return what to raise when all that could be asked failed.

    Args:
        failures: Those of mirrors, in order, and last that of the registry itself. If it says that
            there is no such image, mirrors that are down do not make it exist. Else a mirror
            that may answer later is waited for, whatever keeps the registry from answering.
    """
    chosen = failures[-1]
    waiting = [failure for failure in failures if isinstance(failure, TemporaryError)]
    if waiting and not isinstance(chosen, NotFoundError):
        if not isinstance(chosen, TemporaryError):
            chosen = waiting[-1]
        pauses = [failure.retry_after for failure in waiting if not failure.first_contact]
    others = "; ".join(failure.message for failure in failures if failure is not chosen)
    meaning = f"{chosen.meaning} Also asked: {others}.".lstrip() if others else chosen.meaning
    if not isinstance(chosen, TemporaryError):
        return chosen.but(meaning=meaning)
    return TemporaryError(
        chosen.message,
        kind=chosen.kind,
        meaning=meaning,
        remedy=chosen.remedy,
        retry_after=min(pauses, default=0),
        overload=any(failure.overload for failure in waiting),
        first_contact=all(failure.first_contact for failure in waiting),
    )
