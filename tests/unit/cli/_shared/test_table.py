"""Tables fit the terminal, and stay lines for programs where there is none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airgap.cli._shared.table import table

IMAGES = [
    ("IMAGE", "SIZE", "PLATFORMS", "FOR"),
    (
        "registry.example.internal/team/library/application:2026-11-30",
        "324.1 MiB",
        "linux/amd64, linux/arm64, linux/arm/v7 (without 9 platforms)",
        "builder, base",
    ),
]


def test_a_wide_row_is_wrapped_between_words_at_80_columns() -> None:
    lines = table(IMAGES, 80).splitlines()
    assert len(lines) > 2
    for word in " ".join(IMAGES[1]).split():
        assert any(word in line for line in lines)
    assert all(len(line) <= 80 for line in lines if IMAGES[1][0] not in line)


def test_a_pipe_gets_one_line_a_row() -> None:
    assert len(table(IMAGES).splitlines()) == len(IMAGES)


@given(st.lists(st.tuples(*[st.text(st.characters(codec="ascii"), max_size=60)] * 3), min_size=1))
def test_no_word_is_lost_at_any_width(rows: list[tuple[str, str, str]]) -> None:
    wide, narrow = table(rows, 10_000), table(rows, 40)
    assert sorted(wide.split()) == sorted(narrow.split())
