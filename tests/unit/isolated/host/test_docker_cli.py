from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from airgap.errors import HostError
from airgap.isolated.host import docker_cli
from airgap.isolated.host.user import User

CLIENT_19_03 = {
    "Platform": {"Name": ""},
    "Version": "19.03.15",
    "ApiVersion": "1.40",
    "DefaultAPIVersion": "1.40",
    "Os": "linux",
    "Arch": "amd64",
    "Experimental": False,
}
"""What the client of that version prints for `docker version --format '{{json .Client}}'`."""

CLIENT_28 = {"Version": "28.2.2", "ApiVersion": "1.50", "Os": "linux", "Context": "default"}


@pytest.fixture
def user(tmp_path: Path) -> User:
    """This process's user, with a home of their own."""
    return User("someone", os.geteuid(), os.getegid(), tmp_path)


@pytest.mark.parametrize(
    ("client", "hides"),
    [
        (CLIENT_19_03, True),
        ({**CLIENT_19_03, "Experimental": True}, False),
        ({**CLIENT_19_03, "Version": "20.10.5+dfsg1"}, False),
        (CLIENT_28, False),
        ({"Version": "unknown-version"}, False),
        ({}, False),
    ],
)
def test_only_19_03_without_the_setting_hides_plugins(
    client: dict[str, object], hides: bool
) -> None:
    assert docker_cli.hides_plugins(client) == hides


def test_the_setting_is_put_beside_what_is_there_and_taken_back(user: User) -> None:
    path = docker_cli.config_path(user)
    path.parent.mkdir()
    before = (
        '{\n\t"auths": {\n\t\t"registry.example.internal": {\n\t\t\t"auth": "dTpw"\n\t\t}\n\t}\n}'
    )
    path.write_text(before)
    path.chmod(0o604)
    docker_cli.show_all(user)
    assert json.loads(path.read_text()) == {**json.loads(before), "experimental": "enabled"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    docker_cli.take_back(user)
    assert path.read_text() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["config.json"]


def test_a_file_that_was_not_there_is_gone_again(user: User) -> None:
    docker_cli.show_all(user)
    assert json.loads(docker_cli.config_path(user).read_text()) == {"experimental": "enabled"}
    docker_cli.take_back(user)
    assert not docker_cli.config_path(user).exists()


def test_what_the_user_chose_meanwhile_stays(user: User) -> None:
    docker_cli.show_all(user)
    docker_cli.config_path(user).write_text('{"experimental": "disabled"}')
    docker_cli.take_back(user)
    assert docker_cli.config_path(user).read_text() == '{"experimental": "disabled"}'


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_file_that_docker_does_not_read_is_left_alone(user: User, content: str) -> None:
    path = docker_cli.config_path(user)
    path.parent.mkdir()
    path.write_text(content, encoding="latin-1")
    with pytest.raises(HostError, match=r"config\.json"):
        docker_cli.show_all(user)
    assert path.read_text(encoding="latin-1") == content


def test_a_link_stays_and_what_it_leads_to_is_written_and_restored(
    user: User, tmp_path: Path
) -> None:
    path, target = docker_cli.config_path(user), tmp_path / "dotfiles.json"
    target.write_text("{}")
    target.chmod(0o640)
    path.parent.mkdir()
    path.symlink_to(target)
    docker_cli.show_all(user)
    assert json.loads(target.read_text()) == {"experimental": "enabled"}
    docker_cli.take_back(user)
    assert (path.readlink(), target.read_text()) == (target, "{}")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("blank", ["", " \n", "null"])
def test_a_blank_file_is_read_as_the_docker_command_reads_it(user: User, blank: str) -> None:
    path = docker_cli.config_path(user)
    path.parent.mkdir()
    path.write_text(blank)
    docker_cli.show_all(user)
    assert json.loads(path.read_text()) == {"experimental": "enabled"}


def test_where_the_user_keeps_the_configuration_is_asked_first(
    user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "own"))
    assert docker_cli.config_path(user) == tmp_path / "own" / "config.json"
    assert user.buildx_folder == tmp_path / "own" / "buildx"
    monkeypatch.setenv("BUILDX_CONFIG", str(tmp_path / "buildx"))
    assert user.buildx_folder == tmp_path / "buildx"
