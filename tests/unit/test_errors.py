"""Errors: exit codes are a contract, and every part of a message is shown."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from airgap.errors import (
    AirgapError,
    BuildError,
    CredentialsError,
    ExitCode,
    HostError,
    IntegrityError,
    NotFoundError,
    SpaceError,
    TrustError,
    UpstreamError,
    UsageError,
    translate_write_errors,
)

CODES: dict[type[AirgapError], int] = {
    AirgapError: 1,
    UsageError: 2,
    NotFoundError: 3,
    UpstreamError: 4,
    CredentialsError: 5,
    IntegrityError: 6,
    TrustError: 7,
    SpaceError: 8,
    HostError: 9,
    BuildError: 10,
}


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_an_error_has_its_documented_exit_code(kind: type[AirgapError], code: int) -> None:
    assert kind("x").exit_code == code


def test_no_exit_code_is_left_without_an_error() -> None:
    assert {*CODES.values(), ExitCode.DONE, ExitCode.INTERRUPTED} == set(ExitCode)
    assert (ExitCode.DONE, ExitCode.INTERRUPTED) == (0, 130)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (HostError("no Docker"), "no Docker"),
        (HostError("no Docker", meaning="Nothing runs."), "no Docker\n  Nothing runs."),
        (HostError("no Docker", remedy="install it"), "no Docker\n  -> install it"),
        (
            HostError("no Docker", meaning="Nothing runs.", remedy="install it"),
            "no Docker\n  Nothing runs.\n  -> install it",
        ),
    ],
)
def test_a_message_has_a_line_for_each_part(error: AirgapError, text: str) -> None:
    assert str(error) == text


def test_a_part_is_added_to_a_copy_and_an_error_never_changes() -> None:
    class Numbered(UpstreamError):
        def __init__(self, message: str, *, number: int) -> None:
            super().__init__(message)
            self.number = number

    error = Numbered("unreachable", number=3)
    explained = error.but(meaning="A mirror was asked before.")
    assert str(explained) == "unreachable\n  A mirror was asked before."
    assert (str(error), explained.number, type(explained)) == ("unreachable", 3, Numbered)
    for name in ("message", "meaning", "remedy"):
        with pytest.raises(AttributeError):
            setattr(error, name, "other")


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.ENOSPC, SpaceError, "the disk of /data is full\n  Blobs are kept.\n  -> make room"),
        (errno.EDQUOT, SpaceError, "the disk of /data is full"),
        (errno.EACCES, HostError, "cannot write to /data: Permission denied\n  -> use another"),
        (errno.EMFILE, HostError, "Too many open files"),
    ],
)
def test_what_the_system_refuses_is_an_error_for_people(
    number: int, kind: type[AirgapError], text: str
) -> None:
    with (
        pytest.raises(kind) as caught,
        translate_write_errors(Path("/data"), kept="Blobs are kept.", remedy="use another"),
    ):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(text)
