"""What clients are answered, and by whom; and the notes that are kept on it for people."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from airgap.limits import LIMITS
from airgap.replay.headers import Headers
from airgap.replay.request import RequestKey

_Item = TypeVar("_Item")
_GIT = re.compile(r"/info/refs\?(?:.*&)?service=git-(?:upload|receive)-pack(?:&|$)")
_FORBIDDEN = 403
GIT_WAY_ROUND = (
    "git over smart HTTP needs POST, which cannot be recorded: ADD an archive (.tar.gz) of the "
    "commit in its place, COPY a clone from the build context, or vendor it"
)


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Response:
    """What a client is given.

    Attributes:
        status: The status.
        headers: Those of the answer itself; the server adds those of the connection.
        body: Pieces of the body. An AirgapError or OSError in between cuts the connection.
        size: Bytes of the body, if known.
        reason: The phrase after the status, if not the usual one.
        close: Is called when the body is not wanted any more.
    """

    status: int
    headers: Headers
    body: Iterator[bytes]
    size: int | None
    reason: str = ""
    close: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell people of: a URL, fit to be shown, and why it is named."""

    url: str
    why: str


class Handler(Protocol):
    """Who knows the answers."""

    def answer(self, key: RequestKey, sent: Headers, user: str) -> Response:
        """Return the answer to a request.

        Args:
            key: What is asked for.
            sent: All headers of the request.
            user: User and password of the URL, percent-encoded, or nothing.
        """


def text_answer(status: int, text: str, *extra: tuple[str, str], reason: str = "") -> Response:
    """Return an answer of one line for people."""
    body = f"{text}\n".encode()
    named = (("Content-Type", "text/plain; charset=utf-8"), *extra)
    return Response(status, named, iter([body]), len(body), reason)


def is_git(key: RequestKey) -> bool:
    """Return whether a request begins an exchange of git's over its smart HTTP protocol."""
    return _GIT.search(key.url) is not None


def refusal(note: Note) -> Response:
    """Return the answer to what cannot be recorded; no client tries a 403 again."""
    return text_answer(_FORBIDDEN, f"{note.url}: {note.why}")


class Listed(Generic[_Item]):
    """Items by key, in the order of the first, and no more than people can use; thread-safe.

    Attributes:
        unlisted: How many came when there were too many already.
    """

    def __init__(self) -> None:
        self._items: dict[str, tuple[_Item, int]] = {}
        self._bytes = self.unlisted = 0
        self._lock = threading.Lock()

    def put(self, key: str, item: _Item, size: int) -> None:
        """List an item, for the one that had its key.

        Args:
            key: Of the item.
            item: What is listed.
            size: How many characters it has.
        """
        with self._lock:
            _, before = self._items.get(key, (None, 0))
            more = self._bytes + size - before
            if len(self._items) - (key in self._items) >= LIMITS.notes or more > LIMITS.notes_bytes:
                self.unlisted += 1
                return
            self._items[key] = (item, size)
            self._bytes = more

    def drop(self, key: str) -> None:
        """Take an item out, if it is listed."""
        with self._lock:
            _, size = self._items.pop(key, (None, 0))
            self._bytes -= size

    @property
    def all(self) -> tuple[_Item, ...]:
        """Those that there are now."""
        with self._lock:
            return tuple(item for item, _ in self._items.values())


class Notes:
    """Notes by the key of what was asked; see `Listed`."""

    def __init__(self) -> None:
        self._notes = Listed[Note]()

    def add(self, key: RequestKey, why: str, url: str = "") -> Note:
        """Note something; what was noted of the same before gives way.

        Args:
            key: What it is about.
            why: Why it is noted.
            url: What to show of its URL, if that is not `asked.shown`.
        """
        note = Note(url or key.shown, why)
        self._notes.put(key.key, note, len(note.url) + len(note.why))
        return note

    def drop(self, key: RequestKey) -> None:
        """Forget what was noted of it."""
        self._notes.drop(key.key)

    @property
    def all(self) -> tuple[Note, ...]:
        """Those that there are now."""
        return self._notes.all
