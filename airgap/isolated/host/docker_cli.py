"""The docker command of 19.03, which hides plugins that are marked as experimental.

buildx was marked so then. The command shows them if the user's `config.json` says
`"experimental": "enabled"`, or the variable `DOCKER_CLI_EXPERIMENTAL` does; since 20.10 it always
shows them. (docker/cli 19.03, `cli-plugins/manager/plugin.go` and `cli/command/cli.go`.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airgap.docker_config import FILE_NAME, parse_config
from airgap.errors import HostError
from airgap.isolated.host.system import last_lines
from airgap.isolated.host.user import User
from airgap.limits import LIMITS
from airgap.versions import Version, version_in

_FIRST_THAT_SHOWS_ALL = Version((20, 10))
_KEY, _VALUE = "experimental", "enabled"
_LINE = f'"{_KEY}": "{_VALUE}"'


def config_path(user: User) -> Path:
    """Return the configuration of the user's docker command."""
    return user.docker_folder / FILE_NAME


def problem(user: User) -> str:
    """Return what to set if the user's docker command may hide buildx; empty if it does not."""
    done = user.run(["docker", "version", "--format", "{{json .Client}}"])
    try:
        # A second line, if any, says that Docker does not answer.
        client = json.loads(done.stdout.split("\n", 1)[0])
    except ValueError:
        return ""
    if not hides_plugins(client):
        return ""
    return f"Docker {client['Version']} hides buildx without {_LINE} in {config_path(user)}"


def hides_plugins(client: Mapping[str, Any]) -> bool:
    """Return whether a docker command does, by what `docker version` says of it (`.Client`)."""
    version = version_in(str(client.get("Version", "")))
    return bool(version) and version < _FIRST_THAT_SHOWS_ALL and not client.get("Experimental")


def show_all(user: User) -> None:
    """Set it in the user's configuration, beside what is there.

    Raises:
        HostError: The file is not what the docker command writes, or cannot be written.
    """
    _write(user, {**_read(user), _KEY: _VALUE})


def take_back(user: User) -> None:
    """Undo `show_all`, unless the user has changed the setting since.

    Raises:
        HostError: As for `show_all`.
    """
    config = _read(user)
    if config.pop(_KEY, None) == _VALUE:
        _write(user, config)


def _read(user: User) -> dict[str, Any]:
    path = config_path(user)
    if user.run(["test", "-e", str(path)]).returncode != 0:
        return {}
    try:
        # As the user: root must not follow links in someone's home.
        if user.run(["test", "-f", str(path)]).returncode != 0:
            raise ValueError("it is no regular file")
        read = user.run(["head", "-c", str(LIMITS.spec_bytes), "--", str(path)])
        if read.returncode != 0:
            raise ValueError(last_lines(read.stderr))
        return parse_config(read.stdout.encode())
    except ValueError as error:
        raise HostError(
            f"{path} cannot be read: {error}", remedy=f"set {_LINE} in it yourself"
        ) from error


def _write(user: User, config: Mapping[str, Any]) -> None:
    """Replace the file at once, as the user: it may hold passwords, and lies in their home."""
    path = config_path(user)
    is_link = user.run(["test", "-L", str(path)]).returncode == 0
    if not config and not is_link:
        _checked(user, ["rm", "-f", str(path)])
        return
    _checked(user, ["mkdir", "-p", str(path.parent)])
    # As the docker command does: a link stays, and the file keeps its mode.
    target = Path(_checked(user, ["readlink", "-f", str(path)]).removesuffix("\n"))
    unfinished = target.with_name(f".{target.name}.airgap")
    _checked(user, ["install", "-m", "0600", "/dev/null", str(unfinished)])
    _checked(user, ["tee", str(unfinished)], json.dumps(config, indent="\t", ensure_ascii=False))
    if user.run(["test", "-e", str(target)]).returncode == 0:
        _checked(user, ["chmod", f"--reference={target}", str(unfinished)])
    _checked(user, ["mv", "-f", str(unfinished), str(target)])


def _checked(user: User, command: list[str], text: str = "") -> str:
    done = user.run(command, text=text)
    if done.returncode != 0:
        raise HostError(f"cannot write {config_path(user)}", meaning=last_lines(done.stderr))
    return done.stdout
