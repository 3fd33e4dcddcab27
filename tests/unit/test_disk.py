from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from airgap.disk import (
    check_writable,
    copy_theirs,
    nearest_existing,
    sync,
    write_atomic,
    write_theirs,
)
from tests.refusing import run_refusing


def test_the_nearest_folder_that_is_there_is_found(tmp_path: Path) -> None:
    assert nearest_existing(tmp_path) == tmp_path
    assert nearest_existing(tmp_path / "a" / "b") == tmp_path


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600])
def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    write_atomic(path, b"new", mode)
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
    write_atomic(tmp_path / "file", b"whole")
    assert precious.read_text() == "as it was"
    assert not os.path.lexists(temporary)


def test_a_file_that_cannot_take_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_files_and_folders_are_synced(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sync(tmp_path / "file")
    sync(tmp_path)


def facts(path: Path) -> tuple[object, ...]:
    """What of a file belongs to its owner."""
    about = path.stat()
    marks = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    return (about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode), marks)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A file with an owner, a mode and an attribute that none of ours has."""
    path = tmp_path / "theirs"
    path.write_text("before, and longer than afterwards")
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
    path.chmod(0o604)
    os.setxattr(path, "user.mark", b"kept")
    return path


@pytest.mark.parametrize("way", ["plain", "link", "link to a link", "relative link", "hard link"])
def test_of_a_file_of_others_nothing_but_the_content_changes(
    theirs: Path, tmp_path: Path, way: str
) -> None:
    path, before = tmp_path / "folder" / "name", facts(theirs)
    path.parent.mkdir()
    if way == "plain":
        path = theirs
    elif way == "hard link":
        path.hardlink_to(theirs)
    elif way == "relative link":
        path.symlink_to("../theirs")
    elif way == "link":
        path.symlink_to(theirs)
    else:
        (tmp_path / "second").symlink_to(theirs)
        path.symlink_to(tmp_path / "second")
    leads_to = path.readlink() if path.is_symlink() else None
    write_theirs(path, b"after")
    assert theirs.read_bytes() == path.read_bytes() == b"after"
    assert facts(theirs) == before
    assert (path.readlink() if path.is_symlink() else None) == leads_to
    assert not list(tmp_path.rglob("*.new"))


def test_a_link_that_led_nowhere_leads_to_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "link"
    path.symlink_to(tmp_path / "target")
    write_theirs(path, b"data")
    assert (path.is_symlink(), (tmp_path / "target").read_bytes()) == (True, b"data")


@pytest.mark.parametrize("kind", ["folder", "fifo", "loop"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(path)
    with pytest.raises(OSError, match=r"regular file|Too many levels|Is a directory"):
        write_theirs(path, b"data")


@pytest.mark.parametrize("way", ["file", "link", "link to nothing"])
def test_a_copy_is_as_it_was_and_comes_back_so(theirs: Path, tmp_path: Path, way: str) -> None:
    path = theirs
    if way != "file":
        path = tmp_path / "link"
        path.symlink_to("theirs" if way == "link" else "nothing")
    before = path.lstat()
    copy_theirs(path, tmp_path / "kept")
    path.unlink()
    path.write_text("ours")
    copy_theirs(tmp_path / "kept", path)
    after = path.lstat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    if way == "file":
        assert path.read_text() == "before, and longer than afterwards"
        assert os.getxattr(path, "user.mark") == b"kept"
    else:
        assert str(path.readlink()) == ("theirs" if way == "link" else "nothing")


def test_what_can_be_written_or_made_is_writable_and_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for path in ("file", "link", "a/b/c", ""):
        check_writable(tmp_path / path)
    assert {one.name for one in tmp_path.iterdir()} == {"file", "link"}
    with pytest.raises(NotADirectoryError):
        check_writable(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("link", "leads_to", "path"),
    [
        ("file", "/dev/null", "file"),
        ("file", "no/such/folder/file", "file"),
        ("folder", "no/such/folder", "folder/file"),
    ],
)
def test_what_write_theirs_refuses_is_not_writable(
    tmp_path: Path, link: str, leads_to: str, path: str
) -> None:
    (tmp_path / link).symlink_to(leads_to)
    for act in (check_writable, lambda place: write_theirs(place, b"{}")):
        with pytest.raises(OSError, match=r"link|regular|No such file"):
            act(tmp_path / path)


def test_a_place_that_is_read_only_is_not_writable() -> None:
    with pytest.raises(OSError, match=r"Read-only|denied"):
        check_writable(Path("/proc/version/../sys/kernel/none"))


# What FAT, exFAT, NTFS, shares and FUSE answer where they have no modes, or sync no folders.
REFUSED = [
    (call, number)
    for call in ("fchmod", "fsync", "fchown")
    for number in (errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
    if (call, number) != ("fsync", errno.EPERM)
]


@pytest.mark.parametrize(("call", "number"), REFUSED)
def test_a_bundle_is_made_where_a_file_system_cannot_do_what_is_worth_nothing_there(
    call: str, number: int, tmp_path: Path
) -> None:
    done = run_refusing(
        call,
        number,
        """
        from pathlib import Path
        from airgap.bundle.media import Media
        from airgap.bundle.verify import read_signed, verify_all
        from airgap.progress import Progress
        from tests.forge import new_key
        from tests.unit.connected.test_write_bundle import write
        key = new_key()
        write(Path("bundle"), key, None)
        media = Media([Path("bundle")])
        verify_all(media, read_signed(media, [key.public]).contents, Progress())
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "bundle.json" in {path.name for path in (tmp_path / "bundle").iterdir()}


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_bundle_is_made_where_a_file_system_has_no_locks(number: int, tmp_path: Path) -> None:
    done = run_refusing(
        "flock",
        number,
        """
        from pathlib import Path
        from tests.forge import new_key
        from tests.unit.connected.test_write_bundle import write
        write(Path("bundle"), new_key(), None)
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_a_disk_that_fails_is_not_taken_for_one_that_cannot(tmp_path: Path) -> None:
    program = """
        from pathlib import Path
        from airgap.disk import write_atomic
        write_atomic(Path("file"), b"data")
    """
    for call in ("fchmod", "fsync"):
        assert "OSError" in run_refusing(call, errno.EIO, program, tmp_path).stderr
        assert list(tmp_path.iterdir()) == []


def test_a_private_file_is_private_also_where_modes_cannot_be_set(tmp_path: Path) -> None:
    done = run_refusing(
        "fchmod",
        errno.EPERM,
        """
        from pathlib import Path
        from airgap.disk import write_atomic
        write_atomic(Path("file"), b"secret", 0o600)
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
