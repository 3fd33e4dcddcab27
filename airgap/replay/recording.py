"""The map of a recording: which answer each URL had. Read strictly, written canonically.

{"responses":[{"key":HEX,"url":"https://…","status":200,"headers":[["Content-Type","…"]],
               "digest":"sha256:…","size":123}]}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from airgap.canonical import canonical
from airgap.errors import IntegrityError
from airgap.limits import LIMITS
from airgap.oci.digest import is_digest
from airgap.oci.manifest import load_json
from airgap.replay.headers import Headers, is_kept

_WHAT = "a recording's map"
_KEY = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"[!-~]+")
_FIRST_STATUS, _SERVER_ERRORS = 200, 500
# Request Timeout and Too Many Requests say nothing of what was asked for.
_PASSING = (408, 429)


@dataclass(frozen=True, slots=True)
class RecordedResponse:
    """An answer that was recorded.

    Attributes:
        key: Of what was asked; see `RequestKey.key`.
        url: For people; see `RequestKey.shown`.
        status: From 200 to 499.
        headers: Those that are kept, in order.
        digest: Of its body, as it was sent.
        size: Of its body, in bytes.
    """

    key: str
    url: str
    status: int
    headers: Headers
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Recording:
    """What the requests of one build were answered: key to response."""

    responses: Mapping[str, RecordedResponse]

    def to_bytes(self) -> bytes:
        """Return the canonical bytes of the map."""
        ordered = [
            {name: getattr(self.responses[key], name) for name in _FIELDS}
            for key in sorted(self.responses)
        ]
        return canonical({"responses": ordered})


def size_of(response: RecordedResponse) -> int:
    """Return how many bytes a response needs in a map, at most."""
    return len(Recording({response.key: response}).to_bytes())


def is_valid(response: RecordedResponse) -> bool:
    """Return whether a map may have a response: readers refuse all of a map that has another."""
    fields = {name: getattr(response, name) for name in _FIELDS}
    fields["headers"] = [list(header) for header in response.headers]
    fits = all(accept(fields[name]) for name, accept in _FIELDS.items())
    return fits and size_of(response) <= LIMITS.response_room_bytes


def lasts(status: int) -> bool:
    """Return whether an answer of this status is worth keeping: a failure of the moment is not."""
    return _FIRST_STATUS <= status < _SERVER_ERRORS and status not in _PASSING


def parse_recording(body: bytes) -> Recording:
    """Read a map.

    Raises:
        IntegrityError: The bytes break a rule of the format; the message names it.
    """
    document = load_json(body, _WHAT, LIMITS.recording_bytes)
    entries = document.get("responses")
    if set(document) != {"responses"} or not isinstance(entries, list):
        raise _broken("it is not a list of responses")
    if len(entries) > LIMITS.responses:
        raise _broken(f"it has more than {LIMITS.responses} responses")
    responses = [_response(entry) for entry in entries]
    recording = Recording({response.key: response for response in responses})
    try:
        same = recording.to_bytes() == body
    except ValueError:  # half a character, which UTF-8 cannot say
        same = False
    if not same:
        raise _broken("it is not in canonical form (sorted, no spaces, no duplicates)")
    _check_sizes(responses)
    return recording


def _response(entry: object) -> RecordedResponse:
    if not isinstance(entry, dict) or set(entry) != set(_FIELDS):
        raise _broken("a response has other fields than it should")
    for name, accept in _FIELDS.items():
        if not accept(entry[name]):
            raise _broken(f"the {name} of a response cannot be {str(entry[name])[:80]!r}")
    headers = tuple((name, value) for name, value in entry["headers"])
    return RecordedResponse(**{**entry, "headers": headers})


def _check_sizes(responses: list[RecordedResponse]) -> None:
    sizes: dict[str, int] = {}
    for response in responses:
        if sizes.setdefault(response.digest, response.size) != response.size:
            raise _broken(f"{response.digest} has two sizes")


def _is_text(value: object, pattern: re.Pattern[str], most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and pattern.fullmatch(value) is not None


def _is_number(value: object) -> TypeGuard[int]:
    return type(value) is int


def _are_headers(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= LIMITS.response_headers
        and all(isinstance(item, list) and list(map(type, item)) == [str, str] for item in value)
        and all(is_kept(*item) for item in value)
    )


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "key": lambda value: _is_text(value, _KEY, 64),
    "url": lambda value: _is_text(value, _URL, LIMITS.url_characters),
    "status": lambda value: _is_number(value) and lasts(value),
    "headers": _are_headers,
    "digest": lambda value: isinstance(value, str) and is_digest(value),
    "size": lambda value: _is_number(value) and 0 <= value <= LIMITS.blob_bytes,
}


def _broken(why: str) -> IntegrityError:
    return IntegrityError(
        f"{_WHAT} breaks a rule of the format: {why}",
        meaning="It was not made by airgap, or was changed. Nothing of it was used.",
        remedy="ask for a new copy from where the bundle was made",
    )
