"""A user's buildx instance: one line of theirs that points to the builder that all share."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence

from airgap.errors import HostError

INSTANCE = "airgap"

Runner = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]
"""Runs a command as the user whose instance it is."""


def problem(run: Runner, container: str) -> str:
    """Why the user cannot build with the instance; empty if they can."""
    done = run(["docker", "buildx", "inspect", INSTANCE])
    if done.returncode != 0:
        return f"there is no builder {INSTANCE!r}"
    if _endpoint(container) not in done.stdout.split():
        return f"the builder {INSTANCE!r} leads elsewhere"
    if not re.search(r"^Status:\s+running$", done.stdout, re.M):
        return f"the builder {INSTANCE!r} cannot be reached: {_reason(done.stdout)}"
    return ""


def create(run: Runner, container: str) -> None:
    """Creates it.

    Raises:
        HostError: buildx refuses, or the user has another builder of that name.
    """
    if problem(run, container).endswith("leads elsewhere"):
        raise HostError(
            f"there is a builder {INSTANCE!r} already, which leads elsewhere",
            remedy=f"remove it: docker buildx rm {INSTANCE}",
        )
    remove(run)
    command = ["docker", "buildx", "create", "--name", INSTANCE, "--driver", "remote"]
    # So that a build without an output is loaded into Docker, as people expect.
    command += ["--driver-opt", "default-load=true", _endpoint(container)]
    _checked(run, command)


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


def remove(run: Runner) -> None:
    """Removes the user's instance, if there is one; the builder itself goes on."""
    run(["docker", "buildx", "rm", "--force", INSTANCE])


def _reason(shown: str) -> str:
    found = re.search(r"^Error:\s+(.+)$", shown, re.M)
    return found[1] if found else "it is not running"


def _endpoint(container: str) -> str:
    return f"docker-container://{container}"


def _checked(run: Runner, command: Sequence[str]) -> None:
    done = run(command)
    if done.returncode != 0:
        raise HostError(f"{' '.join(command[:4])} failed: {done.stderr.strip()}")
