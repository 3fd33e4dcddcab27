"""What unfinished runs have fixed, kept on the workstation. The medium only names it.

STATE/unfinished/NAME-FOLDER.json   the request, and what was fixed for it

A medium could otherwise fix old digests or another date for the bundle that is then signed. A
name is random, is forgotten when its bundle is signed or another one is begun in the same folder,
and counts for 30 days.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from airgap.canonical import canonical
from airgap.disk import write_atomic
from airgap.errors import HostError, translate_os_errors, translate_write_errors
from airgap.limits import LIMITS

_NAME = re.compile(r"[0-9a-f]{32}")
_KEPT_SECONDS = 30 * 24 * 3600
_OTHERS_WRITE = 0o022


def read(name: str) -> dict[str, Any] | None:
    """Return what the run that a medium names has fixed; None if this workstation has no such.

    Raises:
        HostError: It cannot be read, or others could have changed it.
    """
    path = _file(name)
    if path is None:
        return None
    with translate_os_errors("the checkpoint of the bundle"):
        if _is_old(path):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            _check_ours(os.fstat(descriptor), path)
            data = file.read(LIMITS.contents_bytes)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def write(output: Path, document: Mapping[str, Any]) -> str:
    """Keep what a run has fixed, and forget what was begun in the same folder before.

    Args:
        output: The bundle's folder.
        document: What was fixed.

    Returns:
        The name for the medium.

    Raises:
        SpaceError: The disk of the workstation is full.
        HostError: It cannot be written.
    """
    folder, name = _folder(), secrets.token_hex(16)
    where = hashlib.sha256(os.fsencode(output.resolve())).hexdigest()[:16]
    with _writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_ours(folder.stat(), folder)
        for path in folder.glob("*.json"):
            if path.stem.endswith(f"-{where}") or _is_old(path):
                path.unlink(missing_ok=True)
        write_atomic(folder / f"{name}-{where}.json", canonical(document), 0o600)
    return name


def remove(name: str) -> None:
    """Forget a run whose bundle is signed.

    Raises:
        HostError: It cannot be removed.
    """
    path = _file(name)
    if path is not None:
        with _writing(path):
            path.unlink(missing_ok=True)


def _folder() -> Path:
    return user_state_path("airgap") / "unfinished"


def _file(name: str) -> Path | None:
    """Return the file of a name, if it is one and there is one."""
    if not _NAME.fullmatch(name):
        return None
    return next(_folder().glob(f"{name}-*.json"), None)


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _KEPT_SECONDS


def _check_ours(found: os.stat_result, path: Path) -> None:
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & _OTHERS_WRITE:
        raise HostError(
            f"others can change {path}",
            meaning="It says what the next bundle is made of.",
            remedy=f"chown and chmod go-w, or remove it: {path}",
        )


def _writing(path: Path) -> AbstractContextManager[None]:
    remedy = "set XDG_STATE_HOME to a folder of yours that is not on the medium"
    return translate_write_errors(path, remedy=remedy)
