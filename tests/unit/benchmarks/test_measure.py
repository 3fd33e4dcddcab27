from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from airgap.errors import HostError
from benchmarks.measure import bytes_below, measure

_MIB = 1 << 20
ENVIRONMENT = {"PATH": os.environ["PATH"]}


def test_commands_run_one_after_another_in_the_folder(tmp_path: Path) -> None:
    commands = [["mkdir", "inner"], ["cp", "report-of-none", "inner"]]
    (tmp_path / "report-of-none").write_text("12345")
    took = measure(commands, tmp_path, ENVIRONMENT, sync=True)
    assert (tmp_path / "inner" / "report-of-none").exists()
    assert took.cpu_seconds > 0
    assert 0 < took.wall_seconds < 60
    assert bytes_below(tmp_path / "inner") == 5


def test_the_peak_is_of_the_command_and_not_of_who_measures(tmp_path: Path) -> None:
    ballast = bytearray(200 * _MIB)
    small = measure([["true"]], tmp_path, ENVIRONMENT, sync=False)
    code = f"x = bytearray({64 * _MIB}); x[::4096] = bytes({64 * _MIB // 4096})"
    large = measure([["true"], [sys.executable, "-c", code]], tmp_path, ENVIRONMENT, sync=False)
    assert len(ballast) > 64 * _MIB
    assert small.peak_bytes < 32 * _MIB
    assert 64 * _MIB < large.peak_bytes < 128 * _MIB


def test_a_failed_command_says_what_it_said(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('it is broken')"]
    with pytest.raises(HostError, match="it is broken"):
        measure([command, ["touch", "later"]], tmp_path, ENVIRONMENT, sync=False)
    assert not (tmp_path / "later").exists()


def test_a_command_that_is_not_there_fails_too(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="nowhere"):
        measure([["/nowhere/at-all"]], tmp_path, ENVIRONMENT, sync=False)
