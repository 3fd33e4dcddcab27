"""The configuration file: strict, the user's own, and weaker than the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from airgap.cli._shared.defaults import read_defaults
from airgap.cli.main import cli, run
from airgap.errors import ExitCode, HostError, UsageError

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the configuration file of the user."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "airgap").mkdir()

    def write(text: str) -> Path:
        path = tmp_path / "airgap" / "config.toml"
        path.write_text(text)
        return path

    return write


def command(verb: str) -> click.Command:
    found = cli.get_command(click.Context(cli), verb)
    assert found is not None
    return found


def defaults(path: Path) -> dict[str, object]:
    return read_defaults(path, "bundle", command("bundle"))


def test_paths_begin_at_the_file_and_other_values_stay(write: Write) -> None:
    path = write('[bundle]\nkey = "site.key"\njobs = 8\nplatform = ["linux/arm64"]\n')
    assert defaults(path) == {
        "key": str(path.parent / "site.key"),
        "jobs": 8,
        "platform": ["linux/arm64"],
    }
    assert read_defaults(path, "update", command("update")) == {}
    assert defaults(path.with_name("absent.toml")) == {}


def test_a_default_holds_until_the_command_line_says_otherwise(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write('[bundle]\noutput = "out"\nplatform = ["linux/arm46"]\n')
    assert run(["bundle", "alpine", "--dry-run"]) == ExitCode.USAGE
    assert "no such platform: 'linux/arm46'" in capsys.readouterr().err
    assert run(["bundle", "alpine", "--dry-run", "--platform", "linux/amd46"]) == ExitCode.USAGE
    assert "no such platform: 'linux/amd46'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[bundle]\nkee = 1\n", "bundle has no option 'kee'"),
        ("bundle = 1\n", "bundle must be a section"),
        ("[bundle\n", "is not TOML"),
        ("[bundle]\nrequests = []\n", "bundle has no option 'requests'"),
    ],
)
def test_what_the_file_must_not_say_is_named(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(UsageError, match=str(path)) as caught:
        defaults(path)
    assert message in caught.value.message


def test_a_file_that_others_can_change_is_not_taken(write: Write) -> None:
    path = write('[bundle]\nkey = "theirs.key"\n')
    path.chmod(0o666)
    with pytest.raises(HostError, match="other users can change"):
        defaults(path)


def test_help_needs_no_configuration(write: Write) -> None:
    write("[bundle\n")
    assert CliRunner().invoke(cli, ["--help"]).exit_code == ExitCode.DONE
