"""Work on several items at once, of which the first failure stops the rest.

>>> run_all(str.upper, ["a", "b"], 2, Event())
['A', 'B']
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
# A thread that waits for a server longer than this ends by itself, and finishes nothing.
_GRACE_SECONDS = 2.0


def run_all(
    work: Callable[[_Item], _Result],
    items: Sequence[_Item],
    workers: int,
    stop: Event,
    *,
    initializer: Callable[[], object] | None = None,
) -> list[_Result]:
    """Do some work for each item, several at once.

    Args:
        work: Is called with each item; it ends early, with any error, once `stop` is set.
        items: The items.
        workers: The largest number of threads.
        stop: Is set when something failed, or on Ctrl-C.
        initializer: Is called in each thread first.

    Returns:
        The results, in the order of the items.

    Raises:
        Exception: Whatever `work` raised first. Threads that still wait then are left alone.
    """
    pool = ThreadPoolExecutor(workers, initializer=initializer)
    futures: list[Future[_Result]] = []
    try:
        futures += (pool.submit(work, item) for item in items)
        ended = wait(futures, return_when=FIRST_EXCEPTION).done
    finally:
        if not all(future.done() for future in futures):
            stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        wait([future for future in futures if future.running()], timeout=_GRACE_SECONDS)
    return [future.result() for future in futures if future in ended]
