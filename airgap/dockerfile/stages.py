"""Which stages a build runs, on which platforms, and which images they stand on.

Source of the rules: `dockerfile2llb/convert.go` of BuildKit 0.32, whose steps this follows:
stages get their bases, COPY and RUN their sources, ONBUILD triggers may add more; what cannot
be reached from the target is left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from airgap.dockerfile.parse import Dockerfile, Instruction, Stage, parse_trigger
from airgap.dockerfile.variables import Variables, declare_global, default_args, expand
from airgap.errors import UsageError
from airgap.oci.platform import Platform, parse_platform
from airgap.oci.reference import Reference, parse_reference

SCRATCH = "scratch"
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
# Those that may stand alone.
_SYSTEMS = ("linux", "windows", "darwin", "freebsd")
_ARCHITECTURES = ("386", "amd64", "arm", "arm64", "loong64", "ppc64le", "riscv64", "s390x")
_IMAGE_CONTEXT = "docker-image://"

OnBuild = Callable[[Reference, Platform], Sequence[str]]
"""The ONBUILD triggers in the config of an image for a platform."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a build is asked for, apart from its Dockerfile.

    Attributes:
        target: The stage to build; the last one if empty.
        args: `--build-arg` values.
        platforms: What it builds for.
        build_platform: What it builds on.
        contexts: `--build-context`, name to value: such a name needs nothing from outside, but
            for `docker-image://…`.
    """

    platforms: tuple[Platform, ...]
    build_platform: Platform
    target: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Command:
    """An instruction with the sources that it reads. `triggered`: by an ONBUILD."""

    instruction: Instruction
    sources: tuple[StageState, ...] = ()
    triggered: bool = False


@dataclass(slots=True, eq=False)
class StageState:
    """A stage, or an image that COPY or RUN names.

    Attributes:
        base_name: What it stands on; empty if that could not be decided.
        line: Where that is written.
        by: What names it: `FROM`, `COPY --from`, `RUN --mount` or `ONBUILD`.
        stage: None for an image that COPY or RUN names.
        platform: Its own; None means the base's, or else the target's.
        base: The stage that it stands on, if it is one.
        context: The value of the build context that takes the place of what it stands on.
        replaced: Whether that context takes the place of the whole stage.
        image: What it needs from outside.
        commands: In order, the triggered ones first.
        undecided: Why what it stands on could not be decided.
        missed: Variables in `base_name` that have no value.
    """

    base_name: str
    line: int
    by: str
    stage: Stage | None = None
    platform: Platform | None = None
    base: StageState | None = None
    context: str | None = None
    replaced: bool = False
    image: Reference | None = None
    commands: list[Command] = field(default_factory=list)
    undecided: str = ""
    missed: frozenset[str] = frozenset()

    @property
    def neighbours(self) -> Iterable[StageState]:
        """What must be there before this is."""
        sources = [source for command in self.commands for source in command.sources]
        return [self.base, *sources] if self.base else sources


class Stages:
    """The stages of one Dockerfile for one target platform.

    Attributes:
        global_args: What FROM lines see.
        states: All, in BuildKit's order: stages first, then images that COPY or RUN name.
        reachable: Those that the target needs.

    Raises:
        UsageError: BuildKit would refuse the build.
    """

    def __init__(
        self,
        dockerfile: Dockerfile,
        options: BuildOptions,
        platform: Platform,
        onbuild: OnBuild | None = None,
    ) -> None:
        self._dockerfile = dockerfile
        self._options = options
        self._platform = platform
        self._contexts = {_context_name(name): v for name, v in options.contexts.items()}
        self._by_name: dict[str, StageState] = {}
        self._copied: set[Reference] = set()
        self.states: list[StageState] = []
        self.global_args = default_args(
            platform, options.build_platform, options.args, self._target_name()
        )
        lines = dockerfile.global_args
        file, escape = dockerfile.file, dockerfile.escape
        declare_global(self.global_args, lines, options.args, escape, file)
        for stage in dockerfile.stages:
            self._add_stage(stage)
        target = self._find_target()
        self._connect()
        self.reachable = self._reach(target, onbuild)

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of the stages that are built."""
        return frozenset(state.stage.number for state in self.reachable if state.stage)

    def place(self, line: int) -> str:
        """File and line, for messages."""
        return f"{self._dockerfile.file}:{line}"

    def platform_of(self, state: StageState) -> Platform:
        """Return the platform that a state is of: that of the stage at its bottom."""
        while state.base:
            state = state.base
        return state.platform or self._platform

    def _target_name(self) -> str:
        return self._options.target or self._dockerfile.stages[-1].name

    def _add_stage(self, stage: Stage) -> None:
        place, escape = self.place(stage.line), self._dockerfile.escape
        name, missed = expand(stage.base, self.global_args, escape, place)
        state = StageState(name, stage.line, "FROM", stage)
        state.missed = missed
        if not name:
            state.undecided = _without_value(stage.base, missed)
        if stage.platform:
            text, missed = expand(stage.platform, self.global_args, escape, place)
            state.platform = _platform(text, self._options.build_platform)
            if state.platform is None:
                state.undecided = _without_value(stage.platform, missed)
        state.commands = [Command(instruction) for instruction in stage.instructions]
        state.context = self._context(stage.name, state) if stage.name else None
        state.replaced = state.context is not None
        self._register(state)
        if state.replaced:
            state.base = None

    def _register(self, state: StageState) -> None:
        self.states.append(state)
        state.base = self._by_name.get(state.base_name)
        if state.stage and state.stage.name:
            self._by_name[state.stage.name] = state

    def _context(self, name: str, state: StageState) -> str | None:
        if name.lower() in (SCRATCH, "context"):
            return None
        key = _context_name(name)
        platform = state.platform or self._platform
        return self._contexts.get(f"{key}::{platform}", self._contexts.get(key))

    def _find_target(self) -> StageState:
        name = self._options.target
        if not name:
            return self.states[-1]
        found = self._by_name.get(name.lower())
        if found is None:
            named = ", ".join(self._by_name) or "none has a name"
            raise UsageError(
                f"{self._dockerfile.file} has no stage {name[:80]!r}", remedy=f"stages: {named}"
            )
        return found

    def _connect(self) -> None:
        for state in tuple(self.states):
            for command in state.commands:
                self._find_sources(command)
        try:
            graph = {
                state: [source for item in state.commands for source in item.sources]
                for state in self.states
            }
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            state = error.args[1][0]
            raise UsageError(f"{self.place(state.line)}: stages copy from each other") from error

    def _find_sources(self, command: Command) -> None:
        instruction = command.instruction
        by = "ONBUILD" if command.triggered else f"{instruction.name} --from"
        if instruction.name == "COPY" and instruction.flag("from"):
            command.sources = (
                self._source(instruction, instruction.flag("from"), by, numbers=True),
            )
        elif instruction.name == "RUN":
            by = "ONBUILD" if command.triggered else "RUN --mount"
            names = _mounted_from(instruction, self.place(instruction.line))
            command.sources = tuple(
                self._source(instruction, name, by, numbers=False) for name in names
            )

    def _source(self, instruction: Instruction, name: str, by: str, *, numbers: bool) -> StageState:
        place = self.place(instruction.line)
        if numbers and _expands(name, self._dockerfile.escape, place):
            raise _no_variables(place, "COPY --from")
        if numbers and _NUMBER.fullmatch(name):
            if not 0 <= int(name) < len(self.states):
                raise UsageError(f"{place}: there is no stage {name}")
            found = self.states[int(name)]
            if found.stage is None:  # BuildKit counts such an image again
                self.states.append(found)
            return found
        if name.lower() in self._by_name:
            return self._by_name[name.lower()]
        state = StageState(name, instruction.line, by)
        self._register(state)
        return state

    def _reach(self, target: StageState, onbuild: OnBuild | None) -> frozenset[StageState]:
        """Return what the target needs, triggers included: they may need more."""
        visited: set[StageState] = set()
        while True:
            reachable = _closure(target)
            for state in self.states:
                if state.base is None and state.image is None:
                    self._find_image(state)
            fresh = [state for state in self.states if state in reachable and state not in visited]
            if not fresh:
                return reachable
            for state in fresh:
                visited.add(state)
                self._trigger(state, self._triggers(state, onbuild))

    def _find_image(self, state: StageState) -> None:
        if state.context is None and not state.undecided and state.base_name != SCRATCH:
            try:
                state.image = parse_reference(state.base_name)
            except UsageError as error:
                missed = state.missed
                written = state.stage.base if state.stage else state.base_name
                state.undecided = _without_value(written, missed) if missed else error.message
                return
            state.context = self._context(state.base_name, state)
        if state.context is not None:
            inside = state.context.startswith(_IMAGE_CONTEXT)
            image = state.context.removeprefix(_IMAGE_CONTEXT)
            state.image = parse_reference(image) if inside and image != SCRATCH else None

    def _triggers(self, state: StageState, onbuild: OnBuild | None) -> Sequence[str]:
        if state.base:
            ones = (command.instruction for command in state.base.commands)
            return [item.trigger for item in ones if item.name == "ONBUILD"]
        if state.image is None or onbuild is None:
            return []
        if state.stage is None:  # nothing is built on it: BuildKit asks only for what is named
            if state.image in self._copied:  # perhaps by itself
                return []
            self._copied.add(state.image)
        return onbuild(state.image, self.platform_of(state))

    def _trigger(self, state: StageState, triggers: Sequence[str]) -> None:
        commands = []
        for text in triggers:
            instruction = parse_trigger(text, self._dockerfile.file, state.line)
            commands.append(Command(instruction, triggered=True))
            self._find_sources(commands[-1])
        state.commands = [*commands, *state.commands]


def _closure(target: StageState) -> frozenset[StageState]:
    found: set[StageState] = set()
    waiting = [target]
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.add(state)
            waiting += state.neighbours
    return frozenset(found)


def _mounted_from(instruction: Instruction, place: str) -> Iterable[str]:
    """Return the values of `from=` in the `--mount` flags of a RUN."""
    for value in instruction.flag_values("mount"):
        try:
            fields = next(csv.reader([value]), [])
        except csv.Error as error:
            raise UsageError(f"{place}: --mount={value[:80]}: {error}") from error
        for text in fields:
            key, _, name = text.partition("=")
            if key.lower() == "from" and name:
                if "$" in name[:-1]:
                    raise _no_variables(place, "RUN --mount=…,from=")
                yield name


def _expands(name: str, escape: str, place: str) -> bool:
    return expand(name, Variables(), escape, place)[0] != name


def _platform(text: str, build: Platform) -> Platform | None:
    """Return a platform as BuildKit reads it: an operating system or an architecture is enough."""
    if "/" not in text:
        if text in _SYSTEMS:
            return Platform.of(text, build.architecture, build.variant)
        if Platform.of("", text).architecture not in _ARCHITECTURES:
            return None
        text = f"{build.os}/{text}"
    try:
        return parse_platform(text)
    except UsageError:
        return None


def _context_name(text: str) -> str:
    """Return a build context's name as BuildKit compares it, its platform kept."""
    name, separator, platform = text.partition("::")
    try:
        name = parse_reference(name).familiar.removesuffix(":latest")
    except UsageError:
        name = name.lower()
    return f"{name}{separator}{platform}"


def _without_value(text: str, missed: Iterable[str]) -> str:
    names = ", ".join(sorted(missed))
    why = f"{names[:80]} has no value" if names else "it is not a name that BuildKit takes"
    return f"{text[:80]!r} cannot be decided: {why}"


def _no_variables(place: str, what: str) -> UsageError:
    return UsageError(
        f"{place}: BuildKit expands no variables in {what}",
        remedy="name a stage there: FROM ${IMAGE} AS name, with ARG IMAGE before the first FROM",
    )
