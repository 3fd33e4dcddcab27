"""Errors: exit codes are a contract, and every part of a message is shown."""

from __future__ import annotations

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


def test_what_is_added_later_is_shown_too() -> None:
    error = UpstreamError("unreachable")
    error.meaning = "Asked before it: a mirror."
    assert str(error) == "unreachable\n  Asked before it: a mirror."
