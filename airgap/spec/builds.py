"""The builds that paths stand for: folders, Dockerfiles, bake files and compose files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airgap.dockerfile.bake import SUFFIXES, BakeTarget, read_bake_file
from airgap.dockerfile.parse import read_dockerfile
from airgap.dockerfile.scan import Hint, Scan, scan_dockerfile
from airgap.dockerfile.stages import BuildOptions
from airgap.errors import UsageError
from airgap.oci.platform import Platform, parse_platform
from airgap.spec.bundle_spec import DEFAULT_DOCKERFILE, DEFAULT_HOST_PLATFORMS, DEFAULT_PLATFORMS


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says for all builds.

    Attributes:
        targets: Stages of Dockerfiles; targets or services of bake and compose files.
        args: Build arguments.
        platforms: Instead of the builds' own; empty to leave them.
    """

    targets: tuple[str, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[Platform, ...] = ()


@dataclass(frozen=True, slots=True)
class Build:
    """A build that a path stands for.

    Attributes:
        name: The bake target's or the service's; empty for a Dockerfile by itself.
        file: What messages call the Dockerfile.
        context: Its folder; None if that is not on this machine.
        dockerfile: Its path; None if it is written in the bake or compose file, or not here.
        text: Its Dockerfile; empty if that is not on this machine.
        options: What is built.
    """

    name: str
    file: str
    context: Path | None
    dockerfile: Path | None
    text: str
    options: BuildOptions


def find_builds(path: Path, choice: Choice) -> tuple[Build, ...]:
    """Return the builds of one path.

    Args:
        path: A folder with a Dockerfile, a Dockerfile, or a bake or compose file.
        choice: What the command line says.

    Raises:
        UsageError: It cannot be read.
        HostError: buildx is needed and not there.
    """
    if path.suffix in SUFFIXES and path.is_file():
        return _bake_builds(path, choice)
    file = path / DEFAULT_DOCKERFILE if path.is_dir() else path
    platforms = choice.platforms or DEFAULT_PLATFORMS
    targets = choice.targets or ("",)
    text = read_dockerfile(file)
    return tuple(
        Build(
            "",
            str(file),
            file.parent,
            file,
            text,
            BuildOptions(platforms, DEFAULT_HOST_PLATFORMS[0], target, choice.args),
        )
        for target in targets
    )


def scan_build(build: Build) -> Scan:
    """Return what a build needs from outside.

    Raises:
        UsageError: BuildKit would refuse it.
    """
    if not build.text:
        remedy = "fetch it, and scan the copy"
        return Scan(hints=(Hint("its context is not on this machine", remedy, build.file, 0),))
    return scan_dockerfile(build.text, build.file, build.options)


def _bake_builds(path: Path, choice: Choice) -> tuple[Build, ...]:
    targets = read_bake_file(path, choice.targets, _overrides(choice))
    if not targets:
        raise UsageError(f"{path} builds nothing", remedy="choose what: --target NAME")
    return tuple(_bake_build(path, target) for target in targets)


def _overrides(choice: Choice) -> Iterable[str]:
    yield from (f"*.args.{name}={value}" for name, value in choice.args.items())
    yield from (f"*.platform={platform}" for platform in choice.platforms)


def _bake_build(path: Path, target: BakeTarget) -> Build:
    platforms = tuple(parse_platform(text) for text in target.platforms) or DEFAULT_PLATFORMS
    options = BuildOptions(
        platforms, DEFAULT_HOST_PLATFORMS[0], target.target, target.args, target.contexts
    )
    inside = f"{path} ({target.name})"
    if "://" in target.context or target.context.startswith("git@"):
        return Build(target.name, inside, None, None, target.inline, options)
    context = path.parent / target.context
    if target.inline:
        return Build(target.name, inside, context, None, target.inline, options)
    file = context / target.dockerfile
    return Build(target.name, str(file), context, file, read_dockerfile(file), options)


def read_args(given: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the values of `--build-arg`: `NAME=VALUE`, or `NAME` for an environment variable.

    Raises:
        UsageError: One has no name.
    """
    args = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name:
            raise UsageError(f"--build-arg {text[:80]!r} has no name", remedy="write NAME=VALUE")
        if equals:
            args[name] = value
        elif name in environment:
            args[name] = environment[name]
    return args
