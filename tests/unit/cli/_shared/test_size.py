"""Sizes on the command line."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.cli._shared.size import Size


def size_of(text: object, least: int = 0) -> int:
    return Size(least).convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512b", 512),
        ("512k", 512 * 1024),
        ("512K", 512 * 1024),
        ("512KiB", 512 * 1024),
        ("512Ki", 512 * 1024),
        ("700MB", 700_000_000),
        ("700mb", 700_000_000),
        ("4GiB", 4 << 30),
        ("4 GiB", 4 << 30),
        ("  4GiB ", 4 << 30),
        ("4.7GB", 4_700_000_000),
        ("1.5k", 1536),
        ("2T", 2 << 40),
        ("20M/s", 20 << 20),
        ("20MB/s", 20_000_000),
        ("1000B/s", 1000),
        (4096, 4096),
    ],
)
def test_a_size_is_read(text: object, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "GiB", "-1", "+1", "1e3", "1,5M", ".5M", "1.M", "0x10", "1 2", "4Gb/h", "4Xi",
     "4iB", "inf", "nan", "1_000", "\u0661", "4GiB4", "9" * 400, "9" * 5_000, "1." + "0" * 5_000],
    ids=lambda text: text[:10],
)  # fmt: skip
def test_what_is_no_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no size; write it like"):
        size_of(text)


def test_a_size_that_is_too_small_is_a_usage_error() -> None:
    with pytest.raises(click.BadParameter, match="'1023' is too small: at least 1024 bytes"):
        size_of("1023", least=1024)
    assert size_of("1k", least=1024) == 1024


@given(st.integers(0, 10**15 - 1))
def test_a_number_of_bytes_is_itself(count: int) -> None:
    assert size_of(str(count)) == count


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    try:
        assert size_of(text) >= 0
    except click.BadParameter:
        return
