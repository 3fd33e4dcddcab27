from __future__ import annotations

import os
from pathlib import Path

import pytest

from airgap.disk import existing, sync, write_whole


def test_the_nearest_folder_that_is_there_is_found(tmp_path: Path) -> None:
    assert existing(tmp_path) == tmp_path
    assert existing(tmp_path / "a" / "b") == tmp_path


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600])
def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    write_whole(path, b"new", mode)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == mode
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("leftover", ["file", "link"])
def test_what_a_killed_run_or_a_stranger_left_is_not_written_through(
    tmp_path: Path, leftover: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    temporary = tmp_path / ".file.new"
    if leftover == "link":
        temporary.symlink_to(precious)
    else:
        temporary.write_text("half")
    write_whole(tmp_path / "file", b"whole")
    assert precious.read_text() == "as it was"
    assert not os.path.lexists(temporary)


def test_a_file_that_cannot_take_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_files_and_folders_are_synced(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sync(tmp_path / "file")
    sync(tmp_path)
