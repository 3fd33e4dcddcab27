"""What must hold before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import UsageError
from airgap.isolated.commands.install import InstallOptions, install
from airgap.isolated.host.user import User
from airgap.isolated.state.layout import State
from airgap.progress import Progress
from tests import forge


def test_a_folder_that_docker_cannot_bind_is_refused(tmp_path: Path) -> None:
    key = forge.new_key()
    forge.make_bundle(tmp_path / "bundle", key)
    order = InstallOptions([tmp_path / "bundle"], [key.public], only=("load",))
    state = State(tmp_path / "a:b")
    with pytest.raises(UsageError, match="has a colon"):
        install(state, order, User.behind_this_process(), Progress(), lambda outcome: None)
    assert not (state.root / "receipts").exists()
