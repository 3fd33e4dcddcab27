"""The start of the command, on systems that it is not for."""

from __future__ import annotations

import sys

import pytest

from airgap.cli.start import main
from airgap.errors import ExitCode


def test_windows_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "argv", ["airgap", "bundle"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == ExitCode.HOST
    assert capsys.readouterr().err == (
        "error: airgap needs Linux or macOS; on Windows, run it in WSL 2\n"
    )
