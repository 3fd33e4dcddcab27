"""A user's buildx instances: a line of theirs each, that points to a builder that all share."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from airgap import processes
from airgap.builder.engine import SECRET_LABEL
from airgap.errors import HostError

INSTANCE = "airgap"
REPLAY_INSTANCE = "airgap-replay"
"""For builds from recordings."""

COMPOSE_INSTANCE = "airgap-compose"
"""For Docker Compose before 2.27: the buildx in it refuses an instance that loads by itself."""

_LOADS = "default-load=true"
_NODE_PATIENCE = "5s"
_LINE = re.compile(r"^([A-Z][A-Za-z ]*):[ \t]+(.+)$", re.M)

Runner = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]
"""Runs a command as the user whose instance it is."""


@dataclass(frozen=True, slots=True)
class BuilderNode:
    """A builder that an instance leads to.

    Attributes:
        name: What the instance calls it.
        endpoint: Where it is, for buildx's remote driver.
        platforms: What it is to build for; empty for all that it can.
        options: Of the driver, `KEY=VALUE`.
        context: The docker context that the endpoint needs; empty for none.
        host: Where that context leads.
    """

    name: str
    endpoint: str
    platforms: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    context: str = ""
    host: str = ""


def local_node(instance: str, container: str, platforms: tuple[str, ...] = ()) -> BuilderNode:
    """Return the builder in a container of this host.

    Args:
        instance: Whose first node it is.
        container: Where it runs.
        platforms: As of `BuilderNode`.
    """
    # So that a build without an output is loaded into Docker, as people expect.
    options = () if instance == COMPOSE_INSTANCE else (_LOADS,)
    return BuilderNode(f"{instance}0", f"docker-container://{container}", platforms, options)


def problem(run: Runner, name: str, nodes: Sequence[BuilderNode]) -> str:
    """Return why the user cannot build on this host with the instance; empty if they can.

    Args:
        run: Runs as the user.
        name: Of the instance.
        nodes: Where it leads; the first one is this host's.
    """
    shown = _shown(run, name)
    if not shown:
        return f"there is no builder {name!r}"
    own = nodes[0]
    if own.endpoint not in {item["Endpoint"] for item in shown}:
        return f"the builder {name!r} leads elsewhere"
    if len(shown) != len(nodes) or not all(map(_is_same, shown, nodes)):
        return f"the builder {name!r} has other nodes"
    if shown[0].get("Status") != "running" and len(nodes) == 1:
        shown = _shown(run, name, patient=True) or shown  # this host may be busy
    if shown[0].get("Status") != "running":
        why = shown[0].get("Error", "it is not running")
        return f"the builder {name!r} cannot be reached: {why}"
    return ""


def states(run: Runner, name: str) -> dict[str, str]:
    """Return name of a node to `running`, or to why it is not, as the user's buildx finds it."""
    return {
        item["Name"]: item.get("Error") or item.get("Status", "unknown")
        for item in _shown(run, name)
    }


def create(run: Runner, folder: Path, name: str, nodes: Sequence[BuilderNode]) -> None:
    """Create the instance.

    Args:
        run: Runs as the user.
        folder: Where the user's buildx keeps its files.
        name: Of the instance.
        nodes: Where it leads; the first one is this host's.

    Raises:
        HostError: buildx refuses, or the user has another builder of that name.
    """
    check_name(run, name, nodes)
    remove(run, name)
    with _without_defaults(run, folder) as variable:
        _add_all(run, variable, name, nodes)


def check_name(run: Runner, name: str, nodes: Sequence[BuilderNode]) -> None:
    """Make sure that the user has no other builder of that name.

    Args:
        run: Runs as the user.
        name: Of the instance.
        nodes: Where it is to lead.

    Raises:
        HostError: The user has one.
    """
    shown = _shown(run, name)
    if shown and nodes[0].endpoint not in {item["Endpoint"] for item in shown}:
        raise HostError(
            f"there is a builder {name!r} already, which leads elsewhere",
            remedy=f"remove it: docker buildx rm {name}",
        )


@contextmanager
def alone(run: Runner, nodes: Sequence[BuilderNode]) -> Iterator[str]:
    """Return the variable with which buildx sees only one instance, which is removed later.

    Args:
        run: Runs as the user.
        nodes: Where it leads.

    Raises:
        HostError: buildx refuses.
    """
    with _folder(run) as folder:
        variable = _configured_in(folder)
        _add_all(run, variable, INSTANCE, nodes)
        yield variable


def _add_all(run: Runner, variable: str, name: str, nodes: Sequence[BuilderNode]) -> None:
    for node in nodes:
        _add(run, variable, name, node, append=node is not nodes[0])


def _add(run: Runner, variable: str, name: str, node: BuilderNode, *, append: bool) -> None:
    if node.context:
        _make_context(run, node)
    command = ["docker", "buildx", "create", "--name", name, "--node", node.name]
    command += ["--driver", "remote", *(["--append"] if append else [])]
    command += ["--platform", ",".join(node.platforms)] if node.platforms else []
    command += [part for option in node.options for part in ("--driver-opt", option)]
    _checked(run, ["env", variable, *command, node.endpoint])


def _make_context(run: Runner, node: BuilderNode) -> None:
    where = ["--format", "{{.Endpoints.docker.Host}}"]
    done = run(["docker", "context", "inspect", *where, node.context])
    if done.returncode == 0 and done.stdout.strip() == node.host:
        return
    remove_context(run, node.context)
    _checked(run, ["docker", "context", "create", node.context, "--docker", f"host={node.host}"])


def remove_context(run: Runner, context: str) -> None:
    """Remove a docker context of the user's, if there is one."""
    run(["docker", "context", "rm", "--force", context])


def select(run: Runner) -> None:
    """Make it the user's selected builder.

    Raises:
        HostError: buildx refuses.
    """
    _checked(run, ["docker", "buildx", "use", INSTANCE])


def selected(run: Runner) -> str:
    """Return the name of the user's selected builder; empty if it cannot be told."""
    # buildx looks at its nodes, too, which may be machines that are switched off.
    shown = run(["docker", "buildx", "inspect", "--timeout", _NODE_PATIENCE]).stdout
    found = re.search(r"^Name:\s+(\S+)", shown, re.M)
    return found[1] if found else ""


def started(container: str) -> str:
    """Return an identifier of this start of a builder's container; empty if Docker does not tell.

    It is asked for as this process, as builds are. Only those know it who may use Docker.
    """
    secret = f'{{{{index .Config.Labels "{SECRET_LABEL}"}}}}'
    shown = f"{{{{.Id}}}} {{{{.State.StartedAt}}}} {secret}"
    with suppress(OSError):
        done = processes.run(
            ["docker", "inspect", "--format", shown, container],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return hashlib.sha256(done.stdout.encode()).hexdigest()
    return ""


def remove(run: Runner, name: str) -> None:
    """Remove the user's instance, if there is one; the builder itself continues."""
    run(["docker", "buildx", "rm", "--force", name])


@contextmanager
def _folder(run: Runner) -> Iterator[str]:
    """Make a folder that only the user can reach, for as long as the context lasts."""
    folder = _checked(run, ["mktemp", "-d"]).strip()
    try:
        yield folder
    finally:
        run(["rm", "-r", folder])


def _configured_in(folder: str) -> str:
    """Return the variable that has buildx keep its files in a folder."""
    return f"BUILDX_CONFIG={folder}"


@contextmanager
def _without_defaults(run: Runner, folder: Path) -> Iterator[str]:
    """Return the variable that gives buildx the user's instances without `buildkitd.default.toml`.

    buildx passes that file to every builder it creates, and refuses to for a remote one (its
    `builder/builder.go`, `driver/remote/factory.go`).
    """
    _checked(run, ["mkdir", "-p", str(folder / "instances")])
    with _folder(run) as other:
        _checked(run, ["ln", "-s", str(folder / "instances"), f"{other}/instances"])
        yield _configured_in(other)


def _shown(run: Runner, name: str, *, patient: bool = False) -> list[dict[str, str]]:
    """Return what buildx shows of an instance's nodes, a mapping each; empty if there is none.

    Args:
        run: Runs as the user.
        name: Of the instance.
        patient: Wait as long as buildx does by itself; other machines may be switched off.
    """
    limit = [] if patient else ["--timeout", _NODE_PATIENCE]
    done = run(["docker", "buildx", "inspect", *limit, name])
    if done.returncode != 0:
        return []
    _, _, text = done.stdout.partition("\nNodes:\n")
    return [dict(_LINE.findall(part)) for part in text.split("\n\n") if _LINE.search(part)]


def _is_same(shown: dict[str, str], node: BuilderNode) -> bool:
    """Return whether buildx has a node with these settings, and no error."""
    if (shown.get("Name"), shown.get("Endpoint")) != (node.name, node.endpoint):
        return False
    found = {each[:-1] for each in shown.get("Platforms", "").split(", ") if each.endswith("*")}
    return found == set(node.platforms) or "Error" in shown


def _checked(run: Runner, command: Sequence[str]) -> str:
    done = run(command)
    if done.returncode != 0:
        raise HostError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
