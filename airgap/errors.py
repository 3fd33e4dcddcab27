"""One tree of errors: each says what happened, what it means and what to do.

The exit codes are a contract with scripts; `ExitCode` is the only list of them in the code.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import ClassVar, Self

from airgap.printable import printable


class ExitCode(IntEnum):
    """What the process's exit status means."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    NOT_FOUND = 3
    UPSTREAM = 4
    CREDENTIALS = 5
    INTEGRITY = 6
    TRUST = 7
    SPACE = 8
    HOST = 9
    BUILD = 10
    INTERRUPTED = 130


class AirgapError(Exception):
    """Base of every foreseeable error.

    Args:
        message: What happened, one sentence, with the names involved.
        meaning: What that means for the person who reads it (may be empty).
        remedy: What to do, ideally a command (may be empty).
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(self, message: str, *, meaning: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self._meaning = meaning
        self._remedy = remedy

    @property
    def message(self) -> str:
        """What happened."""
        return str(self.args[0])

    @property
    def meaning(self) -> str:
        """What that means for the reader; may be empty."""
        return self._meaning

    @property
    def remedy(self) -> str:
        """What to do; may be empty."""
        return self._remedy

    def but(self, *, meaning: str | None = None, remedy: str | None = None) -> Self:
        """Return the same error with another meaning or remedy: an error is never changed."""
        changed = type(self).__new__(type(self), *self.args)
        changed.__dict__.update(self.__dict__)
        changed._meaning = self.meaning if meaning is None else meaning
        changed._remedy = self.remedy if remedy is None else remedy
        return changed

    def __str__(self) -> str:
        """Return all three parts, a line each; characters that control a terminal are escaped."""
        lines = [printable(self.message)]
        # Only this part may have several lines.
        meant = [line.removeprefix("  ") for line in self.meaning.split("\n") if line]
        lines += [f"  {printable(line)}" for line in meant]
        if self.remedy:
            lines.append(f"  -> {printable(self.remedy)}")
        return "\n".join(lines)


class UsageError(AirgapError):
    """The command line, a spec or a configuration file is wrong (exit 2)."""

    exit_code = ExitCode.USAGE


class NotFoundError(AirgapError):
    """An image or platform is not upstream, or not in the bundle (exit 3)."""

    exit_code = ExitCode.NOT_FOUND


class UpstreamError(AirgapError):
    """A registry is unreachable, or refused (exit 4)."""

    exit_code = ExitCode.UPSTREAM


class CredentialsError(AirgapError):
    """A registry wants other credentials, or a passphrase is wrong (exit 5)."""

    exit_code = ExitCode.CREDENTIALS


class IntegrityError(AirgapError):
    """Bytes are not what their digest, or the format, says (exit 6)."""

    exit_code = ExitCode.INTEGRITY


class TrustError(AirgapError):
    """A signature is missing, unknown or not enough, or the bundle is too old (exit 7)."""

    exit_code = ExitCode.TRUST


class SpaceError(AirgapError):
    """A disk has not enough room (exit 8)."""

    exit_code = ExitCode.SPACE


class HostError(AirgapError):
    """The host lacks something, or is not as it should be (exit 9)."""

    exit_code = ExitCode.HOST


class BuildError(AirgapError):
    """A build failed (exit 10)."""

    exit_code = ExitCode.BUILD


def is_full(error: OSError) -> bool:
    """Return whether the operating system says that a disk, or someone's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def too_many_open(error: OSError) -> HostError | None:
    """Return the error where this process, or the host, may have no more files open; else None."""
    if error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    return HostError(
        f"{error.strerror}: this process or host may have no more files open",
        meaning="It says nothing of the medium or the disk.",
        remedy="ulimit -n 1024, and run the same command again",
    )


def cannot_read(what: str, error: OSError) -> HostError:
    """Return the error for a medium that fails while it is read."""
    if open_already := too_many_open(error):
        return open_already
    return HostError(
        f"cannot read {what}: {error.strerror}",
        meaning="The medium may be damaged, or was removed.",
        remedy="reinsert it and run the same command again: finished work is kept",
    )


def cannot_write(
    path: Path, error: OSError, *, kept: str = "", remedy: str = ""
) -> HostError | SpaceError:
    """Return the error for a file or folder that cannot be written.

    Args:
        path: The file or folder.
        error: What the operating system said.
        kept: What is kept if the disk is full, a sentence.
        remedy: What to do if something else is wrong.
    """
    if open_already := too_many_open(error):
        return open_already
    if is_full(error):
        return SpaceError(
            f"the disk of {path} is full",
            meaning=kept,
            remedy="make room, then run the same command again",
        )
    return HostError(f"cannot write to {path}: {error.strerror}", remedy=remedy)


@contextmanager
def translate_write_errors(path: Path, *, kept: str = "", remedy: str = "") -> Iterator[None]:
    """Turn what the operating system refuses while a file is written into an error for people.

    Args:
        path: The file or folder that is written.
        kept: What is kept if the disk is full, a sentence.
        remedy: What to do if something else is wrong.

    Raises:
        SpaceError: The disk is full.
        HostError: Anything else is wrong.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error, kept=kept, remedy=remedy) from error


@contextmanager
def translate_os_errors(what: str) -> Iterator[None]:
    """Turn what the operating system refuses in work on many files into an error for people.

    Args:
        what: The work, such as the name of a step.

    Raises:
        SpaceError: A disk is full.
        HostError: Anything else is wrong.
    """
    try:
        yield
    except OSError as error:
        where = Path(error.filename) if isinstance(error.filename, str) else Path()
        if is_full(error):
            raise cannot_write(where, error) from error
        named = f" {where}" if error.filename else ""
        raise HostError(f"{what}:{named} {error.strerror}") from error
