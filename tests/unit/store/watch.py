"""Sees, and can stop, every change that this process makes to files.

Python tells audit hooks of each such call before it is made. A hook cannot be taken away again,
so there is one, which calls whatever is being watched with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Watcher = Callable[[str, tuple[Any, ...]], None]

_CHANGES = frozenset({"open", "os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir"})
_watchers: list[Watcher] = []
_installed: list[bool] = []


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Calls `watcher` before each change with the event's name and arguments."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watchers and event in _CHANGES and _writes(event, arguments):
        for watcher in tuple(_watchers):
            watcher(event, arguments)


def _writes(event: str, arguments: tuple[Any, ...]) -> bool:
    return event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
