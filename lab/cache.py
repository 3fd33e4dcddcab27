"""The lab's cache: every part is made once and kept outside the tree.

A part sits in a folder whose name is a hash of all it was made from, so a changed version or flag
is a new folder and nothing ever has to be declared stale. A folder appears by one rename when it
is complete: a kill leaves only a temporary folder, which the next run deletes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

Maker = Callable[[Path], None]
"""Fills the empty folder that it is given."""


def cache_root() -> Path:
    """The folder for everything the lab keeps, created when it is first asked for."""
    chosen = os.environ.get("AIRGAP_LAB_CACHE")
    if chosen:
        root = Path(chosen)
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airgap-lab"
    root.mkdir(parents=True, exist_ok=True)
    return root.resolve()


def fingerprint(ingredients: Iterable[str]) -> str:
    """Sixteen hex digits that name a list of ingredients."""
    digest = hashlib.sha256()
    for ingredient in ingredients:
        digest.update(hashlib.sha256(ingredient.encode()).digest())
    return digest.hexdigest()[:16]


def cached(name: str, ingredients: Iterable[str], make: Maker) -> Path:
    """Returns the folder of a part, made by `make` if no run made it before.

    Two processes that want the same part do not make it twice: the second waits for the first.

    Args:
        name: What a person calls the part, e.g. `buildkitd v0.32.2 arm64`.
        ingredients: Everything the result depends on.
        make: Fills the folder.
    """
    slug = name.replace(" ", "-").replace("/", "-").replace(":", "-")
    folder = cache_root() / f"{slug}-{fingerprint(ingredients)}"
    if folder.exists():
        return folder
    with locked(folder.name):
        if not folder.exists():
            _make(name, folder, make)
    return folder


def _make(name: str, folder: Path, make: Maker) -> None:
    unfinished = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    say(f"making {name} ...")
    begun = time.monotonic()
    make(unfinished)
    unfinished.rename(folder)
    say(f"made {name} in {time.monotonic() - begun:.0f} s")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds a lock of the whole machine; the kernel lets go of it when the process ends."""
    folder = cache_root() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def say(line: str) -> None:
    """Prints a line of progress at once, on standard error."""
    os.write(2, f"lab: {line}\n".encode())
