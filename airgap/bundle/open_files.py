"""Files of which there may be thousands, opened when they are used, and few at a time.

A process may have 1024 files open on most systems, and a tar up to a thousand volumes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST_OPEN = 32


class FewOpen:
    """Files by number, opened when they are used. Safe to use from threads.

    Args:
        open_file: Opens a file; it is called again when the file was closed in between.
    """

    def __init__(self, open_file: Callable[[int], int]) -> None:
        self._open_file = open_file
        self._lock = threading.Lock()
        # Number to descriptor, the one that was used last at the end; and how many use it now.
        self._open: dict[int, int] = {}
        self._users: dict[int, int] = {}

    @contextmanager
    def use(self, number: int) -> Iterator[int]:
        """Open a file, unless it is open.

        Yields:
            Its descriptor, which stays open until the end.

        Raises:
            AirgapError: As `open_file` does.
            OSError: As `open_file` does.
        """
        with self._lock:
            descriptor = self._open.pop(number, None)
            if descriptor is None:
                self._close_unused(MOST_OPEN - 1)
                descriptor = self._open_file(number)
            self._open[number] = descriptor
            self._users[number] = self._users.get(number, 0) + 1
        try:
            yield descriptor
        finally:
            with self._lock:
                self._users[number] -= 1

    def close(self) -> None:
        """Close all files; nobody may use one."""
        with self._lock:
            self._close_unused(0)

    def _close_unused(self, most: int) -> None:
        """Close files that nobody uses until so many are left open, the oldest first."""
        for number in [item for item in self._open if not self._users.get(item)]:
            if len(self._open) <= most:
                return
            os.close(self._open.pop(number))
