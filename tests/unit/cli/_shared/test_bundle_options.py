"""What `airgap bundle` and `airgap update` have in common."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click
import pytest

from airgap.cli import bundle, update
from airgap.cli._shared.bundle_options import (
    read_deadline,
    read_request,
    request_options,
    update_command,
)
from airgap.errors import UsageError
from airgap.spec.lock import DEFAULT_PATH


def test_both_verbs_have_the_same_options_for_the_request() -> None:
    shared = click.command()(request_options(lambda: None)).params
    assert len(shared) > 5
    for command in (bundle.command, update.command):
        options = {parameter.name: parameter.to_info_dict() for parameter in command.params}
        for option in shared:
            assert options[option.name] == option.to_info_dict()


@pytest.mark.parametrize(
    ("wanted", "lock", "text"),
    [
        (("my.toml", "app:1"), DEFAULT_PATH, "airgap update my.toml app:1"),
        (("my spec.toml",), Path("my.lock"), "airgap update 'my spec.toml' --lock my.lock"),
    ],
)
def test_messages_have_the_command_that_locks(
    wanted: tuple[str, ...], lock: Path, text: str
) -> None:
    assert update_command(wanted, lock).startswith(f"{text} (")


def test_a_deadline_is_utc_and_to_come() -> None:
    deadline = read_deadline(datetime(2999, 1, 1))
    assert deadline is not None
    assert deadline.isoformat() == "2999-01-01T00:00:00+00:00"
    assert read_deadline(None) is None
    with pytest.raises(UsageError, match="2001-01-01 is over"):
        read_deadline(datetime(2001, 1, 1))


def test_a_build_alone_is_something_to_ask_for(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    request = read_request((), "", (), all_platforms=False, no_roles=True, record=(str(tmp_path),))
    assert (request.images, len(request.recordings)) == ((), 1)
