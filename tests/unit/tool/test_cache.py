from __future__ import annotations

from pathlib import Path

import pytest

from airgap.tool.cache import kept


class Maker:
    """Makes other bytes each time."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> bytes:
        self.times += 1
        return b"made %d" % self.times


@pytest.fixture
def make() -> Maker:
    return Maker()


def test_the_same_ingredients_are_made_once(tmp_path: Path, make: Maker) -> None:
    assert kept(tmp_path / "tool", [b"a", b"b"], make) == b"made 1"
    assert kept(tmp_path / "tool", [b"a", b"b"], make) == b"made 1"


def test_other_ingredients_take_the_place_of_what_was_kept(tmp_path: Path, make: Maker) -> None:
    kept(tmp_path, [b"a", b"b"], make)
    assert kept(tmp_path, [b"ab"], make) == b"made 2"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_was_damaged_is_made_again(tmp_path: Path, make: Maker) -> None:
    kept(tmp_path, [b"a"], make)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"made 7")
    assert kept(tmp_path, [b"a"], make) == b"made 2"


def test_a_folder_that_cannot_be_written_to_keeps_nothing(tmp_path: Path, make: Maker) -> None:
    (tmp_path / "tool").write_text("a file")
    assert kept(tmp_path / "tool", [b"a"], make) == b"made 1"
    assert kept(tmp_path / "tool", [b"a"], make) == b"made 2"
