"""Pruning: what is kept stays whole, what goes is never seen by halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from airgap.bundle.contents import ImageEntry
from airgap.errors import IntegrityError, NotFoundError
from airgap.progress import Progress
from airgap.store import layout
from airgap.store.check import check_image
from airgap.store.prune import Garbage, find_garbage, prune
from airgap.store.store import Store
from tests.forge import Image, indexed, single
from tests.unit.store.conftest import Seed
from tests.unit.store.test_seed import Killed, check_whole, dies_at
from tests.unit.store.watch import watching

OLD = indexed("docker.io/library/a:1", texts=["old", "shared"])
NEW = indexed("docker.io/library/a:1", texts=["new", "shared"])
OTHER = single("ghcr.io/tags/current:revisions", texts=["other"])

Keep = Callable[[Sequence[Image]], None]


@pytest.fixture
def keep(store: Store) -> Keep:
    """Prunes all but some images."""
    return lambda images: prune(store, find_garbage(store, entries(images)), Progress())


def entries(images: Sequence[Image]) -> list[ImageEntry]:
    return [image.entry for image in images]


def digests(image: Image) -> set[str]:
    return {*image.bodies, *image.blobs}


def held(store: Store) -> set[str]:
    return {f"sha256:{path.parent.name}" for path in store.root.rglob("data")}


def files(store: Store) -> list[Path]:
    return sorted(path for path in store.root.rglob("*") if path.is_file())


def test_nothing_goes_of_what_is_kept(store: Store, seed_images: Seed, keep: Keep) -> None:
    seed_images([NEW, OTHER])
    before = files(store)
    keep([NEW, OTHER])
    assert files(store) == before


def test_what_a_newer_version_does_not_need_goes(
    store: Store, seed_images: Seed, keep: Keep
) -> None:
    seed_images([OLD])
    seed_images([NEW, OTHER])
    keep([NEW, OTHER])
    assert held(store) == digests(NEW) | digests(OTHER)
    assert check_image(store, NEW.entry) == ""
    text = {path.read_text() for path in store.root.rglob("link")}
    assert text == digests(NEW) | digests(OTHER)


def test_versions_of_one_name_can_be_kept_side_by_side(
    store: Store, seed_images: Seed, keep: Keep
) -> None:
    seed_images([OLD])
    seed_images([NEW])
    before = files(store)
    keep([OLD, NEW])
    assert files(store) == before
    assert check_image(store, NEW.entry) == ""


def test_a_tag_that_means_something_else_than_what_is_kept_goes(
    store: Store, seed_images: Seed, keep: Keep
) -> None:
    seed_images([OLD])
    seed_images([NEW])
    keep([OLD])
    assert held(store) == digests(OLD)
    assert check_whole(store.root) == 0


def test_of_an_empty_store_no_folder_is_left(store: Store, seed_images: Seed, keep: Keep) -> None:
    seed_images([NEW, OTHER])
    keep([])
    assert list(store.root.iterdir()) == []
    assert not store.has_content()
    keep([])


def test_what_is_freed_is_told_before(store: Store, seed_images: Seed) -> None:
    seed_images([OLD])
    seed_images([NEW])
    found = find_garbage(store, entries([NEW]))
    gone = digests(OLD) - digests(NEW)
    assert found.size == sum(len({**OLD.bodies, **OLD.blobs}[digest]) for digest in gone)
    assert held(store) == digests(OLD) | digests(NEW)


def test_blobs_of_an_install_that_did_not_end_can_be_kept(store: Store) -> None:
    blob = next(iter(NEW.blobs))
    store.write_blob(blob, [NEW.blobs[blob]])
    assert find_garbage(store, [], entries([NEW])).blobs == [store.root / layout.blob_data(blob)]
    assert find_garbage(store, [], entries([NEW]), [blob]).blobs == []


def test_of_an_install_that_did_not_end_tags_that_it_moved_are_kept(
    store: Store, seed_images: Seed
) -> None:
    seed_images([OLD])
    seed_images([NEW])
    assert find_garbage(store, entries([OLD]), entries([NEW, OTHER])) == Garbage([], [], 0)


@pytest.mark.parametrize(
    "name", ["ghcr.io/org/link:1", "ghcr.io/org/app:link", "docker.io/link/data:data"]
)
def test_a_repository_or_tag_may_be_called_as_a_file_of_the_storage(
    store: Store, seed_images: Seed, keep: Keep, name: str
) -> None:
    image = single(name)
    seed_images([image, OTHER])
    before = files(store)
    keep([image, OTHER])
    assert files(store) == before
    keep([OTHER])
    assert held(store) == digests(OTHER)


def test_with_a_damaged_manifest_nothing_goes(store: Store, seed_images: Seed) -> None:
    seed_images([OLD])
    seed_images([NEW])
    (store.root / layout.blob_data(NEW.entry.digest)).write_bytes(b"{}")
    with pytest.raises(IntegrityError, match="is damaged"):
        find_garbage(store, entries([NEW]))


def test_with_a_missing_manifest_nothing_goes(store: Store, seed_images: Seed) -> None:
    seed_images([NEW])
    (store.root / layout.blob_data(NEW.entry.digest)).unlink()
    with pytest.raises(NotFoundError, match="lacks sha256:") as caught:
        find_garbage(store, entries([NEW]))
    assert "airgap install DIR --repair" in caught.value.remedy


def test_killed_at_any_step_it_shows_no_half_image_and_continues(
    store: Store, seed_images: Seed, keep: Keep
) -> None:
    for step in range(0, 1000, 3):
        seed_images([OLD])
        seed_images([NEW, OTHER])
        try:
            with watching(dies_at(step)):
                keep([OTHER])
        except Killed:
            assert check_whole(store.root) in (1, 2, 3)
            keep([OTHER])
            assert held(store) == digests(OTHER)
        else:
            break
    assert step > 50  # so many changes it takes; else the watcher saw nothing
