from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from airgap.cli._shared.settings import Settings
from airgap.errors import HostError
from airgap.isolated.host.files import write_file
from airgap.isolated.state.changes import Changes
from airgap.isolated.state.layout import State
from airgap.isolated.state.settings import HostSettings


def test_settings_are_the_defaults_until_they_are_saved(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert state.settings() == HostSettings(5001, 5000, ())
    chosen = HostSettings(6001, 6000, ("harbor.example.internal",))
    state.save_settings(chosen)
    assert State(tmp_path).settings() == chosen


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"site_registries":[],"other":1}', "\xff"])
def test_damaged_settings_are_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(HostError, match=r"settings\.json"):
        State(tmp_path).settings()


def test_a_second_command_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    holder = (
        "import sys; from pathlib import Path; from airgap.isolated.state.layout import State\n"
        "with State(Path(sys.argv[1])).lock('airgap install'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(HostError, match=f"airgap install, process {other.pid}"),
            State(tmp_path).lock("airgap uninstall"),
        ):
            pass
    with State(tmp_path).lock("airgap uninstall"):
        assert "airgap uninstall" in (tmp_path / "lock").read_text()


def test_the_lock_of_a_killed_command_is_free(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from airgap.isolated.state.layout import State\n"
        "lock = State(Path(sys.argv[1])).lock('airgap install'); lock.__enter__()\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    with State(tmp_path).lock("airgap install"):
        pass


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o640, 0o666])
def test_a_lock_that_others_hold_or_could_hold_blocks_nobody(tmp_path: Path, mode: int) -> None:
    """An earlier version made the file so that every user could open and lock it."""
    path = tmp_path / "lock"
    path.touch()
    path.chmod(mode)
    with path.open() as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with State(tmp_path).lock("airgap install"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nobody_else_can_open_the_lock_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with State(tmp_path / "state").lock("airgap install"):
            assert stat.S_IMODE((tmp_path / "state/lock").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_folder_that_others_can_change_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    for root in (tmp_path / "shared", tmp_path / "shared/state", tmp_path / "shared/a/b"):
        with (
            pytest.raises(HostError, match=r"other users can change .*/shared"),
            State(root).lock("airgap install"),
        ):
            pass
        with pytest.raises(HostError, match="--root"):
            assert Settings.choose(root, None, quiet=True).root


def test_changes_are_kept_in_order_once_each(tmp_path: Path) -> None:
    changes = Changes(State(tmp_path))
    for what in ("b", "a", "b"):
        changes.add("load", what)
    changes.add("enable", "alice")
    assert Changes(State(tmp_path)).of("load") == ["b", "a"]
    changes.forget("load")
    assert (changes.of("load"), changes.of("enable")) == ([], ["alice"])
    changes.forget("enable")
    assert not (tmp_path / "changes").exists()


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "program"
    write_file(path, b"old", 0o755)
    write_file(path, b"new", 0o755)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o755
    assert [entry.name for entry in path.parent.iterdir()] == ["program"]


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HostError, match="file/below"):
        write_file(tmp_path / "file" / "below", b"")
