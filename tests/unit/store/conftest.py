"""A bundle to seed from, and a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from airgap.bundle.archive import Archive
from airgap.bundle.media import Media
from airgap.bundle.verify import read_signed
from airgap.progress import Progress
from airgap.store.seed import seed
from airgap.store.store import Store
from airgap.trust.keys import PrivateKey
from tests.forge import Image, make_bundle, new_key

Seed = Callable[[Sequence[Image]], None]


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    return new_key()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "mirror")


@pytest.fixture
def seed_images(tmp_path: Path, store: Store, key: PrivateKey) -> Seed:
    """Makes a bundle of images and seeds the store from it."""

    def run(images: Sequence[Image]) -> None:
        folder = tmp_path / "bundle"
        make_bundle(folder, key, images=images)
        media = Media([folder])
        with Archive(media, read_signed(media, [key.public]).contents) as archive:
            seed(store, archive, Progress())

    return run
