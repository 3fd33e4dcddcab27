"""The Dockerfile that BuildKit is given: the user's, with settings for each RUN step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from airgap.replay.settings import Setting
from airgap.spec.dockerfile import Dockerfile
from airgap.spec.scan import Scan

# Since this version of Dockerfile's frontend a secret can be a variable.
_NEEDED = (1, 10)
_FRONTEND = re.compile(r"(?:.*/)?dockerfile(?:-upstream)?(?::([^@/]+))?(?:@.+)?")
_VERSION = re.compile(r"(\d+)\.(\d+)")

BUILTIN_FRONTEND = "dockerfile.v0"
"""What the build argument BUILDKIT_SYNTAX calls BuildKit's own frontend (BuildKit 0.30)."""


def with_settings(text: str, dockerfile: Dockerfile, settings: Sequence[Setting]) -> str:
    """The text with the settings mounted into every RUN; no line moves.

    Triggers of ONBUILD stay as they are: they become part of the image.

    Args:
        text: As it was parsed.
        dockerfile: The parsed text.
        settings: What to mount.
    """
    flags = "".join(f" {setting.mount}" for setting in settings)
    lines = text.split("\n")
    for one in dockerfile.instructions:
        if one.name == "RUN":
            line = lines[one.word_line - 1]
            lines[one.word_line - 1] = line[: one.word_end] + flags + line[one.word_end :]
    return "\n".join(lines)


def frontend_in_place(syntax: str) -> str:
    """The frontend that must read the Dockerfile in place of its own; empty for its own.

    An older one cannot give RUN steps variables; BuildKit's own one reads all that it reads.

    Args:
        syntax: The image of `# syntax=`; empty if there is none.
    """
    found = _FRONTEND.fullmatch(syntax)
    version = _VERSION.match(found[1] or "") if found else None
    if version is None:  # none, a moving tag such as 1, or by digest
        return ""
    return BUILTIN_FRONTEND if (int(version[1]), int(version[2])) < _NEEDED else ""


def with_frontend(scan: Scan, syntax: str) -> Scan:
    """What a build needs, without the frontend that is replaced.

    Args:
        scan: What its Dockerfile says.
        syntax: The image of `# syntax=`; empty if there is none.
    """
    if not frontend_in_place(syntax):
        return scan
    return replace(scan, images=tuple(need for need in scan.images if need.by != "# syntax"))


def is_foreign(syntax: str) -> bool:
    """Whether a frontend reads something else than Dockerfiles: that text stays as it is."""
    return bool(syntax) and _FRONTEND.fullmatch(syntax) is None
