"""`airgap scan`, and the options that say what is built, which `airgap init` has too."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from airgap.dockerfile.scan import Hint, Scan
    from airgap.spec.builds import Build
    from airgap.views.workstation import ScanResult

_Command = TypeVar("_Command", bound=Callable[..., None])

_PARAMETERS = (
    click.argument(
        "paths",
        metavar="PATH…",
        nargs=-1,
        required=True,
        type=click.Path(path_type=Path, exists=True),
    ),
    click.option(
        "--target",
        multiple=True,
        metavar="NAME",
        help="Build this stage, or this target of a bake or compose file; repeatable.",
    ),
    click.option(
        "--build-arg",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="A build argument, as for docker buildx build; repeatable.",
    ),
    click.option(
        "--platform",
        multiple=True,
        metavar="PLATFORM,…",
        help="Build for these; repeatable [default: linux/amd64,linux/arm64, or the file's].",
    ),
)


def build_parameters(command: _Command) -> _Command:
    """Give a command the paths and options that decide what is built."""
    for parameter in reversed(_PARAMETERS):
        command = parameter(command)
    return command


def scan_paths(
    paths: Sequence[Path],
    target: Sequence[str],
    build_arg: Sequence[str],
    platform: Sequence[str],
) -> list[tuple[Build, Scan]]:
    """Return all builds, each with what it needs.

    Raises:
        UsageError: A file cannot be read, or BuildKit would refuse it.
        HostError: buildx is needed and not there.
    """
    from airgap import log
    from airgap.oci.platform import parse_platforms
    from airgap.spec.builds import Choice, find_builds, read_args, scan_build

    choice = Choice(tuple(target), read_args(build_arg, os.environ), parse_platforms(platform))
    builds = [build for path in paths for build in find_builds(path, choice)]
    for build in builds:
        log.hide(build.options.args)
    return [(build, scan_build(build)) for build in builds]


@click.command(name="scan")
@build_parameters
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(
    paths: tuple[Path, ...],
    target: tuple[str, ...],
    build_arg: tuple[str, ...],
    platform: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show which images and URLs a build needs.

    PATH is a folder with a Dockerfile, a Dockerfile, or a bake or compose file, whose own paths
    count from its folder. What RUN lines download only a recording shows. Nothing is fetched,
    and nothing is built.

    \b
    Examples:
      airgap scan .
      airgap scan app/Dockerfile --target release --build-arg VERSION=1.2
      airgap scan docker-bake.hcl compose.yaml --json
    """
    from airgap.dockerfile.scan import unite
    from airgap.views.view import to_json

    scan = unite(scan for _, scan in scan_paths(paths, target, build_arg, platform))
    click.echo(to_json(_view(scan)) if as_json else _text(scan))


def hints_text(hints: Sequence[Hint]) -> str:
    """Return hints for people, two lines each."""
    return "\n".join(f"{hint.place}: {hint.text}\n  -> {hint.remedy}" for hint in hints)


def _view(scan: Scan) -> ScanResult:
    from airgap.views import workstation
    from airgap.views.view import view_of

    return workstation.ScanResult(
        [
            view_of(
                workstation.NeededImage,
                need,
                name=str(need.reference),
                platforms=[str(platform) for platform in need.platforms],
            )
            for need in scan.images
        ],
        [view_of(workstation.NeededUrl, need) for need in scan.urls],
        [view_of(workstation.Hint, hint) for hint in scan.hints],
        scan.runs,
    )


def _text(scan: Scan) -> str:
    from airgap.cli._shared.table import table

    rows = [("WHERE", "BY", "NAME", "PLATFORMS")]
    rows += [
        (
            f"{need.file}:{need.line}",
            need.by,
            need.reference.familiar,
            ", ".join(map(str, need.platforms)),
        )
        for need in scan.images
    ]
    rows += [(f"{need.file}:{need.line}", "ADD", need.url, "-") for need in scan.urls]
    parts = [table(rows) if len(rows) > 1 else "nothing from outside"]
    if scan.hints:
        parts.append(hints_text(scan.hints))
    if scan.runs:
        parts.append("RUN lines may download more: a recording carries it, see airgap init")
    return "\n\n".join(parts)
