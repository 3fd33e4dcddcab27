"""The strict reader: each field has its type, or the document is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.schema import Reader


class RefusedError(Exception):
    """What a document's own error stands for."""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_any_value_is_read_as_exactly_its_type_or_refused(value: object) -> None:
    def read(method: str, *arguments: object) -> object:
        try:
            return getattr(Reader({"field": value}, RefusedError), method)("field", *arguments)
        except RefusedError as error:
            assert str(error).startswith(("field ", "field["))
            return None

    text = read("text")
    assert text is None or (type(text) is str and text == value)
    number = read("number", 10)
    assert number is None or (type(number) is int and 0 <= number <= 10)
    texts = read("texts", 3)
    assert texts is None or (isinstance(texts, tuple) and [*texts] == value and len(texts) <= 3)
    assert (read("table") is None) is not isinstance(value, dict)
    tables = read("tables", 3)
    inner = value if isinstance(value, list) else [None]
    assert tables is None or all(isinstance(entry, dict) for entry in inner)


@given(VALUES)
def test_only_an_object_is_read(value: object) -> None:
    if isinstance(value, dict):
        Reader(value, RefusedError)
    else:
        with pytest.raises(RefusedError, match="it is not an object"):
            Reader(value, RefusedError)


def test_messages_name_the_field_and_a_field_that_was_not_taken() -> None:
    document = {"images": [{"name": "a"}, {"name": "b", "size": True}], "more": 1}
    reader = Reader(document, RefusedError)
    first, second = reader.tables("images", 2)
    assert (first.text("name"), second.text("name")) == ("a", "b")
    with pytest.raises(RefusedError, match=r"^images\[1\]\.size is not a whole number"):
        second.number("size", 10)
    with pytest.raises(RefusedError, match=r"^images\[0\]\.size is missing$"):
        first.number("size", 10)
    with pytest.raises(RefusedError, match=r"^more is an unknown key$"):
        reader.finish()


def test_a_key_does_nothing_to_a_terminal() -> None:
    reader = Reader({"a\x1b[2J": 1}, RefusedError)
    with pytest.raises(RefusedError, match=r"^a\\x1b\[2J is an unknown key$"):
        reader.finish()
