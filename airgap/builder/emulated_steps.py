"""Which steps of a build cost most because an emulator ran them, and what would help."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from airgap.builder.buildx import Buildx
from airgap.dockerfile.scan import Scan
from airgap.dockerfile.stages import BuildOptions
from airgap.errors import HostError
from airgap.oci.platform import Platform, parse_platform
from airgap.replay.run_step_settings import without_settings

# `[linux/arm64 build 3/4] RUN go build`, and without a platform where there is only one.
_STEP = re.compile(r"\[(?:(linux/\S+) )?[^\]]*\d+/\d+\] (RUN .+)", re.DOTALL)
_CROSS = "its stage could run natively: FROM --platform=$BUILDPLATFORM …"
# What is in a step, and how a stage with it is made to run natively and build for the target.
_ADVICE = (
    (r"\bgo (?:build|install|test)\b", f"{_CROSS}, ARG TARGETARCH, GOARCH=$TARGETARCH go build"),
    (r"\bgo (?:get|mod)\b", f"{_CROSS}: modules are the same for every platform"),
    (r"\bcargo build\b", f"{_CROSS}, ARG TARGETARCH, cargo build --target …"),
    (r"\b(?:npm|yarn|pnpm|tsc|vite|webpack)\b", f"{_CROSS}, if its result is not native code"),
    (r"\b(?:mvn|gradle|javac)\b", f"{_CROSS}: class files are the same for every platform"),
    (r"\b(?:gcc|g\+\+|clang|make|cmake|ninja)\b", f"{_CROSS}, with a cross compiler"),
)


@dataclass(frozen=True, slots=True)
class EmulatedStep:
    """A step that an emulator ran.

    Attributes:
        text: As it was written.
        platform: What it ran as.
        seconds: How long.
        advice: How its stage could run natively; empty if nothing is known.
    """

    text: str
    platform: Platform
    seconds: float
    advice: str


def may_emulate(found: Scan, options: BuildOptions) -> bool:
    """Return whether the result of a build, or an image that it uses, is for another machine.

    Args:
        found: What the build needs.
        options: Of the build.
    """
    images = {platform for need in found.images for platform in need.platforms}
    native = options.build_platform.architecture
    return any(platform.architecture != native for platform in {*images, *options.platforms})


def emulated_steps(
    buildx: Buildx, ref: str, native: Platform, platforms: Sequence[Platform]
) -> list[EmulatedStep]:
    """Return the emulated steps of a build that has ended, the slowest first; none if unknown.

    Args:
        buildx: The builder, which keeps a history.
        ref: The build, as buildx's metadata calls it.
        native: What the builder runs without an emulator.
        platforms: What was built for.
    """
    try:
        log = buildx.output(["history", "logs", "--progress", "rawjson", ref.rpartition("/")[2]])
    except HostError:  # a buildx or BuildKit that keeps no history
        return []
    steps = {
        step.text: step
        for name, seconds in _timed(log)
        for step in _step(name, seconds, native, platforms)
    }
    return sorted(steps.values(), key=lambda step: -step.seconds)


def _timed(log: str) -> Iterator[tuple[str, float]]:
    """Yield name and seconds of each vertex that ran (BuildKit's `client/graph.go`)."""
    for line in log.splitlines():
        if not line.startswith("{"):  # a warning
            continue
        for vertex in json.loads(line).get("vertexes") or ():
            if vertex.get("completed") and vertex.get("started") and not vertex.get("cached"):
                begun, ended = (
                    datetime.fromisoformat(vertex[key]) for key in ("started", "completed")
                )
                yield vertex["name"], (ended - begun).total_seconds()


def _step(
    name: str, seconds: float, native: Platform, platforms: Sequence[Platform]
) -> Iterator[EmulatedStep]:
    found = _STEP.fullmatch(without_settings(name))
    if found is None or (found[1] is None and len(platforms) != 1):
        return
    platform = parse_platform(found[1].partition("->")[0]) if found[1] else platforms[0]
    if platform.architecture != native.architecture:
        yield EmulatedStep(found[2], platform, seconds, _advice(found[2]))


def _advice(text: str) -> str:
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, text)), "")
