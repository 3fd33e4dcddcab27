"""Versions as programs print them, and their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.versions import Version, version_in

NUMBERS = st.lists(st.integers(0, 10**6), min_size=2, max_size=4).map(tuple)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("github.com/docker/buildx v0.36.1 6a6b08b1", (0, 36, 1)),
        ("29.1.3-0ubuntu3~22.04.2", (29, 1, 3)),
        ("20.10.5+dfsg1", (20, 10, 5)),
        ("Docker version 28.2.2, build e6534b4", (28, 2, 2)),
        ("1.7-labs", (1, 7)),
        ("airgap, version 0.1.0", (0, 1, 0)),
        ("1", ()),
        ("labs", ()),
        ("", ()),
    ],
)
def test_the_first_version_of_a_text_is_found(text: str, numbers: tuple[int, ...]) -> None:
    assert version_in(text).numbers == numbers


def test_a_pre_release_is_older_than_its_release_and_newer_than_the_one_before() -> None:
    texts = ["", "0.9", "1.0.0a1", "v1.0.0-beta.24", "1.0.0rc1", "1.0.0-rc.2", "1.0.0", "1.0.1"]
    versions = [version_in(text) for text in texts]
    assert versions == sorted(versions)
    assert len(set(versions)) == len(versions)


@given(NUMBERS, NUMBERS)
def test_releases_are_ordered_by_their_numbers(
    first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    texts = [".".join(map(str, numbers)) for numbers in (first, second)]
    older, newer = map(version_in, texts)
    assert (older < newer) is (first < second)
    assert str(older) == texts[0]
    assert Version(first) == older
