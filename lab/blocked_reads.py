"""Reads that wait: whoever reads these files is held until a test says so, by fanotify(7)."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from airgap.errors import HostError

# From linux/fanotify.h.
_CLASS_CONTENT, _CLOEXEC = 0x4, 0x1
_MARK_ADD, _ACCESS_PERM = 0x1, 0x20000
_ALLOW = 1
_EVENT = struct.Struct("=IBBHQii")  # length, version, -, length of this, mask, file, process
_ANSWER = struct.Struct("=iI")
_AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)


class HeldReads:
    """Holds every read of some files, by any process, until it is let go."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Describes what is held; entering the context begins it, leaving it lets all go."""
        self._files = list(files)
        self._group = -1
        self._waiting: deque[int] = deque()

    def __enter__(self) -> Self:
        """Begins to hold reads.

        Raises:
            HostError: The kernel cannot do it.
        """
        self._group = _checked(_libc.fanotify_init(_CLASS_CONTENT | _CLOEXEC, os.O_RDONLY))
        try:
            for file in self._files:
                mask, path = ctypes.c_uint64(_ACCESS_PERM), os.fsencode(file)
                _checked(_libc.fanotify_mark(self._group, _MARK_ADD, mask, _AT_FDCWD, path))
        except BaseException:
            os.close(self._group)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Lets all go, also those that come later."""
        self.let_all_go()

    def wait(self, seconds: float) -> bool:
        """Waits until a read is held, and says whether one is."""
        if not self._waiting and select.select([self._group], [], [], seconds)[0]:
            events = os.read(self._group, 64 * _EVENT.size)
            self._waiting += (event[5] for event in _EVENT.iter_unpack(events))
        return bool(self._waiting)

    def let_go(self) -> None:
        """Lets the read that was held first go."""
        file = self._waiting.popleft()
        try:
            os.write(self._group, _ANSWER.pack(file, _ALLOW))
        finally:
            os.close(file)

    def let_all_go(self) -> None:
        """Holds nothing any more."""
        if self._group < 0:
            return
        while self._waiting:
            self.let_go()
        os.close(self._group)  # the kernel then lets the others go
        self._group = -1


def _checked(result: int) -> int:
    if result < 0:
        why = os.strerror(ctypes.get_errno())
        message = f"this kernel cannot hold reads: {why}"
        raise HostError(message, meaning="It needs CONFIG_FANOTIFY_ACCESS_PERMISSIONS.")
    return result
