"""The storage folder: what is visible is whole."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.bundle.contents import ImageEntry
from airgap.errors import IntegrityError, NotFoundError
from airgap.limits import MIB
from airgap.oci.digest import digest_of
from airgap.oci.manifest import OCI_MANIFEST
from airgap.store import layout
from airgap.store.check import check_image
from airgap.store.store import Store
from airgap.store.tags import tags_of
from tests.forge import indexed, single
from tests.unit.store.conftest import Seed

DATA = b"some bytes"
DIGEST = digest_of(DATA)
NAME = "docker.io/library/alpine:3"


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if not path.is_dir()]


def test_a_new_store_has_no_content(store: Store) -> None:
    assert not store.has_content()
    assert not store.has_blob(DIGEST, len(DATA))


def test_a_blob_is_there_once_it_was_written(store: Store) -> None:
    store.write_blob(DIGEST, [DATA[:4], memoryview(DATA)[4:]])
    assert store.has_content()
    assert store.has_blob(DIGEST, len(DATA))
    assert not store.has_blob(DIGEST, len(DATA) + 1)
    assert store.blob_size(DIGEST) == len(DATA)
    assert b"".join(store.blob(DIGEST)) == DATA
    (path,) = files(store.root)
    assert path == store.root / layout.blob_data(DIGEST)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_an_empty_blob_is_a_blob(store: Store) -> None:
    store.write_blob(digest_of(b""), [])
    assert list(store.blob(digest_of(b""))) == []
    assert store.has_blob(digest_of(b""), 0)


def test_a_blob_can_be_written_before_its_digest_is_known(store: Store) -> None:
    with store.new_blob() as blob:
        blob.write(DATA[:4])
        with blob.reader() as file:
            assert file.read() == DATA[:4]
            blob.write(DATA[4:])
            assert not store.has_blob(DIGEST, len(DATA))
            assert blob.publish() == (DIGEST, len(DATA))
            assert file.read() == DATA[4:]
    assert store.has_blob(DIGEST, len(DATA))
    assert len(files(store.root)) == 1


def test_what_a_killed_run_left_of_new_blobs_can_be_removed(store: Store) -> None:
    store.drop_new_blobs()
    store.write_blob(DIGEST, [DATA])
    with store.new_blob() as blob:
        blob.write(DATA)
        assert len(files(store.root)) == 2
        store.drop_new_blobs()
        assert files(store.root) == [store.root / layout.blob_data(DIGEST)]


def test_the_same_new_blob_twice_is_there_once(store: Store) -> None:
    for _ in range(2):
        with store.new_blob() as blob:
            blob.write(DATA)
            assert blob.publish() == (DIGEST, len(DATA))
    assert files(store.root) == [store.root / layout.blob_data(DIGEST)]


def test_what_is_not_published_leaves_nothing(store: Store) -> None:
    with pytest.raises(ValueError, match="x"), store.new_blob() as blob:
        blob.write(DATA)
        raise ValueError("x")
    assert files(store.root) == []


def test_a_blob_with_other_bytes_is_never_seen(store: Store) -> None:
    path = store.root / layout.blob_data(DIGEST)

    def chunks() -> Iterator[bytes]:
        yield DATA
        assert not path.exists()
        yield b"!"
        assert not path.exists()

    with pytest.raises(IntegrityError, match=f"the bytes for {DIGEST} are others"):
        store.write_blob(DIGEST, chunks())
    assert files(store.root) == []


def test_a_blob_whose_source_fails_leaves_nothing(store: Store) -> None:
    def chunks() -> Iterator[bytes]:
        yield DATA
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write_blob(DIGEST, chunks())
    assert files(store.root) == []


def test_what_a_killed_run_left_of_a_blob_is_removed(store: Store) -> None:
    path = store.root / layout.blob_data(DIGEST)
    path.parent.mkdir(parents=True)
    path.with_name(".data.0123456789abcdef").write_bytes(b"half of it")
    store.write_blob(DIGEST, [DATA])
    assert files(store.root) == [path]


def test_a_truncated_blob_is_replaced(store: Store) -> None:
    store.write_blob(DIGEST, [DATA])
    os.truncate(store.root / layout.blob_data(DIGEST), 3)
    assert not store.has_blob(DIGEST, len(DATA))
    store.write_blob(DIGEST, [DATA])
    assert store.has_blob(DIGEST, len(DATA))


def test_a_missing_blob_is_told(store: Store) -> None:
    with pytest.raises(NotFoundError, match=f"lacks {DIGEST}"):
        list(store.blob(DIGEST))
    with pytest.raises(NotFoundError, match=f"lacks {DIGEST}"):
        store.blob_size(DIGEST)
    with pytest.raises(NotFoundError, match=f"lacks {DIGEST}"):
        store.small_blob(DIGEST, 100)


def test_the_last_piece_of_a_damaged_blob_is_never_given(store: Store) -> None:
    data = bytes(2 * MIB + 5)
    digest = digest_of(data)
    store.write_blob(digest, [data])
    path = store.root / layout.blob_data(digest)
    with path.open("r+b") as file:
        file.write(b"x")
    given = 0
    with pytest.raises(IntegrityError, match=f"{path} is damaged"):
        for chunk in store.blob(digest):
            given += len(chunk)
    assert given == 2 * MIB


def test_a_small_blob_is_given_whole_or_not_at_all(store: Store) -> None:
    store.write_blob(DIGEST, [DATA])
    assert store.small_blob(DIGEST, len(DATA)) == DATA
    with pytest.raises(IntegrityError, match="is larger than 9 bytes"):
        store.small_blob(DIGEST, len(DATA) - 1)
    (store.root / layout.blob_data(DIGEST)).write_bytes(DATA[::-1])
    with pytest.raises(IntegrityError, match="damaged"):
        store.small_blob(DIGEST, len(DATA))


def test_an_image_whose_blob_is_missing_is_not_linked(store: Store) -> None:
    image = single(NAME)
    for digest, data in image.bodies.items():
        store.write_blob(digest, [data])
    with pytest.raises(NotFoundError):
        store.link_image(image.entry, image.documents)
    assert not list(store.root.rglob("link"))


def test_a_tag_means_its_image(store: Store, seed_images: Seed) -> None:
    image = single(NAME)
    assert not store.is_tagged(image.entry)
    seed_images([image])
    assert store.is_tagged(image.entry)
    assert not store.is_tagged(single(NAME, texts=["other"]).entry)


def test_a_tag_in_one_of_two_repositories_is_half_a_tag(store: Store, seed_images: Seed) -> None:
    image = single(NAME)
    seed_images([image])
    (store.root / layout.tag_link("library/alpine", "3")).unlink()
    assert not store.is_tagged(image.entry)
    store.set_tags(tags_of([image.entry]))
    assert store.is_tagged(image.entry)


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"sha256:" + b"0" * 64])
def test_a_damaged_link_is_no_link_and_is_written_again(
    store: Store, seed_images: Seed, garbage: bytes
) -> None:
    image = single(NAME)
    seed_images([image])
    path = store.root / layout.tag_link("library/alpine", "3")
    path.write_bytes(garbage)
    assert not store.is_tagged(image.entry)
    seed_images([image])
    assert path.read_bytes() == image.entry.digest.encode()


def test_documents_are_those_that_are_linked(store: Store, seed_images: Seed) -> None:
    image = indexed(NAME, ["linux/amd64", "linux/arm64"], omitted=["linux/s390x"])
    seed_images([image])
    assert store.manifests(image.entry) == image.documents


def test_a_child_that_another_install_left_alone_is_not_the_images(
    store: Store, seed_images: Seed
) -> None:
    both = indexed(NAME, ["linux/amd64", "linux/arm64"])
    one = indexed(NAME, ["linux/amd64"], omitted=["linux/arm64"])
    assert one.entry.digest == both.entry.digest
    for digest, body in both.bodies.items():  # and then it was killed
        store.write_blob(digest, [body])
    seed_images([one])
    assert store.manifests(one.entry) == one.documents
    assert check_image(store, one.entry) == ""
    seed_images([both])
    assert store.manifests(both.entry) == both.documents


def test_documents_without_a_store_are_not_found(store: Store) -> None:
    entry = ImageEntry(NAME, DIGEST, OCI_MANIFEST, ())
    with pytest.raises(NotFoundError):
        store.manifests(entry)


def test_the_check_finds_what_is_missing(store: Store, seed_images: Seed) -> None:
    image = indexed(NAME)
    assert check_image(store, image.entry) == "alpine:3 is not in the mirror"
    seed_images([image])
    assert check_image(store, image.entry) == ""
    layer = list(image.blobs)[-1]
    (store.root / layout.blob_data(layer)).unlink()
    assert check_image(store, image.entry) == f"alpine:3 lacks {layer}"
    child = list(image.bodies)[1]
    (store.root / layout.revision_link("docker.io/library/alpine", child)).unlink()
    assert check_image(store, image.entry) == "alpine:3 lacks linux/amd64"


def test_every_visible_blob_is_what_its_name_says(store: Store, seed_images: Seed) -> None:
    seed_images([indexed(NAME), single("ghcr.io/org/app:1", size=5000)])
    blobs = list(store.root.rglob("data"))
    assert blobs
    for path in blobs:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name
