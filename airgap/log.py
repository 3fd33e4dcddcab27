"""The log: what a command did, for those who look for what went wrong.

It has every record; `-v` shows some of them on the terminal. It is kept in the state folder of a
host, if this user can change that folder, and in the file that `--log` names. A log that cannot be
written stops no command. Modules write to `logging.getLogger(__name__)`.
"""

from __future__ import annotations

import logging
import os
import platform
import stat
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

import click

from airgap import __version__
from airgap.errors import AirgapError, ExitCode, HostError
from airgap.ownership import changeable_by_others
from airgap.printable import printable, terminal
from airgap.replay.redaction import (
    Arguments,
    arguments_of,
    given_arguments,
    mask,
    redact,
    redact_words,
)

NAME = "airgap.log"
"""The file in the state folder."""

_LOG = logging.getLogger(__name__)
_ROOT = logging.getLogger("airgap")
_FILE_BYTES = 1 << 20
_OLD_FILES = 3
_MOST_CHARACTERS = 1 << 16
_KEPT_RECORDS = 1000


class BugError(AirgapError):
    """An exception that nobody foresaw (exit 1)."""


class Redaction(logging.Filter):
    """Takes secrets out of a record, and makes it plain text.

    Attributes:
        arguments: Build arguments whose values do not appear.
    """

    def __init__(self) -> None:
        super().__init__()
        self.arguments: Arguments = ()

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place; every record passes."""
        if not hasattr(record, "redacted"):
            if isinstance(record.args, tuple):
                record.args = tuple(map(self._as_command, record.args))
            text = record.getMessage()
            if record.exc_info:
                text += "\n" + logging.Formatter().formatException(record.exc_info)
            clean = printable(redact(mask(text, self.arguments)), "\n")[:_MOST_CHARACTERS]
            # No line of a text by others looks like the start of a record.
            record.msg, record.args = clean.replace("\n", "\n    "), ()
            record.exc_info = record.exc_text = None
            record.redacted = True
        return True

    def _as_command(self, value: object) -> object:
        """Return the text of a command that was logged as a list; anything else unchanged."""
        if not isinstance(value, (list, tuple)):
            return value
        return redact_words([mask(str(word), self.arguments) for word in value])


class _Quiet(logging.Handler):
    """A handler whose failures stay its own."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the record."""


class _Kept(_Quiet):
    """The first records, for those handlers that begin later."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque(maxlen=_KEPT_RECORDS)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)


class _Terminal(_Quiet):
    """Standard error, above a bar if one is drawn there.

    Attributes:
        times: How often `-v` was given.
    """

    times = 0

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record, but what progress shows, and the error that ends the command."""
        if record.name == "airgap.progress" or record.levelno >= logging.ERROR:
            return
        with suppress(Exception):  # a log stops no command
            text, stream = self.format(record), terminal(sys.stderr)
            if "tqdm" in sys.modules:
                sys.modules["tqdm"].tqdm.write(text, file=stream)
            else:
                print(text, file=stream, flush=True)


class _File(_Quiet, RotatingFileHandler):
    """A file that only this user can read, and that is never reached through a link.

    Args:
        path: The file.
        root: The state folder, if the file is the one in there.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.root = root
        self.failed = False
        # Only the one of a host grows for years.
        limit = _FILE_BYTES if root else 0
        super().__init__(
            path, "a", limit, _OLD_FILES, "utf-8", delay=bool(root), errors="backslashreplace"
        )
        text = "%(asctime)s.%(msecs)03dZ %(process)d %(levelname)s %(name)s: %(message)s"
        formatter = logging.Formatter(text, "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    @property
    def written(self) -> bool:
        """Whether the last record is in the file."""
        return self.stream is not None and not self.failed

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, and those before the file could be there."""
        if self.stream is None and self.root and not os.access(self.root, os.W_OK):
            self.failed = True
            return
        begins, self.failed = self.stream is None and self.failed, False
        for item in [*_KEPT.records] if begins else [record]:
            super().emit(item)

    def handleError(self, record: logging.LogRecord) -> None:
        """Remembers it."""
        self.failed = True

    def _open(self) -> TextIO:  # type: ignore[override]
        if self.root and changeable_by_others(self.root):
            raise PermissionError
        opener = _open_private if self.root else _open_no_link
        return open(
            self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=opener
        )


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def _open_private(path: str, flags: int) -> int:
    """Open a file of a folder that others cannot change; one that they could open is replaced."""
    descriptor = _open_no_link(path, flags)
    status = os.fstat(descriptor)
    mine = status.st_uid == os.geteuid() and status.st_nlink == 1
    if mine and stat.S_ISREG(status.st_mode) and not status.st_mode & 0o077:
        return descriptor
    os.close(descriptor)
    Path(path).unlink()
    return _open_no_link(path, flags | os.O_EXCL)


_REDACTION, _KEPT, _TERMINAL = Redaction(), _Kept(), _Terminal()


def hide(arguments: Mapping[str, str]) -> None:
    """Keep the values of build arguments out of the log from here on."""
    _REDACTION.arguments = tuple({*_REDACTION.arguments, *arguments_of(arguments)})


def show(times: int) -> None:
    """Show the log on the terminal.

    Args:
        times: How often `-v` was given; those before and those after the verb add up.
    """
    begins = not _TERMINAL.times
    _TERMINAL.times += times
    _TERMINAL.setLevel(logging.INFO if _TERMINAL.times == 1 else logging.DEBUG)
    if begins:
        _add(_TERMINAL)


def write_to(path: Path) -> None:
    """Write the log to a file, too, behind what is in there.

    Raises:
        HostError: The file cannot be opened.
    """
    try:
        _add(_File(path))
    except OSError as error:
        raise HostError(
            f"cannot write the log {path}: {error.strerror}",
            remedy="choose another file with --log, one that is no link",
        ) from error


@contextmanager
def logged(root: Path, words: Sequence[str]) -> Iterator[None]:
    """Log what a command does, how long it takes and how it ends.

    Args:
        root: The state folder; without it, or where it cannot be changed, it gets no log.
        words: The command line.

    Raises:
        BugError: An exception that nobody foresaw was raised.
    """
    began = time.monotonic()
    _start(root, words)
    try:
        yield
        _LOG.info("done after %.1f s", time.monotonic() - began)
    except AirgapError as error:
        _ended(f"error: {error}", error.exit_code, error)
        raise
    except click.ClickException as error:
        _ended(f"error: {error.format_message()}", ExitCode.USAGE)
        raise
    except click.exceptions.Exit as end:
        _LOG.info("exit status %d after %.1f s", end.exit_code, time.monotonic() - began)
        raise
    except (KeyboardInterrupt, click.Abort):
        _ended("interrupted", ExitCode.INTERRUPTED)
        raise
    except BrokenPipeError:
        raise
    except Exception as error:
        _ended("a bug", ExitCode.INTERNAL, error)
        raise _bug(error) from error
    finally:
        _stop()


def _start(root: Path, words: Sequence[str]) -> None:
    _KEPT.records.clear()
    _REDACTION.arguments = ()
    _TERMINAL.times = 0
    _ROOT.setLevel(logging.DEBUG)
    _ROOT.propagate = False
    _add(_KEPT)
    _add(_File(root / NAME, root))
    hide(given_arguments(words))
    version, system = platform.python_version(), platform.platform()
    _LOG.info("airgap %s, Python %s, %s", __version__, version, system)
    _LOG.info("command: %s", ["airgap", *words])


def _add(handler: logging.Handler) -> None:
    """Add a handler, and give it what was logged before."""
    handler.addFilter(_REDACTION)
    for record in [*_KEPT.records]:
        if record.levelno >= handler.level:
            handler.handle(record)
    _ROOT.addHandler(handler)


def _ended(text: str, code: int, error: Exception | None = None) -> None:
    """Log how the command ended; the terminal has its own message."""
    _LOG.error("%s\nexit status %d", text, code, exc_info=error)


def _bug(error: Exception) -> BugError:
    """Return the report of an exception that nobody foresaw; it has the traceback if no log has."""
    message = f"this is a bug in airgap: {type(error).__name__}"
    files = [
        handler for handler in _ROOT.handlers if isinstance(handler, _File) and handler.written
    ]
    if not files:
        # The record of `_ended`, after its two lines: secrets are out of it.
        _text, _status, *traceback = _KEPT.records[-1].getMessage().split("\n")
        return BugError(
            message,
            meaning="\n".join(line.removeprefix("    ") for line in traceback),
            remedy="report these lines, and say what you did before",
        )
    return BugError(
        message,
        meaning=f"The log has the details: {files[-1].baseFilename}",
        remedy="report it with that file, and say what you did before",
    )


def _stop() -> None:
    for handler in [*_ROOT.handlers]:
        _ROOT.removeHandler(handler)
        with suppress(OSError):  # a full disk
            handler.close()
    _ROOT.propagate = True
    _ROOT.setLevel(logging.NOTSET)
