"""A user's buildx instances: a line of theirs each, that points to a builder that all share."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from airgap.errors import HostError

INSTANCE = "airgap"
REPLAY_INSTANCE = "airgap-replay"
"""For builds from recordings."""

COMPOSE_INSTANCE = "airgap-compose"
"""For Docker Compose before 2.27: the buildx in it refuses an instance that loads by itself."""

Runner = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]
"""Runs a command as the user whose instance it is."""


def problem(run: Runner, name: str, container: str) -> str:
    """Why the user cannot build with the instance; empty if they can."""
    done = run(["docker", "buildx", "inspect", name])
    if done.returncode != 0:
        return f"there is no builder {name!r}"
    if _endpoint(container) not in done.stdout.split():
        return f"the builder {name!r} leads elsewhere"
    if not re.search(r"^Status:\s+running$", done.stdout, re.M):
        return f"the builder {name!r} cannot be reached: {_reason(done.stdout)}"
    return ""


def create(run: Runner, folder: Path, name: str, container: str) -> None:
    """Creates it.

    Args:
        run: Runs as the user.
        folder: Where the user's buildx keeps its files.
        name: Of the instance.
        container: Where it leads.

    Raises:
        HostError: buildx refuses, or the user has another builder of that name.
    """
    if problem(run, name, container).endswith("leads elsewhere"):
        raise HostError(
            f"there is a builder {name!r} already, which leads elsewhere",
            remedy=f"remove it: docker buildx rm {name}",
        )
    remove(run, name)
    command = ["docker", "buildx", "create", "--name", name, "--driver", "remote"]
    if name != COMPOSE_INSTANCE:
        # So that a build without an output is loaded into Docker, as people expect.
        command += ["--driver-opt", "default-load=true"]
    command.append(_endpoint(container))
    with _without_defaults(run, folder) as variable:
        _checked(run, ["env", variable, *command])


def select(run: Runner) -> None:
    """Makes it the user's selected builder.

    Raises:
        HostError: buildx refuses.
    """
    _checked(run, ["docker", "buildx", "use", INSTANCE])


def selected(run: Runner) -> str:
    """The name of the user's selected builder; empty if it cannot be told."""
    found = re.search(r"^Name:\s+(\S+)", run(["docker", "buildx", "inspect"]).stdout, re.M)
    return found[1] if found else ""


def started(container: str) -> str:
    """What tells this start of a builder's container from all others; empty if it cannot be told.

    It is asked for as this process, as builds are.
    """
    command = ["docker", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}", container]
    with suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return ""


def remove(run: Runner, name: str) -> None:
    """Removes the user's instance, if there is one; the builder itself goes on."""
    run(["docker", "buildx", "rm", "--force", name])


@contextmanager
def _without_defaults(run: Runner, folder: Path) -> Iterator[str]:
    """The variable that gives buildx the user's instances, and no `buildkitd.default.toml`.

    buildx passes that file to every builder it creates, and refuses to for a remote one (its
    `builder/builder.go`, `driver/remote/factory.go`).
    """
    _checked(run, ["mkdir", "-p", str(folder / "instances")])
    other = _checked(run, ["mktemp", "-d"]).strip()
    try:
        _checked(run, ["ln", "-s", str(folder / "instances"), f"{other}/instances"])
        yield f"BUILDX_CONFIG={other}"
    finally:
        run(["rm", "-r", other])


def _reason(shown: str) -> str:
    found = re.search(r"^Error:\s+(.+)$", shown, re.M)
    return found[1] if found else "it is not running"


def _endpoint(container: str) -> str:
    return f"docker-container://{container}"


def _checked(run: Runner, command: Sequence[str]) -> str:
    done = run(command)
    if done.returncode != 0:
        raise HostError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
