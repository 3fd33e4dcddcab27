"""Answers a build from recordings, where there is no network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from airgap.errors import AirgapError
from airgap.replay.headers import Headers
from airgap.replay.recording import RecordedResponse, Recording
from airgap.replay.redaction import Arguments, arguments_of, reveal
from airgap.replay.request import RequestKey
from airgap.replay.responses import (
    GIT_WAY_ROUND,
    Listed,
    Note,
    Notes,
    Response,
    is_git,
    refusal,
    text_answer,
)
from airgap.store.store import Store

_WHOLE, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416
# Not 404, which is an answer: go would ask the next proxy, pip the next index, cargo and npm would
# say that there is no such package, and a build could end well with something else in it. Not 5xx
# or 429, which curl, pip, npm, apt and cargo try again for up to minutes. 403 ends each of them at
# once, and most print the phrase that follows the status.
_MISS, _MISS_REASON = 403, "Not in the recording"
_RANGE = re.compile(r"bytes=([0-9]{1,18})?-([0-9]{1,18})?")
# Those of a whole answer that are wrong for a part of it.
_OF_THE_WHOLE = ("content-md5", "content-digest")


class Replay:
    """Answers from recordings.

    Args:
        store: Where the bodies are.
        recordings: The first that has an answer gives it.
        arguments: The build's arguments: they are put back where the recording names them.
    """

    def __init__(
        self,
        store: Store,
        recordings: Sequence[Recording],
        arguments: Mapping[str, str] | None = None,
    ) -> None:
        self._store = store
        self._recordings = tuple(recordings)
        self._arguments = arguments_of(arguments or {})
        self._misses = Listed[RequestKey]()
        self._refused, self._errors = Notes(), Notes()

    @property
    def misses(self) -> tuple[RequestKey, ...]:
        """What was asked for and is in no recording, each once."""
        return self._misses.all

    @property
    def unlisted(self) -> int:
        """How many more were asked for, when there were too many misses to list."""
        return self._misses.unlisted

    @property
    def refused(self) -> tuple[Note, ...]:
        """What no recording can have, each with the way round."""
        return self._refused.all

    @property
    def errors(self) -> tuple[Note, ...]:
        """What is recorded and could not be given: each with what is wrong and the remedy."""
        return self._errors.all

    def answer(self, key: RequestKey, sent: Headers, user: str) -> Response:
        """Return the recorded response, in full: conditions are ignored.

        That is enough for BuildKit, which compares ETags by itself (`source/http/source.go`).
        """
        key = key.knowing(self._arguments)
        if is_git(key):
            return refusal(self._refused.add(key, GIT_WAY_ROUND))
        if response := self._find(key):
            return self._present(key, response, self._recorded)
        whole = self._find(key.whole()) if key.range else None
        if whole and whole.status == _WHOLE:
            return self._present(key, whole, self._part)
        return self._miss(key)

    def _present(
        self,
        key: RequestKey,
        response: RecordedResponse,
        answer: Callable[[RequestKey, RecordedResponse], Response],
    ) -> Response:
        try:
            self._store.blob_size(response.digest)
        except AirgapError as error:
            return refusal(self._errors.add(key, str(error)))
        return answer(key, response)

    def _miss(self, key: RequestKey) -> Response:
        self._misses.put(key.key, key, key.size)
        return text_answer(
            _MISS,
            f"{key.shown} is not in the recording: record this build again where there is a "
            "network, or ask for it with the request file that airgap writes",
            ("Airgap-Miss", "1"),
            reason=_MISS_REASON,
        )

    def _find(self, key: RequestKey) -> RecordedResponse | None:
        for recording in self._recordings:
            if key.key in recording.responses:
                return recording.responses.get(key.told_apart.key, recording.responses[key.key])
        return None

    def _recorded(self, key: RequestKey, response: RecordedResponse) -> Response:
        return recorded_answer(response, self._body(key, response), self._arguments)

    def _part(self, key: RequestKey, whole: RecordedResponse) -> Response:
        """Return a range of an answer that was recorded whole (RFC 9110, 14)."""
        part = _range_of(key.range, whole.size)
        if part is None:  # several ranges, or none that is understood: the whole is allowed
            return self._recorded(key, whole)
        if not part:
            stated = ("Content-Range", f"bytes */{whole.size}")
            return text_answer(_NOT_SATISFIABLE, "the recorded file is shorter", stated)
        named = (
            *(header for header in whole.headers if header[0].lower() not in _OF_THE_WHOLE),
            ("Content-Range", f"bytes {part.start}-{part.stop - 1}/{whole.size}"),
        )
        body = _cut_out(self._body(key, whole), part)
        return Response(_PARTIAL, named, body, len(part))

    def _body(self, key: RequestKey, response: RecordedResponse) -> Iterator[bytes]:
        """Yield the pieces of a body; the last comes only if the digest holds."""
        try:
            yield from self._store.blob(response.digest)
        except AirgapError as error:
            self._errors.add(key, str(error))
            raise
        except OSError as error:
            self._errors.add(key, f"it cannot be read: {error.strerror}")
            raise


def recorded_answer(
    response: RecordedResponse, body: Iterator[bytes], arguments: Arguments
) -> Response:
    """Return an answer as it was recorded, for a build that has these arguments."""
    named = tuple(
        (name, reveal(value, arguments) if name.lower() == "location" else value)
        for name, value in response.headers
    )
    return Response(response.status, named, body, response.size)


def _range_of(text: str, size: int) -> range | None:
    """Return the bytes that a Range header names; empty if there are none of them."""
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if match is None or match.group(1, 2) == (None, None):
        return None
    first, last = (int(part) if part else None for part in match.groups())
    if first is None:
        return range(max(0, size - (last or 0)), size)
    if last is not None and last < first:
        return None
    return range(min(first, size), min(size, size if last is None else last + 1))


def _cut_out(pieces: Iterator[bytes], span: range) -> Iterator[bytes]:
    """Yield a part of a body; its last bytes come after the digest of the whole was checked."""
    position, held = 0, b""
    for piece in pieces:
        part = piece[max(0, span.start - position) : max(0, span.stop - position)]
        position += len(piece)
        if part:
            if held:
                yield held
            held = part
    yield held
