"""Variables in a Dockerfile: their values, and words with `$NAME` and `${NAME:-…}` expanded.

Source of the rules: `frontend/dockerfile/shell/lex.go`, and `defaultArgs` and `buildMetaArgs` in
`dockerfile2llb`, of BuildKit 0.32.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from airgap.dockerfile.parse import Instruction
from airgap.errors import UsageError
from airgap.limits import LIMITS
from airgap.oci.platform import Platform

_WITH_PATTERN = re.compile(r"\$\{\w+[#%/]")
_NAME = re.compile(r"\$\{?(\w+)")


class Variables(dict[str, str]):
    """Names to values, which notes names that were asked for and have none.

    Attributes:
        missed: Those names. A value that was made with a missing one counts as missing too.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        super().__init__(values or {})
        self.missed: set[str] = set()
        self._unsure: set[str] = set(values._unsure) if isinstance(values, Variables) else set()

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """Return the value, or None."""
        if name not in self or name in self._unsure:
            self.missed.add(name)
        return super().get(name, default)

    def assign(self, name: str, value: str, *, sure: bool) -> None:
        """Set a value; not `sure` if it was made with a missing one."""
        self[name] = value
        (self._unsure.discard if sure else self._unsure.add)(name)


def expand(word: str, variables: Variables, escape: str, place: str) -> tuple[str, frozenset[str]]:
    """Return a word with variables expanded and quotes removed, and the names without a value.

    Args:
        word: As written.
        variables: Values; names without one are as empty.
        escape: The Dockerfile's escape character.
        place: File and line, for messages.

    Raises:
        UsageError: BuildKit would refuse the word, or it becomes too long.
    """
    from e2b_dockerfile_utils import ShellLex

    if len(word) > LIMITS.word_characters:
        raise _too_long(place)
    _check_patterns(word, variables, place)
    variables.missed.clear()
    try:
        done = ShellLex(escape, env=variables, skip_unset_env=False).process_word(word)
    except ValueError as error:
        raise UsageError(f"{place}: {str(error)[:300]}") from error
    if len(done) > LIMITS.word_characters:
        raise _too_long(place)
    return done, frozenset(variables.missed)


def default_args(
    target: Platform, build: Platform, overrides: Mapping[str, str], stage: str
) -> Variables:
    """Return the arguments that are there without being declared, for FROM lines.

    Args:
        target: The platform that is built for.
        build: The platform that is built on.
        overrides: `--build-arg` values, which win.
        stage: The name of the target stage, or empty.
    """
    values = {
        "BUILDPLATFORM": str(build),
        "BUILDOS": build.os,
        "BUILDOSVERSION": "",
        "BUILDARCH": build.architecture,
        "BUILDVARIANT": build.variant,
        "TARGETPLATFORM": str(target),
        "TARGETOS": target.os,
        "TARGETOSVERSION": "",
        "TARGETARCH": target.architecture,
        "TARGETVARIANT": target.variant,
        "TARGETSTAGE": stage or "default",
    }
    return Variables({name: overrides.get(name, value) for name, value in values.items()})


def declare_global(
    variables: Variables,
    lines: Sequence[Instruction],
    overrides: Mapping[str, str],
    escape: str,
    file: str,
) -> None:
    """Add what the ARG lines before the first FROM declare.

    Raises:
        UsageError: A default cannot be expanded.
    """
    for line in lines:
        for arg in line.args:
            name, given, default = arg.partition("=")
            if name in overrides:
                variables[name] = overrides[name]
            elif given:
                value, _ = expand(default, variables, escape, f"{file}:{line.line}")
                variables[name] = value


def _check_patterns(word: str, variables: Variables, place: str) -> None:
    """Refuse patterns that would take ages: the library matches them by trying."""
    if _WITH_PATTERN.search(word) is None:
        return
    texts = [word, *(variables[name] for name in _NAME.findall(word) if name in variables)]
    stars = sum(text.count("*") for text in texts)
    longest = max((len(value) for value in variables.values()), default=0)
    if longest**stars > LIMITS.pattern_steps:
        raise UsageError(f"{place}: {word[:80]!r} has too many wildcards for values so long")


def _too_long(place: str) -> UsageError:
    return UsageError(f"{place}: a word is longer than {LIMITS.word_characters} characters")
