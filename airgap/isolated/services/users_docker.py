"""The docker command of the person for whom a host is set up, and their files of it."""

from __future__ import annotations

import shlex
from pathlib import Path

from airgap.builder.endpoint import Endpoint, docker_endpoint
from airgap.errors import HostError
from airgap.isolated.context import Context
from airgap.isolated.host.system import last_lines
from airgap.isolated.host.user import User


def check_user(context: Context) -> None:
    """Check that the person behind this command uses the Docker that is set up.

    Raises:
        HostError: They do not have the docker command, may not use Docker, or use another one.
    """
    user = context.user
    done = user.run(["docker", "info", "--format", "{{.ID}}"])
    selected = selected_context(user)
    if done.returncode != 0:
        group = f"usermod --append --groups docker {user.name}, then log in again"
        raise HostError(
            f"{user.name} cannot use Docker: {last_lines(done.stderr)}"
            + (f" ({selected})" if selected else ""),
            meaning="Nothing was changed.",
            remedy=f"as {user.name}: docker context use default" if selected else group,
        )
    if done.stdout.strip() != context.engine.id():
        raise HostError(
            f"{user.name} uses another Docker than the one that is set up"
            + (f": {selected}" if selected else ""),
            meaning=f"That one is {context.engine.endpoint.shown}. Nothing was changed.",
            remedy=f"as {user.name}: docker context use default, and unset DOCKER_HOST",
        )


def check_own_folder(user: User, folder: Path) -> None:
    """Make sure that a user can write into a folder of theirs, or can make it.

    Args:
        user: Whose it is. They are asked: root sees more, or less, than they do.
        folder: The folder.

    Raises:
        HostError: They cannot; `~/.docker` may be root's.
    """
    for path in (folder, *folder.parents):
        if user.run(["test", "-e", str(path)]).returncode == 0:
            break
    command = ["test", "-d", str(path), "-a", "-w", str(path)]
    if user.run(command).returncode != 0:
        raise HostError(
            f"{user.name} cannot write to {path}",
            meaning="Nothing was changed.",
            remedy=_to_give(user, path, folder),
        )


def selected_context(user: User) -> str:
    """Return what a user's docker command goes by; empty if that is this host's own Docker.

    Args:
        user: Who runs the command.
    """
    endpoint = docker_endpoint(user.environment)
    if not endpoint.named_by or endpoint.address == Endpoint().address:
        return ""
    return endpoint.shown


def _to_give(user: User, path: Path, folder: Path) -> str:
    """Return what lets the user write to a folder; it changes nothing outside their home."""
    if path != user.home and path.is_relative_to(user.home):
        return f"chown -R {user.name} {shlex.quote(str(path))}"
    return f"make {shlex.quote(str(folder))}, and give it to {user.name}"
