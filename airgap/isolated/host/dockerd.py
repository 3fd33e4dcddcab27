"""dockerd as it runs on this host: its process, its configuration file, and what it takes.

dockerd takes a blank file as an empty one, and a byte order mark before it. (moby,
`daemon/config/config.go`.) What else it takes, it is asked itself: `dockerd --validate`.
"""

from __future__ import annotations

import codecs
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from airgap import processes

DEFAULT_CONFIG = Path("/etc/docker/daemon.json")

_PID_FILE = Path("/run/docker.pid")
_PROC = Path("/proc")
_OPTION = "--config-file"
_SECONDS = 60
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def parse(data: bytes) -> dict[str, Any]:
    """Read a configuration as dockerd does.

    Args:
        data: The bytes of the file.

    Raises:
        ValueError: dockerd does not read it.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    text = data.decode(encoding).strip()
    try:
        document = json.loads(text, parse_constant=_refuse) if text else {}
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ValueError(f"it holds a {type(document).__name__}, not an object")
    return document


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def process() -> int | None:
    """Return the id of this host's dockerd; None if it cannot be told."""
    with suppress(OSError, ValueError):
        number = int(_PID_FILE.read_text())
        if _is_dockerd(number):
            return number
    own = _namespace(os.getpid())
    numbers = [int(path.name) for path in _PROC.glob("[0-9]*")]
    # Those in containers have processes of their own.
    found = [item for item in numbers if _is_dockerd(item) and _namespace(item) in (own, "")]
    return found[0] if len(found) == 1 else None


def config_file(number: int | None) -> Path:
    """Return the file that dockerd reads.

    Args:
        number: From `process`.
    """
    named = _named(_arguments(number))
    if not named:
        return DEFAULT_CONFIG
    with suppress(OSError):
        named = str((_PROC / str(number) / "cwd").readlink() / named)
    if os.path.realpath(named) == os.path.realpath(DEFAULT_CONFIG):
        return DEFAULT_CONFIG
    return Path(named)


def states_on_its_command_line(number: int | None, word: str) -> bool:
    """Return whether a word is among dockerd's arguments, by itself or after an option's `=`."""
    return any(word in (argument, argument.partition("=")[2]) for argument in _arguments(number))


def objection(number: int | None, data: bytes, scratch: Path) -> str:
    """Return what dockerd has against a configuration; empty if nothing, or if it cannot tell.

    The program that runs is asked, with the arguments that it was started with.

    Args:
        number: From `process`.
        data: The bytes of the configuration.
        scratch: A folder for a short-lived file.
    """
    if number is None:
        return ""
    with tempfile.TemporaryDirectory(prefix=".dockerd-", dir=scratch) as folder:
        file = Path(folder) / "daemon.json"
        file.write_bytes(data)
        command = [*_without_file(_arguments(number)[1:]), _OPTION, str(file), "--validate"]
        try:
            done = processes.run(
                [_PROC / str(number) / "exe", *command],
                env=_environment(number),
                cwd=_PROC / str(number) / "cwd",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
    said = done.stderr.strip().replace(str(file), "it")
    # Docker before 23 has no --validate.
    if done.returncode == 0 or "unknown flag" in said:
        return ""
    return said.splitlines()[-1] if said else f"exit status {done.returncode}"


def _is_dockerd(number: int) -> bool:
    with suppress(OSError):
        return (_PROC / str(number) / "comm").read_text().strip() == "dockerd"
    return False


def _namespace(number: int) -> str:
    """Return what tells its processes from those of containers; empty if it cannot be told."""
    with suppress(OSError):
        return str((_PROC / str(number) / "ns" / "pid").readlink())
    return ""


def _arguments(number: int | None) -> list[str]:
    with suppress(OSError):
        return [os.fsdecode(part) for part in _parts(number, "cmdline")]
    return []


def _environment(number: int) -> dict[str, str]:
    parts = [os.fsdecode(part) for part in _parts(number, "environ")]
    return {name: value for name, _, value in (part.partition("=") for part in parts)}


def _parts(number: int | None, name: str) -> list[bytes]:
    return [part for part in (_PROC / str(number) / name).read_bytes().split(b"\0") if part]


def _named(arguments: Sequence[str]) -> str:
    """Return the file that is named; the last one counts."""
    named = ""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if word == _OPTION:
            named = following
        elif word.startswith(f"{_OPTION}="):
            named = word.partition("=")[2]
    return named


def _without_file(arguments: Sequence[str]) -> list[str]:
    left, skip = [], False
    for word in arguments:
        if not (skip or word == _OPTION or word.startswith(f"{_OPTION}=")):
            left.append(word)
        skip = word == _OPTION and not skip
    return left
