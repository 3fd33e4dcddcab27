"""Maps of recordings are read strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.canonical import canonical
from airgap.errors import IntegrityError
from airgap.limits import LIMITS
from airgap.oci.digest import digest_of
from airgap.replay.recording import RecordedResponse, Recording, lasts, parse_recording

HEADERS = st.tuples(
    st.sampled_from(["Content-Type", "etag", "Location"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
RESPONSES = st.builds(
    RecordedResponse,
    key=st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}"),
    url=st.text("abc:/?{}", min_size=1, max_size=20),
    status=st.integers(200, 499).filter(lasts),
    headers=st.lists(HEADERS, max_size=3).map(tuple),
    digest=st.binary(max_size=8).map(digest_of),
    size=st.just(7),
)


def entry(**changes: object) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "key": "0" * 64,
        "url": "https://h/p",
        "status": 200,
        "headers": [["Content-Type", "text/html"]],
        "digest": digest_of(b""),
        "size": 0,
    }
    return {**usual, **changes}


def test_the_form_of_a_map() -> None:
    response = RecordedResponse(
        "0" * 64, "https://h/p", 200, (("Content-Type", "text/html"),), digest_of(b""), 0
    )
    body = Recording({response.key: response}).to_bytes()
    assert json.loads(body) == {"responses": [entry()]}
    assert parse_recording(body) == Recording({response.key: response})
    assert parse_recording(Recording({}).to_bytes()) == Recording({})


@given(st.lists(RESPONSES, max_size=5))
def test_what_is_written_is_read_as_the_same(responses: list[RecordedResponse]) -> None:
    recording = Recording({response.key: response for response in responses})
    assert parse_recording(recording.to_bytes()) == recording


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_other_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_recording(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(entry())), JSON)
def test_a_field_of_any_other_kind_is_refused(name: str, value: object) -> None:
    try:
        body = canonical({"responses": [entry(**{name: value})]})
    except UnicodeEncodeError:  # half a character
        return
    try:
        recording = parse_recording(body)
    except IntegrityError:
        return
    assert recording.to_bytes() == body


@pytest.mark.parametrize(
    "change",
    [
        {"key": "0" * 63},
        {"key": "A" * 64},
        {"url": ""},
        {"url": "https://h/a b"},
        {"url": "x" * (LIMITS.url_characters + 1)},
        {"status": 199},
        {"status": 500},
        {"status": 429},
        {"status": 408},
        {"status": 200.0},
        {"status": True},
        {"headers": [["Set-Cookie", "a=b"]]},
        {"headers": [["Content-Length", "1"]]},
        {"headers": [["ETag", "a\r\nb"]]},
        {"headers": [["ETag"]]},
        {"headers": [["ETag", 1]]},
        {"headers": [["ETag", "\u20ac"]]},
        {"headers": [["ETag", "x"]] * 65},
        {"headers": {}},
        {"digest": "md5:0"},
        {"size": -1},
        {"size": LIMITS.blob_bytes + 1},
        {"more": 1},
    ],
)
def test_what_breaks_a_rule_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(IntegrityError):
        parse_recording(canonical({"responses": [entry(**change)]}))


@pytest.mark.parametrize(
    "document",
    [
        {"responses": [entry(), entry()]},
        {"responses": [entry(key="1" * 64), entry()]},
        {"responses": [entry(), entry(key="1" * 64, size=1)]},
        {"responses": [entry()], "more": 1},
        {"responses": {}},
        {"responses": [[]]},
        {},
    ],
)
def test_disorder_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(IntegrityError):
        parse_recording(canonical(document))


def test_another_form_of_the_same_is_refused() -> None:
    with pytest.raises(IntegrityError, match="canonical"):
        parse_recording(json.dumps({"responses": [entry()]}).encode())
