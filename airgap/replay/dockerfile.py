"""The Dockerfile that BuildKit is given: the user's, with settings for each RUN step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from airgap.dockerfile.parse import Dockerfile
from airgap.dockerfile.scan import Scan, scan_parsed
from airgap.dockerfile.stages import BuildOptions, OnBuild
from airgap.errors import BuildError
from airgap.replay.run_step_settings import Setting
from airgap.versions import Version, version_in

# Since this version of Dockerfile's frontend a secret can be a variable.
_NEEDED = Version((1, 10))
_FRONTEND = re.compile(r"(?:.*/)?dockerfile(?:-upstream)?(?::([^@/]+))?(?:@.+)?")
_DIRECTIVE = re.compile(r"#\s*(?:escape|check)\s*=", re.IGNORECASE)


def with_settings(text: str, dockerfile: Dockerfile, settings: Sequence[Setting]) -> str:
    """Return the text with the settings mounted into every RUN; no line moves.

    Triggers of ONBUILD stay as they are: they become part of the image.

    Args:
        text: As it was parsed.
        dockerfile: The parsed text.
        settings: What to mount.
    """
    flags = "".join(f" {setting.mount}" for setting in settings)
    lines = text.split("\n")
    for instruction in dockerfile.instructions:
        if instruction.name == "RUN":
            line = lines[instruction.word_line - 1]
            lines[instruction.word_line - 1] = (
                line[: instruction.word_end] + flags + line[instruction.word_end :]
            )
    return "\n".join(lines)


def without_syntax(text: str, dockerfile: Dockerfile) -> str:
    """Return the text without its `# syntax=`, for BuildKit's own frontend; no instruction moves.

    Other directives must come first of all, so the line that is too many follows them.
    """
    lines = text.split("\n")
    at = dockerfile.syntax_line - 1
    removed = lines.pop(at)
    while at < len(lines) and _DIRECTIVE.match(lines[at]):
        at += 1
    lines.insert(at, "\r" if removed.endswith("\r") else "")
    return "\n".join(lines)


def is_outdated(syntax: str) -> bool:
    """Return whether a frontend is too old to give RUN steps variables.

    BuildKit's own one reads all that such a frontend reads.

    Args:
        syntax: The image of `# syntax=`; empty if there is none.
    """
    found = _FRONTEND.fullmatch(syntax)
    version = version_in(found[1] or "") if found else Version()
    # No version: a moving tag such as 1, or a digest.
    return bool(version) and version < _NEEDED


def needs(dockerfile: Dockerfile, options: BuildOptions, onbuild: OnBuild | None = None) -> Scan:
    """Return what a build needs from outside that is recorded or replayed.

    A frontend that is too old is not among it.

    Args:
        dockerfile: What is built.
        options: How.
        onbuild: As for `scan_dockerfile`.

    Raises:
        UsageError: BuildKit would refuse the build.
        BuildError: Git would fetch something for it.
    """
    found = scan_parsed(dockerfile, options, onbuild)
    _refuse_git(found)
    if not is_outdated(dockerfile.syntax):
        return found
    return replace(found, images=tuple(need for need in found.images if need.by != "# syntax"))


def _refuse_git(found: Scan) -> None:
    """End what BuildKit must not see: it asks an ssh server for its key before any policy counts.

    So does `llb.Git` in BuildKit's `client/llb/source.go`, for the frontend that is built in.
    """
    fetched = [hint.sentence for hint in found.hints if hint.git]
    if fetched:
        raise BuildError(
            "git would fetch what the build asks for, which no recording can have",
            meaning="\n  ".join(fetched),
            remedy="change these lines, and run the same command again",
        )


def is_foreign(syntax: str) -> bool:
    """Return whether a frontend reads something else than Dockerfiles: that text stays as it is."""
    return bool(syntax) and _FRONTEND.fullmatch(syntax) is None
