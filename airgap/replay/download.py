"""One download while it runs: into the store, and to every client that asks meanwhile.

Its clients drive it. Whoever needs more of it than there is fetches the next piece, for all; so
nobody waits for another client, and nothing is handed from thread to thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from airgap.errors import UpstreamError
from airgap.limits import MIB
from airgap.replay.headers import Headers
from airgap.replay.responses import Response
from airgap.store.store import BlobWriter, Store

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
        close: Ends the connection if the body was not read to its end.
    """

    status: int
    headers: Headers
    size: int | None
    pieces: Iterator[bytes]
    close: Callable[[], None] = lambda: None


class Download:
    """A download that its clients drive, each at its own pace; a thread does when they have left.

    Who asks for it joins first, and then makes exactly one `answer` of it, and closes that.

    Args:
        ask: Asks the server behind; may raise AirgapError.
        store: Where the body is written.
        finish: Is given all of it, to publish it or not.
        ended: Is told before clients are that there is no more, and why if that is not as it
            should be.
    """

    def __init__(
        self,
        ask: Callable[[], Upstream],
        store: Store,
        finish: Callable[[Upstream, BlobWriter], object],
        ended: Callable[[BaseException | None], object] = lambda _: None,
    ) -> None:
        self._steps, self._tell = self._run(ask, store, finish), ended
        self._changed = threading.Condition()
        self._upstream: Upstream | None = None
        self._file: BinaryIO | None = None
        self._clients = self._written = self._unread = 0
        self._busy = self._left = self._to_the_end = self._stopped = self._ended = False
        self._error: BaseException | None = None

    def join(self) -> None:
        """Count a client in, before the end."""
        with self._changed:
            self._clients += 1

    def answer(self, *, head: bool) -> Response:
        """Return the response for a client that joined. Its body arrives as the download continues.

        Raises:
            AirgapError: The server does not answer.
            OSError: The disk does not take it.
        """
        self._drive(lambda: self._upstream is not None)
        upstream = self._upstream
        if upstream is None:
            self._leave()
            raise self._error or AssertionError("it ended and said nothing")
        if upstream.size == 0:
            self._drive(lambda: False)  # the head is all: what is asked next must find it recorded
        # Who wants the head alone comes for the body next, or has it from another build.
        self._to_the_end |= head
        body = self._pieces()
        return Response(upstream.status, upstream.headers, body, upstream.size, close=self._leave)

    def wait(self, seconds: float) -> bool:
        """Return whether it ended within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended, seconds)

    def stop(self) -> None:
        """Have it fail with the next piece."""
        with self._changed:
            self._stopped = True

    def _run(
        self,
        ask: Callable[[], Upstream],
        store: Store,
        finish: Callable[[Upstream, BlobWriter], object],
    ) -> Iterator[None]:
        """Yield the download in steps, which different threads may take, one at a time.

        Raises:
            AirgapError: The server does not answer, or not to the end.
            OSError: The disk does not take it.
        """
        upstream = ask()
        try:
            with store.new_blob() as blob:
                self._file, self._upstream = blob.reader(), upstream
                yield
                for piece in upstream.pieces:
                    blob.write(piece)
                    self._came(len(piece))
                    yield
                finish(upstream, blob)
        finally:
            upstream.close()

    def _drive(self, enough: Callable[[], bool]) -> None:
        """Take steps while nobody else does, until there is enough or no more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: enough() or self._ended or not self._busy)
                if enough() or self._ended:
                    return
                self._busy = True
            more, error = self._step()
            with self._changed:
                self._busy, self._ended, self._error = False, not more, error
                self._changed.notify_all()
                self._close_if_done()

    def _step(self) -> tuple[bool, BaseException | None]:
        """Return whether there may be more, and why not if that is not as it should be."""
        failure: BaseException | None = None
        try:
            next(self._steps)
        except StopIteration:
            pass
        except BaseException as error:  # raised where clients are answered
            failure = error
        else:
            return True, None
        self._tell(failure)
        return False, failure

    def _came(self, count: int) -> None:
        with self._changed:
            self._written += count
            needed = self._clients or self._to_the_end
            self._unread = 0 if needed else self._unread + count
            if self._stopped or self._unread > _UNREAD_BYTES:
                raise UpstreamError("the build did not read it to its end, which is far off")

    def _leave(self) -> None:
        with self._changed:
            self._clients -= 1
            self._close_if_done()
            if self._clients or self._left or self._ended:
                return
            self._left = True
        work = partial(self._drive, lambda: False)
        threading.Thread(target=work, name="airgap download", daemon=True).start()

    def _close_if_done(self) -> None:
        if self._ended and not self._clients and self._file:
            self._file.close()

    def _pieces(self) -> Iterator[bytes]:
        position = 0
        while self._has_more(position) and self._file:
            size = min(MIB, self._written - position)
            piece = os.pread(self._file.fileno(), size, position)
            position += len(piece)
            if self._upstream and position == self._upstream.size:
                # A client takes this for the end: what it asks next must find this recorded.
                self._has_more(position)
            yield piece

    def _has_more(self, position: int) -> bool:
        """Return whether there are bytes from there on; drives the download until that is known."""
        self._drive(lambda: self._written > position)
        if self._error is not None:
            raise self._error
        return self._written > position
