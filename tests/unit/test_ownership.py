"""Who else can change what: real files, real users, real locks."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from airgap.ownership import changeable_by_others, open_locked

OTHER = 65534
NOW = fcntl.LOCK_EX | fcntl.LOCK_NB


def test_a_folder_of_our_own_is_ours_alone(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/../a")
    for path in (tmp_path / "a/b", tmp_path / "link/b", tmp_path / "absent/below", Path("/")):
        assert changeable_by_others(path) is None


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o1777, 0o1775])
@pytest.mark.parametrize("below", ["", "b", "b/c", "absent/c"])
def test_a_mode_that_lets_others_write_is_found(tmp_path: Path, mode: int, below: str) -> None:
    folder = tmp_path / "a"
    (folder / "b/c").mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(folder, -1, OTHER)
    folder.chmod(mode)
    # With the sticky bit, others cannot replace what is in the folder and not theirs.
    kept = bool(mode & stat.S_ISVTX) and below in ("b", "b/c", "absent/c")
    open_to_others = os.geteuid() == 0 or bool(mode & stat.S_IWOTH)
    expected = folder if open_to_others and not kept else None
    assert changeable_by_others(folder / below) == expected


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_file_that_others_can_write_is_found(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.touch()
    os.chown(path, -1, OTHER)
    path.chmod(mode)
    assert changeable_by_others(path) == path


@pytest.mark.parametrize("depth", range(4))
def test_each_part_must_be_ours_or_roots(tmp_path: Path, depth: int) -> None:
    parts = [tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b/c", tmp_path / "a/b/c/d"]
    parts[-1].mkdir(parents=True)
    os.chown(parts[depth], OTHER, OTHER)
    assert changeable_by_others(parts[-1]) == parts[depth]


def test_where_a_link_leads_counts_and_where_it_is(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name / "inner").mkdir(parents=True)
    (tmp_path / "ours/link").symlink_to(tmp_path / "theirs")
    (tmp_path / "theirs/link").symlink_to(tmp_path / "ours")
    (tmp_path / "up").symlink_to("theirs/../ours")
    os.chown(tmp_path / "theirs", OTHER, OTHER)
    for name in ("ours/link/inner", "theirs/link/inner", "up/inner", "theirs/../ours/inner"):
        assert changeable_by_others(tmp_path / name) == tmp_path / "theirs", name


def test_a_link_of_somebody_else_is_found_in_a_folder_like_tmp(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    link = tmp_path / "tmp/link"
    link.symlink_to(tmp_path / "ours")
    assert changeable_by_others(link) is None
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    assert changeable_by_others(link) == link


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        changeable_by_others(tmp_path / "a/c")


def test_one_at_a_time_has_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    descriptor = open_locked(path, NOW)
    with pytest.raises(BlockingIOError):
        open_locked(path, NOW)
    os.close(descriptor)
    os.close(open_locked(path, NOW))


def test_who_waited_for_a_lock_that_was_replaced_has_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = open_locked(path, NOW)
    program = (
        "import fcntl, os, sys; from pathlib import Path; from airgap.ownership import *\n"
        "print('begun', flush=True)\n"
        "file = open_locked(Path(sys.argv[1]), fcntl.LOCK_EX)\n"
        "print(os.fstat(file).st_ino, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "begun\n"
        path.unlink()
        os.close(first)
        assert int(waiting.stdout.readline()) == path.stat().st_ino
        with pytest.raises(BlockingIOError):
            open_locked(path, NOW)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666])
def test_a_lock_that_others_could_open_is_replaced(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "lock"
    path.touch()
    path.chmod(mode)
    with path.open() as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        descriptor = open_locked(path, NOW)
        assert stat.S_IMODE(os.fstat(descriptor).st_mode) == 0o600
        assert os.path.samestat(os.fstat(descriptor), path.stat())
        os.close(descriptor)


def test_a_lock_of_somebody_else_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch(0o600)
    os.chown(path, OTHER, OTHER)
    os.close(open_locked(path, NOW))
    assert path.stat().st_uid == os.geteuid()


def test_what_is_no_file_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(OSError, match=r"symbolic link|regular file|directory"):
            open_locked(tmp_path / name, NOW)
    assert not (tmp_path / "elsewhere").exists()


def test_another_user_cannot_lock_what_we_lock(tmp_path: Path) -> None:
    """The real `flock` as a user without any right here."""
    open_to_all = Path(os.path.realpath(tmp_path))
    for folder in (open_to_all, *open_to_all.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    os.close(open_locked(tmp_path / "lock", NOW))
    as_other = ["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups"]
    command = [*as_other, "flock", "--nonblock", str(tmp_path / "lock"), "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Permission denied" in done.stderr
