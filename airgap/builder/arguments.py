"""The arguments of `docker buildx build`: which build they mean, and the rest to pass on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.spec.builds import read_args
from airgap.spec.bundle_spec import RecordingSpec

_LONG = {
    "-D": "--debug",
    "-c": "--cpu-shares",
    "-f": "--file",
    "-h": "--help",
    "-m": "--memory",
    "-o": "--output",
    "-q": "--quiet",
    "-t": "--tag",
}
# All others are followed by a value (buildx's `commands/build.go`).
_SWITCHES = frozenset({
    "--check",
    "--compress",
    "--debug",
    "--force-rm",
    "--help",
    "--load",
    "--no-cache",
    "--pull",
    "--push",
    "--quiet",
    "--rm",
    "--squash",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class BuildArguments:
    """What a person wrote after `buildx build`.

    Attributes:
        context: The build's context: a folder, an address, or `-`.
        options: Long name and value of each, in order; the value of a switch is `true` or
            `false`.
    """

    context: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> BuildArguments:
        """Read them as buildx does.

        Raises:
            UsageError: An option lacks its value, or there is not exactly one context.
        """
        options: list[tuple[str, str]] = []
        contexts: list[str] = []
        words = iter(arguments)
        for word in words:
            if word == "--":
                contexts += words
            elif word == "-" or not word.startswith("-"):
                contexts.append(word)
            else:
                options += _options(word, words)
        if len(contexts) != 1:
            raise UsageError(
                f"one context is needed, and here are {len(contexts)}",
                remedy="give the folder with what is to be built, often just: airgap build .",
            )
        return cls(contexts[0], tuple(options))

    def all(self, name: str) -> list[str]:
        """Return the values of a repeatable option."""
        return [value for option, value in self.options if option == name]

    def last(self, name: str) -> str:
        """Return the value that counts where an option may be given once; empty if it is not."""
        return (self.all(name) or [""])[-1]

    def build_args(self) -> dict[str, str]:
        """Return the build arguments; those without a value have it from the environment.

        Raises:
            UsageError: One has no name.
        """
        return read_args(self.all("--build-arg"), os.environ)

    def without(self, *names: str) -> BuildArguments:
        """Return the same without some options."""
        kept = tuple(option for option in self.options if option[0] not in names)
        return BuildArguments(self.context, kept)

    def plus(self, name: str, value: str) -> BuildArguments:
        """Return the same with one more option."""
        return BuildArguments(self.context, (*self.options, (name, value)))

    def words(self) -> list[str]:
        """Return the arguments for buildx."""
        return [*(f"{name}={value}" for name, value in self.options), self.context]


def recording_arguments(recording: RecordingSpec) -> BuildArguments:
    """Return what builds a recording's Dockerfile, for all of its platforms, and keeps no image."""
    platforms = ",".join(str(platform) for platform in recording.platforms or ())
    options = [
        ("--file", str(recording.dockerfile_path)),
        *([("--platform", platforms)] if platforms else []),
        *([("--target", recording.target)] if recording.target else []),
        *(("--build-arg", f"{name}={value}") for name, value in recording.args.items()),
        ("--provenance", "false"),
        ("--output", "type=cacheonly"),
    ]
    return BuildArguments(str(recording.context), tuple(options))


def _options(word: str, words: Iterator[str]) -> Iterable[tuple[str, str]]:
    """Return the options in a word, with the value of the last one, which may be the next word."""
    name, given, value = word.partition("=")
    if not word.startswith("--"):
        short = word[:2]
        name = _LONG.get(short, short)
        rest = word[2:]
        if name in _SWITCHES and rest and not rest.startswith("="):
            return [(name, "true"), *_options(f"-{rest}", words)]
        given, value = rest, rest.removeprefix("=")
    if given:
        return [(name, value)]
    if name in _SWITCHES:
        return [(name, "true")]
    following = next(words, None)
    if following is None:
        raise UsageError(f"{name} needs a value", remedy="see: docker buildx build --help")
    return [(name, following)]
