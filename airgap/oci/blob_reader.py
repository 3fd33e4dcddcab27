"""Reading the body of a blob, piece by piece as it comes."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import requests
from urllib3.exceptions import HTTPError

from airgap.limits import KIB, MIB
from airgap.oci import failures

# Who sends less than this, over a whole time-out, is as good as gone.
LEAST_BYTES_PER_SECOND = KIB
# The same where others can be asked: what came is kept, so that changing over costs little.
LEAST_BESIDE_OTHERS = 64 * KIB
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class BlobReader:
    """The body of a blob, from `start` on; its bytes are not verified.

    Args:
        response: An answer with status 200 or 206, its body not read yet.
        what: What it is, for errors.
        server: Who sends it.
        start: Which byte of the blob comes first.
        size: Bytes of the whole blob.
        timeout: Seconds of waiting over which it must not be slower than `least`.
        least: Bytes a second.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - a record of one answer
        self,
        response: requests.Response,
        what: str,
        server: str,
        start: int,
        size: int,
        timeout: float,
        least: int = LEAST_BYTES_PER_SECOND,
    ) -> None:
        self.server, self.start = server, start
        self._response = response
        self._what = what
        self._left = size - start
        self._timeout, self._least = timeout, least
        self._seconds, self._count = 0.0, 0

    def read(self, most: int = MIB) -> bytes:
        """What came next, at most so many bytes; empty at the end.

        Raises:
            TemporaryError: The connection broke or crawls, or there are too few bytes.
        """
        begun = time.monotonic()
        try:
            piece: bytes = self._response.raw.read1(most)
        except (HTTPError, OSError) as error:
            raise failures.broke_off(self._what, error) from error
        if not piece and self._left > 0:
            raise failures.broke_off(self._what, f"{self._left} bytes are missing")
        self._left -= len(piece)
        # Only the waiting counts: the caller may be slow on purpose.
        self._check_speed(len(piece), time.monotonic() - begun)
        return piece

    def close(self) -> None:
        """Ends the connection, or keeps it for the next request if the body was read in full."""
        if self._left == 0:
            with suppress(HTTPError, OSError):
                self._response.raw.read(1)  # finds the end
        self._response.close()

    def _check_speed(self, count: int, seconds: float) -> None:
        self._count += count
        self._seconds += seconds
        if self._seconds < self._timeout:
            return
        if self._left > 0 and self._count < self._least * self._seconds:
            raise failures.too_slow(self._what, self._count, self._seconds)
        self._seconds, self._count = 0.0, 0


def starts_at(response: requests.Response, start: int, size: int) -> bool:
    """Whether a 206 answer is what was asked for: the blob from `start` to its end.

    The form of the header is that of RFC 9110, 14.4.
    """
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None:
        return False
    first, last, total = match.groups()
    return int(first) == start and int(last) == size - 1 and total in ("*", str(size))
