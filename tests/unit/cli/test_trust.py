"""What people compare: the fingerprints that both sides print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airgap.cli.main import run
from airgap.errors import ExitCode

FINGERPRINT = re.compile(r"fingerprint (sha256:[0-9a-f]{64})$", re.M)


def test_trust_add_prints_the_fingerprint_that_keygen_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["keygen", str(tmp_path / "site")]) == ExitCode.DONE
    made = FINGERPRINT.findall(capsys.readouterr().out)
    trust = ["--trust-dir", str(tmp_path / "trust"), "trust"]
    assert run([*trust, "add", str(tmp_path / "site.pub")]) == ExitCode.DONE
    said = capsys.readouterr()
    assert FINGERPRINT.findall(said.out) == made
    assert "airgap trust remove site" in said.err
    assert len(made) == 1


def test_a_key_with_a_second_one_behind_it_is_not_trusted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("site", "other"):
        run(["keygen", str(tmp_path / name)])
    both = tmp_path / "both.pub"
    genuine, other = ((tmp_path / f"{name}.pub").read_bytes() for name in ("site", "other"))
    both.write_bytes(b"text " + other + genuine)
    trust = ["--trust-dir", str(tmp_path / "trust"), "trust", "add", str(both)]
    assert run(trust) == ExitCode.TRUST
    assert "holds more than that" in capsys.readouterr().err
    assert not (tmp_path / "trust").exists()


def test_verify_tells_a_missing_key_as_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "absent.pub"
    assert run(["verify", str(tmp_path), "--trust", str(missing)]) == ExitCode.TRUST
    assert "No such file or directory" in capsys.readouterr().err
