"""Keeps the last built `airgap.pyz`, as the next bundle most often carries the very same one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from airgap.disk import write_atomic


def kept(folder: Path, ingredients: Iterable[bytes], build: Callable[[], bytes]) -> bytes:
    """Return what `build` gives, or what it gave last time for the same ingredients.

    The file's name has the hash of the ingredients and that of its bytes, so that a damaged one
    is not believed. A folder that cannot be written to keeps nothing, and that is no error.

    Args:
        folder: Where it is kept; files of other ingredients are removed.
        ingredients: Everything that the result depends on.
        build: Makes it.
    """
    digest = hashlib.sha256()
    for ingredient in ingredients:
        digest.update(hashlib.sha256(ingredient).digest())
    name = digest.hexdigest()
    with suppress(OSError):
        for path in folder.glob(f"{name}-*"):
            data = path.read_bytes()
            if path.name == f"{name}-{hashlib.sha256(data).hexdigest()}":
                return data
    data = build()
    with suppress(OSError):
        _keep(folder, f"{name}-{hashlib.sha256(data).hexdigest()}", data)
    return data


def _keep(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.iterdir():
        other.unlink()
    write_atomic(folder / name, data)
