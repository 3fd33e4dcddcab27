"""What is written as TOML is read as what it was."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.spec.toml import text, texts

any_text = st.text(st.characters(exclude_categories=["Cs"]))


@given(any_text)
def test_every_text_is_written_as_toml_reads_it(value: str) -> None:
    written = f"key = {text(value)}\n"
    assert written.isascii()
    assert tomllib.loads(written) == {"key": value}


@given(st.lists(any_text))
def test_every_list_of_texts_is(values: list[str]) -> None:
    assert tomllib.loads(f"key = {texts(values)}") == {"key": values}


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb"])
def test_half_a_character_is_not_written(value: str) -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        text(value)
