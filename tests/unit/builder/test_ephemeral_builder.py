"""One workshop at a time, which no other user can hold up or look into."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from airgap.builder.ephemeral_builder import ephemeral_folder
from airgap.errors import HostError

HOLDER = (
    "import sys; from pathlib import Path\n"
    "from airgap.builder.ephemeral_builder import ephemeral_folder\n"
    "with ephemeral_folder(Path(sys.argv[1])) as folder:\n"
    "    (folder / 'left').touch(); print('held', flush=True); sys.stdin.read()"
)


def test_a_second_one_waits_and_a_killed_one_gives_way(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(HostError, match="another airgap records or rehearses"),
            ephemeral_folder(tmp_path),
        ):
            pass
        assert (tmp_path / "workshop/left").exists()
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    with ephemeral_folder(tmp_path) as folder:
        assert list(folder.iterdir()) == []
    assert not folder.exists()


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_other_users_cannot_read_it_or_hold_its_lock(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with ephemeral_folder(tmp_path / "cache") as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (lock,) = (path for path in folder.parent.iterdir() if path != folder)
            assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_name_that_any_user_can_take_holds_up_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind("\0airgap-workshop")
        with ephemeral_folder(tmp_path) as folder:
            assert folder.is_dir()


def test_a_folder_that_others_can_change_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(HostError, match="other users can change"), ephemeral_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
