"""Names of files on a medium, which whoever made it chose, do nothing to a terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airgap.cli.main import run
from airgap.errors import ExitCode
from tests import forge

NAMES = {
    b"plain name": "plain name",
    b"\xc3\xa9t\xc3\xa9": "été",
    b"latin \xe9": "latin \\udce9",
    b"\x1b[2J\x1b]0;title\x07": "\\x1b[2J\\x1b]0;title\\x07",
    b"\ngood: site, signed by boss": "\\ngood: site, signed by boss",
    "\u202egnp.exe".encode(): "\\u202egnp.exe",
}


@pytest.mark.parametrize("verb", ["verify", "install"])
def test_names_that_nobody_has_signed_are_shown_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    key, folder = forge.new_key(), tmp_path / "bundle"
    forge.make_bundle(folder, key)
    (tmp_path / "site.pub").write_bytes(key.public.pem())
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()
    only = ["--only", "seed"] if verb == "install" else []
    state = ["--root", str(tmp_path / "state"), "--trust-dir", str(tmp_path / "none")]
    trust = ["--trust", str(tmp_path / "site.pub")]
    assert run([*state, verb, str(folder), *trust, *only]) == ExitCode.DONE
    shown = capsys.readouterr().err.splitlines()
    expected = {f"not part of the bundle, not opened: {folder}/{name}" for name in NAMES.values()}
    assert {line for line in shown if "not part" in line} == expected
    assert not any("good:" in line for line in shown if "not part" not in line)
