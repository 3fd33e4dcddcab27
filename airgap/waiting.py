"""Waiting until something holds, or for so many seconds.

>>> wait_until(lambda: True, seconds=1)
True
>>> wait_until(lambda: False, seconds=0)
False
"""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], *, seconds: float, pause: float = 0.2) -> bool:
    """Ask again and again until something holds.

    Args:
        holds: Says whether it does; is called at least once.
        seconds: How long to wait, at most.
        pause: The seconds between two calls.

    Returns:
        Whether it held in time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True
