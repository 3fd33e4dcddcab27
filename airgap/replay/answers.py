"""What clients are answered, and by whom; and the notes that are kept on it for people."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from airgap.replay.asked import Asked
from airgap.replay.headers import Headers

_GIT = re.compile(r"/info/refs\?(?:.*&)?service=git-(?:upload|receive)-pack(?:&|$)")
_FORBIDDEN = 403
GIT_WAY_ROUND = (
    "git over smart HTTP needs POST, which cannot be recorded: ADD an archive (.tar.gz) of the "
    "commit in its place, COPY a clone from the build context, or vendor it"
)


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Answer:
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


class Answerer(Protocol):
    """Who knows the answers."""

    def answer(self, asked: Asked, sent: Headers, user: str) -> Answer:
        """The answer to a request.

        Args:
            asked: What is asked for.
            sent: All headers of the request.
            user: User and password of the URL, percent-encoded, or nothing.
        """


def text_answer(status: int, text: str, *extra: tuple[str, str], reason: str = "") -> Answer:
    """An answer of one line for people."""
    body = f"{text}\n".encode()
    named = (("Content-Type", "text/plain; charset=utf-8"), *extra)
    return Answer(status, named, iter([body]), len(body), reason)


def is_git(asked: Asked) -> bool:
    """Whether a request begins an exchange of git's over its smart HTTP protocol."""
    return _GIT.search(asked.url) is not None


def refusal(note: Note) -> Answer:
    """The answer to what cannot be recorded; no client tries a 403 again."""
    return text_answer(_FORBIDDEN, f"{note.url}: {note.why}")


class Notes:
    """Notes by the key of what was asked, each once, in the order of the first; thread-safe."""

    def __init__(self) -> None:
        self._notes: dict[str, Note] = {}
        self._lock = threading.Lock()

    def add(self, asked: Asked, why: str, url: str = "") -> Note:
        """Notes something; what was noted of the same before gives way.

        Args:
            asked: What it is about.
            why: Why it is noted.
            url: What to show of its URL, if that is not `asked.shown`.
        """
        note = Note(url or asked.shown, why)
        with self._lock:
            self._notes[asked.key] = note
        return note

    def drop(self, asked: Asked) -> None:
        """Forgets what was noted of it."""
        with self._lock:
            self._notes.pop(asked.key, None)

    @property
    def all(self) -> tuple[Note, ...]:
        """Those that there are now."""
        with self._lock:
            return tuple(self._notes.values())
