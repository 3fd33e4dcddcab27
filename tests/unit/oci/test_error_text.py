"""What registries say of their refusals."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.limits import LIMITS
from airgap.oci.error_text import Words, words_in


@pytest.mark.parametrize(
    ("document", "code", "text"),
    [
        ({"errors": [{"code": "DENIED", "message": "no more"}]}, "DENIED", "no more"),
        ({"errors": [{"code": "DENIED", "message": "a", "detail": "b"}]}, "DENIED", "a (b)"),
        ({"errors": [{"code": "X", "message": "a", "detail": {"Tag": "1"}}]}, "X", "a (Tag: 1)"),
        ({"errors": [{"code": "X", "message": "a", "detail": [{"Type": "r"}]}]}, "X", "a"),
        ({"errors": [{"code": "X", "message": "", "detail": "b"}]}, "X", "b"),
        ({"errors": [{"code": "X", "message": "a"}, {"message": "b"}]}, "X", "a; b"),
        ({"errors": [{"code": "not a code", "message": None}]}, "", ""),
        ({"errors": [{"code": 7}]}, "", ""),
        ({"errors": ["x", "y"]}, "", "x; y"),
        ({"errors": "x"}, "", "x"),
        ({"errors": []}, "", ""),
        ({"errors": {"code": "X", "message": "a"}}, "X", "a"),
        ({"error": {"code": 403, "message": "a", "status": "DENIED"}}, "", "a"),
        ({"error": "invalid_grant", "error_description": "it expired"}, "", "it expired"),
        ({"details": "incorrect username or password"}, "", "incorrect username or password"),
        ({"message": "Not Found"}, "", "Not Found"),
        ({}, "", ""),
    ],
)
def test_each_form_is_read(document: object, code: str, text: str) -> None:
    assert words_in(json.dumps(document).encode()) == Words(code, text)


@pytest.mark.parametrize("media_type", ["text/plain; charset=utf-8", ""])
def test_plain_text_is_shown_as_it_is(media_type: str) -> None:
    assert words_in(b"no room\n", media_type).text == "no room"


@pytest.mark.parametrize("media_type", ["text/html", "text/plain", ""])
def test_of_a_page_the_title_is_shown(media_type: str) -> None:
    page = b"<html><head><TITLE>413 Too Large &amp; more</TITLE></head><p>no room</p></html>"
    assert words_in(page, media_type).text == "413 Too Large & more"
    assert words_in(b"<html>no room</html>", media_type).text == ""


def test_of_other_types_nothing_is_shown() -> None:
    assert words_in(b"no room", "application/octet-stream").text == ""


def test_a_list_and_a_byte_order_mark_are_read() -> None:
    assert words_in(b'[{"code": "DENIED", "message": "a"}]') == Words("DENIED", "a")
    assert words_in(b'\xef\xbb\xbf{"message": "a"}').text == "a"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=1000))
def test_whatever_is_said_is_one_short_line_without_escapes(message: str) -> None:
    body = json.dumps({"errors": [{"code": "X", "message": message}]}).encode()
    text = words_in(body).text
    assert len(text) <= LIMITS.words_characters + 1
    assert text.isprintable()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_body_is_too_strange(body: bytes) -> None:
    assert words_in(body, "text/plain").text.isprintable()
