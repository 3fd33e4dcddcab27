"""Whether an answer crawls: then it is better asked for again, or elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from airgap.limits import KIB
from airgap.oci import errors

# Who sends less than this, over a whole time-out, is as good as gone.
LEAST_BYTES_PER_SECOND = KIB
# The same where others can be asked: what came is kept, so that changing over costs little.
LEAST_BESIDE_OTHERS = 64 * KIB


class Speed:
    """Watches the bytes of an answer as they come.

    Args:
        what: What it is, for errors.
        timeout: Seconds of waiting over which it must not be slower than `least`.
        least: Bytes a second.
    """

    def __init__(self, what: str, timeout: float, least: int = LEAST_BYTES_PER_SECOND) -> None:
        self._what, self._timeout, self._least = what, timeout, least
        self._seconds, self._count = 0.0, 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around reading a piece. Only that counts: the caller may be slow on purpose."""
        begun = time.monotonic()
        yield
        self._seconds += time.monotonic() - begun

    def came(self, count: int) -> None:
        """So many more bytes came, and there are more to come.

        Raises:
            TemporaryError: They are too few.
        """
        self._count += count
        if self._seconds < self._timeout:
            return
        if self._count < self._least * self._seconds:
            raise errors.too_slow(self._what, self._count, self._seconds)
        self._seconds, self._count = 0.0, 0
