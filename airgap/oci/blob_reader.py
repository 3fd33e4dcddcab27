"""Reading the body of a blob, piece by piece as it comes."""

from __future__ import annotations

import re
from contextlib import suppress

import requests
from urllib3.exceptions import HTTPError

from airgap.errors import AirgapError
from airgap.limits import LIMITS, MIB
from airgap.oci import errors
from airgap.oci.error_text import Words, words_in
from airgap.oci.stall import Speed

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class BlobReader:
    """The body of a blob, from `start` on; its bytes are not verified.

    Args:
        response: An answer with status 200 or 206, its body not read yet.
        what: What it is, for errors.
        server: Who sends it.
        start: Which byte of the blob comes first.
        size: Bytes of the whole blob.
        speed: What it must not be slower than.
    """

    def __init__(
        self,
        response: requests.Response,
        what: str,
        server: str,
        start: int,
        size: int,
        speed: Speed,
    ) -> None:
        self.server, self.start = server, start
        self._response = response
        self._what = what
        self._left = size - start
        self._speed = speed

    def read(self, most: int = MIB) -> bytes:
        """Return what came next, at most so many bytes; empty at the end.

        Raises:
            TemporaryError: The connection broke or crawls, or there are too few bytes.
        """
        try:
            with self._speed.waiting():
                piece: bytes = self._response.raw.read1(most)
        except (HTTPError, OSError) as error:
            raise errors.broke_off(self._what, error) from error
        if not piece and self._left > 0:
            raise errors.broke_off(self._what, f"{self._left} bytes are missing")
        self._left -= len(piece)
        if self._left > 0:
            self._speed.came(len(piece))
        return piece

    def close(self) -> None:
        """End the connection, or keep it for the next request if the body was read in full."""
        if self._left == 0:
            with suppress(HTTPError, OSError):
                self._response.raw.read(1)  # finds the end
        self._response.close()


def read_document(response: requests.Response, what: str, limit: int, timeout: float) -> bytes:
    """Return all bytes of an answer that is small; one more than `limit` if there are too many.

    Args:
        response: The answer, its body not read yet.
        what: What it is, for errors.
        limit: Bytes that it may have.
        timeout: Seconds of waiting over which it must not crawl.

    Raises:
        TemporaryError: The connection broke or crawls.
    """
    body, speed = bytearray(), Speed(what, timeout)
    try:
        while left := limit + 1 - len(body):
            with speed.waiting():
                piece = response.raw.read1(left, decode_content=True)
            if not piece:
                break
            body += piece
            speed.came(len(piece))
    except (HTTPError, OSError) as error:
        raise errors.broke_off(what, error) from error
    return bytes(body)


def read_words(response: requests.Response, timeout: float) -> Words:
    """Read what a response says; an unreadable one says nothing.

    The response is read to its end, so that its connection can be used again, and closed.

    Args:
        response: The response; its body was not read yet.
        timeout: Seconds to wait for each piece of it.
    """
    with response:
        try:
            body = read_document(response, "an answer", LIMITS.response_bytes, timeout)
        except AirgapError:
            return Words()
    return words_in(body, response.headers.get("Content-Type", ""))


def starts_at(response: requests.Response, start: int, size: int) -> bool:
    """Return whether a 206 answer is what was asked for: the blob from `start` to its end.

    The form of the header is that of RFC 9110, 14.4.
    """
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None:
        return False
    first, last, total = match.groups()
    return int(first) == start and int(last) == size - 1 and total in ("*", str(size))
