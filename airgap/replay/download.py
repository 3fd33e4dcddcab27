"""One download while it goes on: into the store, and to every client that asks meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from airgap.errors import UpstreamError
from airgap.limits import MIB
from airgap.replay.answers import Answer
from airgap.replay.headers import Headers
from airgap.store.store import NewBlob, Store

# What is still fetched of a body that no client reads any more: a build that replays it stops
# at the same place, so the whole of a usual file is worth having, and no endless stream is.
_UNREAD_BYTES = 64 * MIB


@dataclass(frozen=True, slots=True)
class Upstream:
    """What the server behind answers.

    Attributes:
        status: Its status.
        headers: Those that clients are given.
        size: Bytes of the body, if stated.
        pieces: Of the body; an AirgapError in between says that there will not be more.
    """

    status: int
    headers: Headers
    size: int | None
    pieces: Iterator[bytes]


class Download:
    """A download that one thread runs and others wait for, each at its own pace.

    Who holds one was counted in before by `join`, and makes exactly one `answer` of it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._upstream: Upstream | None = None
        self._blob: NewBlob | None = None
        self._clients = self._written = self._unread = 0
        self._stopped = self._ended = False
        self._error: BaseException | None = None

    def join(self) -> None:
        """Counts a client in."""
        with self._changed:
            self._clients += 1

    def run(
        self,
        ask: Callable[[], Upstream],
        store: Store,
        finish: Callable[[Upstream, NewBlob], object],
    ) -> None:
        """Fetches all.

        Args:
            ask: Asks the server behind.
            store: Where the body is written.
            finish: Is given all of it, to publish it or not, before clients see the end.

        Raises:
            AirgapError: The server does not answer, or not to the end.
            OSError: The disk does not take it.
        """
        try:
            upstream = ask()
            with store.new_blob() as blob:
                try:
                    self._begin(upstream, blob)
                    for piece in upstream.pieces:
                        blob.write(piece)
                        self._came(len(piece))
                    with self._changed:
                        finish(upstream, blob)
                        self._end(None)
                except BaseException as error:
                    self._end(error)  # before the blob goes: who comes later opens it no more
                    raise
        except BaseException as error:
            self._end(error)
            raise

    def answer(self, *, head: bool) -> Answer | None:
        """What a client is given, or nothing if it all ended well before it came.

        Raises:
            AirgapError: The server does not answer.
            OSError: The disk does not take it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._upstream or self._ended)
            if self._error is not None:
                raise self._error
            if self._ended or self._upstream is None or self._blob is None:
                return None
            status, headers, size = (
                self._upstream.status,
                self._upstream.headers,
                self._upstream.size,
            )
            if head:  # and stays: the body is asked for next, or known to this client already
                return Answer(status, headers, iter(()), size)
            file = self._blob.reader()

        def leave() -> None:
            file.close()
            with self._changed:
                self._clients -= 1

        return Answer(status, headers, self._pieces(file), size, close=leave)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended, seconds)

    def stop(self) -> None:
        """Has it fail with the next piece."""
        with self._changed:
            self._stopped = True

    def _begin(self, upstream: Upstream, blob: NewBlob) -> None:
        with self._changed:
            self._upstream, self._blob = upstream, blob
            self._changed.notify_all()

    def _came(self, count: int) -> None:
        with self._changed:
            self._written += count
            self._unread = 0 if self._clients else self._unread + count
            self._changed.notify_all()
            if self._stopped or self._unread > _UNREAD_BYTES:
                raise UpstreamError("the build did not read it to its end, which is far off")

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
                self._changed.notify_all()

    def _pieces(self, file: BinaryIO) -> Iterator[bytes]:
        position = 0
        while self._has_more(position):
            piece = file.read(MIB)
            position += len(piece)
            yield piece

    def _has_more(self, position: int) -> bool:
        """Whether there are bytes from there on; waits until that is known."""
        with self._changed:
            self._changed.wait_for(lambda: self._written > position or self._ended)
            if self._error is not None:
                raise self._error
            return self._written > position
