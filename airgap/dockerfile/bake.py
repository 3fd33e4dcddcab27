"""Bake and compose files, as buildx itself resolves them: HCL, JSON and YAML alike.

`docker buildx bake --print` needs neither a daemon nor a network.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap import processes
from airgap.bounded import read_json
from airgap.errors import HostError, UsageError
from airgap.limits import LIMITS

SUFFIXES = (".hcl", ".json", ".yaml", ".yml")
_PLUGIN_FOLDERS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)


@dataclass(frozen=True, slots=True)
class BakeTarget:
    """One build of a bake or compose file.

    Attributes:
        name: The target's, or the service's.
        context: A folder, as seen from the file's own, or the URL of a remote context.
        dockerfile: As seen from the context.
        inline: The Dockerfile itself, where the file has it; else empty.
        target: The stage to build.
        args: Build arguments.
        platforms: As written; none if the file names none.
        contexts: Names given to other contexts.
    """

    name: str
    context: str
    dockerfile: str
    inline: str
    target: str
    args: Mapping[str, str]
    platforms: tuple[str, ...]
    contexts: Mapping[str, str]


def read_bake_file(
    path: Path, targets: Sequence[str] = (), overrides: Iterable[str] = ()
) -> tuple[BakeTarget, ...]:
    """Return the builds of a bake or compose file, those that others stand on included.

    Paths in it count from its folder.

    Args:
        path: The file.
        targets: Targets, groups or services to build; the default ones if empty.
        overrides: `TARGET.KEY=VALUE` each, as for buildx's `--set`.

    Raises:
        UsageError: buildx cannot read it.
        HostError: There is no buildx.
    """
    command = [*_buildx(), "bake", "--print", "--file", path.name]
    for override in overrides:
        command += ["--set", override]
    done = processes.run(
        [*command, "--", *targets],
        cwd=path.absolute().parent,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        reason = done.stderr.rpartition("ERROR: ")[2].strip()
        raise UsageError(f"buildx cannot read {path}: {reason[:1000]}")
    return _read(done.stdout, path)


def _read(printed: str, path: Path) -> tuple[BakeTarget, ...]:
    try:
        targets = read_json(printed, LIMITS.request_bytes).get("target", {})
        return tuple(_target(name, table) for name, table in sorted(targets.items()))
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"buildx says of {path} what is no bake definition: {error}") from error


def _target(name: str, table: Mapping[str, Any]) -> BakeTarget:
    inline = table.get("dockerfile-inline", "")
    if len(inline) > LIMITS.dockerfile_bytes:
        raise UsageError(f"the Dockerfile of {name} is larger than {LIMITS.dockerfile_bytes} bytes")
    return BakeTarget(
        name,
        table.get("context", "."),
        table.get("dockerfile", "Dockerfile"),
        inline,
        table.get("target", ""),
        {key: value for key, value in table.get("args", {}).items() if value is not None},
        tuple(table.get("platforms", ())),
        dict(table.get("contexts", {})),
    )


def _buildx() -> list[str]:
    """Return the command that is buildx: Docker's plugin, or the program by itself.

    Raises:
        HostError: There is none.
    """
    docker = shutil.which("docker")
    if docker:
        command = [docker, "buildx"]
        done = processes.run([*command, "version"], capture_output=True, check=False)
        if done.returncode == 0:
            return command
    own = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    plugins = os.pathsep.join((str(Path(own, "cli-plugins")), *_PLUGIN_FOLDERS))
    program = (
        shutil.which("docker-buildx")
        or shutil.which("buildx")
        or shutil.which("docker-buildx", path=plugins)
    )
    if program is None:
        raise HostError(
            "bake and compose files are read by buildx, and there is none",
            remedy="install Docker's buildx plugin, or name the Dockerfiles themselves",
        )
    return [program]
