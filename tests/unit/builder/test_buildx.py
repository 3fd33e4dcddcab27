"""What buildx says goes through our hands where it is not painted on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.builder.buildx import Buildx
from airgap.errors import HostError

_PROGRAM = """\
#!/bin/sh
echo "$*"
echo "$VARIABLE canary" >&2
printf 'no newline at the end' >&2
exit 3
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "buildx"
    path.write_text(_PROGRAM)
    path.chmod(0o700)
    return path


def test_lines_are_shown_as_they_are_to_be(
    program: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    buildx = Buildx([str(program)], "b")
    status = buildx.build(["."], {"VARIABLE": "v"}, lambda line: line.replace("canary", "hidden"))
    assert status == 3
    out, err = capfd.readouterr()
    assert out == "build --builder b .\n"
    assert err == "v hidden\nno newline at the end"


def test_a_buildx_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot run"):
        Buildx([str(tmp_path / "none")], "b").build(["."], {}, str)
