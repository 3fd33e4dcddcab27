"""What a build needs from outside: images and URLs, each with the line that asks for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from airgap.dockerfile.parse import Dockerfile, Instruction, parse_dockerfile
from airgap.dockerfile.stages import SCRATCH, BuildOptions, Command, OnBuild, Stages, StageState
from airgap.dockerfile.unrecordable import unrecordable
from airgap.dockerfile.variables import Variables, expand
from airgap.errors import UsageError
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference, parse_reference

SYNTAX_ARG = "BUILDKIT_SYNTAX"
_SCHEME = re.compile(r"([a-zA-Z0-9]+)://")
_SCP = re.compile(r"[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:")
_SCP_WITH_GAPS = re.compile(r"[a-zA-Z0-9_-]*@[a-zA-Z0-9.-]*:")
"""The same, where variables without a value leave gaps."""

_BUILD_ARG = "give it a value: --build-arg NAME=VALUE"


@dataclass(frozen=True, slots=True)
class ImageNeed:
    """An image that a build needs.

    Attributes:
        reference: Its name.
        platforms: Those that the build takes of it.
        file: The Dockerfile.
        line: Where it is named.
        by: What names it: `FROM`, `COPY --from`, `RUN --mount`, `ONBUILD` or `# syntax`.
    """

    reference: Reference
    platforms: tuple[Platform, ...]
    file: str
    line: int
    by: str


@dataclass(frozen=True, slots=True)
class UrlNeed:
    """What an ADD fetches. RUN may fetch more, which only a recording shows."""

    url: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Hint:
    """What cannot be recorded, or not be decided here, and the way round.

    Attributes:
        text: What it is.
        remedy: The way round.
        file: The Dockerfile.
        line: Where it is; may be 0.
        git: Whether BuildKit itself starts git for it.
    """

    text: str
    remedy: str
    file: str
    line: int
    git: bool = False

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def sentence(self) -> str:
        """All of it, for where a build has failed."""
        return f"{self.place}: {self.text}: {self.remedy}"


@dataclass(frozen=True, slots=True)
class Scan:
    """All that one or several builds need.

    Attributes:
        images: By file and line.
        urls: By file and line.
        hints: By file and line.
        runs: Whether a RUN that has a network is among what is built.
    """

    images: tuple[ImageNeed, ...] = ()
    urls: tuple[UrlNeed, ...] = ()
    hints: tuple[Hint, ...] = ()
    runs: bool = False

    @property
    def downloads(self) -> bool:
        """Whether the build may fetch something that is not an image."""
        return self.runs or bool(self.urls)


def scan_dockerfile(
    text: str, file: str, options: BuildOptions, onbuild: OnBuild | None = None
) -> Scan:
    """Return what a build of one Dockerfile needs from outside.

    Args:
        text: The Dockerfile.
        file: What messages and needs call it.
        options: What is built of it.
        onbuild: Says which triggers an image's config has; without it, none are assumed.

    Raises:
        UsageError: BuildKit would refuse the build.
    """
    return scan_parsed(parse_dockerfile(text, file), options, onbuild)


def scan_parsed(
    dockerfile: Dockerfile, options: BuildOptions, onbuild: OnBuild | None = None
) -> Scan:
    """Return the same of one that was parsed before."""
    scans = [_frontend(dockerfile, options)]
    for platform in options.platforms:
        stages = Stages(dockerfile, options, platform, onbuild)
        scans.append(_Walk(dockerfile, options, stages).scan())
    return unite(scans)


def unite(scans: Iterable[Scan]) -> Scan:
    """Several scans as one; the same need for several platforms becomes one need."""
    images: dict[tuple[str, int, Reference, str], list[Platform]] = {}
    urls: dict[UrlNeed, None] = {}
    hints: dict[Hint, None] = {}
    runs = False
    for scan in scans:
        for image in scan.images:
            key = (image.file, image.line, image.reference, image.by)
            images.setdefault(key, []).extend(image.platforms)
        urls |= dict.fromkeys(scan.urls)
        hints |= dict.fromkeys(scan.hints)
        runs |= scan.runs
    needs = [
        ImageNeed(reference, tuple(dict.fromkeys(platforms)), file, line, by)
        for (file, line, reference, by), platforms in images.items()
    ]
    return Scan(
        tuple(sorted(needs, key=lambda need: (need.file, need.line))),
        tuple(sorted(urls, key=lambda need: (need.file, need.line))),
        tuple(sorted(hints, key=lambda hint: (hint.file, hint.line))),
        runs,
    )


def is_git(source: str) -> bool:
    """Return whether ADD has git fetch it: `git@host:path`, `ssh://…`, `git://…`, `https://….git`.

    Source: `dfgitutil.ParseGitRef` of BuildKit 0.32.
    """
    scheme = _SCHEME.match(source)
    if scheme is None:
        return _SCP.match(source) is not None
    if scheme[1].lower() in ("http", "https"):
        return _path_of(source).endswith(".git")
    return scheme[1].lower() in ("ssh", "git")


def _path_of(url: str) -> str:
    try:
        return unquote(urlsplit(url).path)
    except ValueError:
        return ""


def _frontend(dockerfile: Dockerfile, options: BuildOptions) -> Scan:
    """Return the image that reads the Dockerfile, if the builder's own frontend does not."""
    given = options.args.get(SYNTAX_ARG, "").strip().partition(" ")[0]
    name, line = given or dockerfile.syntax, 1 if given else dockerfile.syntax_line
    if not name:
        return Scan()
    try:
        reference = parse_reference(name)
    except UsageError as error:
        return Scan(hints=(Hint(error.message, error.remedy, dockerfile.file, line),))
    platforms = (options.build_platform,)
    return Scan((ImageNeed(reference, platforms, dockerfile.file, line, "# syntax"),))


class _Walk:
    """Goes through what is built for one platform, as BuildKit does, with variables at hand."""

    def __init__(self, dockerfile: Dockerfile, options: BuildOptions, stages: Stages) -> None:
        self._dockerfile = dockerfile
        self._options = options
        self._stages = stages
        self._variables: dict[StageState, Variables] = {}
        self._images: list[ImageNeed] = []
        self._urls: list[UrlNeed] = []
        self._hints: list[Hint] = []
        self._runs = False

    def scan(self) -> Scan:
        for state in self._stages.states:
            if state.undecided:
                self._hint(state.undecided, _BUILD_ARG, state.line)
            if state in self._stages.reachable:
                self._need_image(state)
                self._check_context(state)
                if state.stage and not state.replaced:
                    self._walk(state)
        return Scan(tuple(self._images), tuple(self._urls), tuple(self._hints), self._runs)

    def _need_image(self, state: StageState) -> None:
        if state.image:
            platforms = (self._stages.platform_of(state),)
            file = self._dockerfile.file
            self._images.append(ImageNeed(state.image, platforms, file, state.line, state.by))

    def _check_context(self, state: StageState) -> None:
        """Report a build context that git fetches, such as `github.com/…`."""
        context = state.context or ""
        if is_git(context) or context.startswith("github.com/"):
            remedy = "clone it before the build, and give the folder as the build context"
            self._git(context, remedy, state.line)

    def _walk(self, state: StageState) -> None:
        variables = Variables(self._variables.get(state.base) if state.base else None)
        self._variables[state] = variables
        for command in state.commands:
            instruction = command.instruction
            self._check_order(state, command)
            if instruction.name == "ENV":
                self._env(instruction, variables)
            elif instruction.name == "ARG":
                self._arg(instruction, variables)
            elif instruction.name == "ADD":
                self._add(instruction, variables, sure=_is_from_scratch(state))
            elif instruction.name == "RUN":
                self._run(instruction)

    def _check_order(self, state: StageState, command: Command) -> None:
        """Report a stage that reads one that is built after it."""
        for source in command.sources:
            if source.stage and not source.replaced and source not in self._variables:
                place = self._stages.place(command.instruction.line)
                raise UsageError(f"{place}: it reads a stage that comes later in the file")

    def _env(self, instruction: Instruction, variables: Variables) -> None:
        pairs = [
            (
                *self._expand(name, variables, instruction),
                *self._expand(value, variables, instruction),
            )
            for name, value in zip(instruction.args[::3], instruction.args[1::3], strict=True)
        ]
        for name, _, value, missed in pairs:
            variables.assign(name, value, sure=not missed)

    def _arg(self, instruction: Instruction, variables: Variables) -> None:
        given, known = self._options.args, self._stages.global_args
        for arg in instruction.args:
            name, has_default, default = arg.partition("=")
            if name in given:
                variables.assign(name, given[name], sure=True)
            elif has_default:
                value, missed = self._expand(default, variables, instruction)
                variables.assign(name, value, sure=not missed)
            elif name in known:
                variables.assign(name, known[name], sure=True)

    def _add(self, instruction: Instruction, variables: Variables, *, sure: bool) -> None:
        for word in instruction.args[:-1]:
            if word.startswith("<<"):
                continue
            source, missed = self._expand(word, variables, instruction)
            if is_git(source) or (missed and _SCP_WITH_GAPS.match(source)):
                remedy = "ADD an archive of the commit in its place: https://…/COMMIT.tar.gz"
                self._git(source, remedy, instruction.line)
            elif source.startswith(("http://", "https://")):
                if missed and not sure:
                    names = ", ".join(sorted(missed))
                    self._hint(
                        f"{word[:200]} needs a value of {names}", _BUILD_ARG, instruction.line
                    )
                else:
                    self._urls.append(UrlNeed(source, self._dockerfile.file, instruction.line))

    def _run(self, instruction: Instruction) -> None:
        if instruction.flag("network") == "none":
            return
        self._runs = True
        script = "\n".join(
            [" ".join(instruction.args), *(heredoc.content for heredoc in instruction.heredocs)]
        )
        for finding in unrecordable(script):
            self._hint(finding.text, finding.remedy, instruction.line)

    def _expand(
        self, word: str, variables: Variables, instruction: Instruction
    ) -> tuple[str, frozenset[str]]:
        place = self._stages.place(instruction.line)
        return expand(word, variables, self._dockerfile.escape, place)

    def _git(self, source: str, remedy: str, line: int) -> None:
        text = f"git fetches {source[:200]}"
        self._hints.append(Hint(text, remedy, self._dockerfile.file, line, git=True))

    def _hint(self, text: str, remedy: str, line: int) -> None:
        self._hints.append(Hint(text, remedy, self._dockerfile.file, line))


def _is_from_scratch(state: StageState) -> bool:
    """Return whether no image config can set variables that are not in the Dockerfile."""
    while state.base:
        state = state.base
    return state.image is None and state.base_name == SCRATCH
