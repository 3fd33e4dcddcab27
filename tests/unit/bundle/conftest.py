"""A signed bundle, and its checks as `verify` and `install` do them."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.trust.keys import PrivateKey
from tests.forge import make_bundle, new_key


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    return new_key()


@pytest.fixture
def bundle(tmp_path: Path, key: PrivateKey) -> Path:
    """A valid bundle of `small_images()`."""
    folder = tmp_path / "bundle"
    make_bundle(folder, key)
    return folder
