"""Recordings in a store: whole, or what is missing of them is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.bundle.media import Media
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.verify import read_contents
from airgap.errors import IntegrityError, NotFoundError
from airgap.oci.digest import digest_of
from airgap.progress import Progress
from airgap.replay.recording_store import check_maps, check_recording, load_recording
from airgap.store import layout
from airgap.store.seed import missing_blobs, seed_replay
from airgap.store.store import Store
from tests.forge import ANSWERS, make_bundle, new_key, recorded

APP = recorded("app")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """All that the recording of a bundle needs."""
    make_bundle(tmp_path / "bundle", new_key(), images=[], recordings=[APP])
    store = Store(tmp_path / "replay")
    media = Media([tmp_path / "bundle"])
    with ReplayTar(media, read_contents(media)) as replay:
        assert len(missing_blobs(store, replay)) == len(APP.blobs)
        check_maps(replay)
        seed_replay(store, replay, Progress())
        assert missing_blobs(store, replay) == []
    return store


def test_a_recording_that_was_included_is_whole(store: Store) -> None:
    assert check_recording(store, APP.entry) == ""
    recording = load_recording(store, APP.entry)
    found = {one.url: b"".join(store.blob(one.digest)) for one in recording.responses.values()}
    assert found == ANSWERS
    assert digest_of(recording.to_bytes()) == APP.entry.digest


def test_a_missing_answer_is_named(store: Store) -> None:
    (store.root / layout.blob_data(digest_of(b"two"))).unlink()
    assert check_recording(store, APP.entry) == f"app lacks {digest_of(b'two')}"


def test_an_answer_of_another_size_is_named(store: Store) -> None:
    (store.root / layout.blob_data(digest_of(b"two"))).write_bytes(b"tw")
    assert check_recording(store, APP.entry) == f"app lacks {digest_of(b'two')}"


def test_a_missing_map_is_named(store: Store) -> None:
    (store.root / layout.blob_data(APP.entry.digest)).unlink()
    with pytest.raises(NotFoundError, match=f"replay lacks {APP.entry.digest}"):
        check_recording(store, APP.entry)


def test_a_damaged_map_is_named(store: Store) -> None:
    path = store.root / layout.blob_data(APP.entry.digest)
    path.write_bytes(path.read_bytes().replace(b"200", b"404", 1))
    with pytest.raises(IntegrityError, match=f"{path} is damaged"):
        check_recording(store, APP.entry)
