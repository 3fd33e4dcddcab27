"""Progress as an observer: work reports what it does, and an observer shows it.

`TqdmProgress` is for terminals, `LineProgress` for logs, `Progress` itself says nothing.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

from airgap.printable import printable, terminal

if TYPE_CHECKING:
    from types import TracebackType

    from tqdm import tqdm

_LOG = logging.getLogger(__name__)
_NAME_WIDTH = 32


class Progress:
    """The silent observer, and the interface of the others. Safe to call from threads."""

    def message(self, text: str) -> None:
        """Something worth a line has happened."""
        _LOG.info("%s", text)

    def start(self, what: str, total: int) -> None:
        """Work of `total` bytes begins; any earlier work has ended."""
        _LOG.info("%s: %s", what, format_bytes(total))

    def item(self, name: str) -> None:
        """Show the current item, such as an image."""

    def advance(self, count: int) -> None:
        """`count` more bytes are done."""

    def finish(self) -> None:
        """End the current task, also after an error."""

    def __enter__(self) -> Progress:
        """So that a display ends on every way out."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the display."""
        self.finish()


class LineProgress(Progress):
    """Plain lines, at most one every few seconds, for logs and pipes."""

    SECONDS_BETWEEN_LINES = 5.0

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._what = self._item = ""
        self._total = self._done = 0
        self._last_line = 0.0

    def message(self, text: str) -> None:
        """Print the line."""
        super().message(text)
        self._print(text)

    def _print(self, text: str) -> None:
        with self._lock:
            print(printable(text), file=self._stream, flush=True)

    def start(self, what: str, total: int) -> None:
        """Print what begins."""
        self._what, self._item, self._total, self._done = what, "", total, 0
        self._last_line = time.monotonic()
        super().start(what, total)
        self._print(f"{what}: {format_bytes(total)}")

    def item(self, name: str) -> None:
        """Name it in the next line."""
        self._item = name

    def advance(self, count: int) -> None:
        """Print how far it is, now and then."""
        now = time.monotonic()
        with self._lock:
            self._done += count
            due = now - self._last_line >= self.SECONDS_BETWEEN_LINES
            if due:
                self._last_line = now
        if due:
            percent = 100 * self._done // self._total if self._total else 100
            named = f", {self._item}" if self._item else ""
            self._print(f"{self._what}: {percent} % of {format_bytes(self._total)}{named}")


class TqdmProgress(Progress):
    """A bar on a terminal."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # tqdm's own guards the terminal, not its counter
        self._bar: tqdm[Any] | None = None
        self._what = ""
        self._total, self._begun = 0, 0.0

    def message(self, text: str) -> None:
        """Print above the bar."""
        from tqdm import tqdm

        super().message(text)
        tqdm.write(printable(text), file=terminal(sys.stderr))

    def start(self, what: str, total: int) -> None:
        """Show a new bar."""
        from tqdm import tqdm

        super().start(what, total)
        with self._lock:
            self.finish()
            self._what, self._total = printable(what), total
            self._bar = tqdm(
                total=total,
                desc=self._what,
                bar_format="{desc}: {percentage:3.0f}% |{bar}|{postfix}",
                file=terminal(sys.stderr),
            )
            self._begun = time.monotonic()

    def item(self, name: str) -> None:
        """Name it before the bar."""
        with self._lock:
            if self._bar is not None:
                shown = printable(name)
                cut = shown if len(shown) <= _NAME_WIDTH else f"…{shown[1 - _NAME_WIDTH :]}"
                self._bar.set_description_str(f"{self._what} {cut}", refresh=False)

    def advance(self, count: int) -> None:
        """Move the bar."""
        with self._lock:
            if self._bar is None:
                return
            done = self._bar.n + count
            speed = done / max(time.monotonic() - self._begun, 0.001)
            sizes = f"{format_bytes(int(done))} of {format_bytes(self._total)}"
            self._bar.set_postfix_str(f"{sizes}, {format_bytes(int(speed))}/s", refresh=False)
            self._bar.update(count)

    def finish(self) -> None:
        """Leave the bar as it is and the cursor below it."""
        with self._lock:
            if self._bar is not None:
                self._bar.close()
                self._bar = None


def choose_progress(*, quiet: bool) -> Progress:
    """Return the observer for this process: none if `quiet`, a bar on a terminal, else lines."""
    if quiet:
        return Progress()
    return TqdmProgress() if sys.stderr.isatty() else LineProgress()


def format_count(number: int, noun: str) -> str:
    """Return `1 image` or `2 images`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_bytes(count: int) -> str:
    """`1536` as `1.5 KiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if round(size, 1) < 1024:  # noqa: PLR2004 - the unit's own size
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
