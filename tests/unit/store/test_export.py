"""An image of the store as a tar."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from airgap.errors import IntegrityError, NotFoundError
from airgap.oci.digest import digest_of
from airgap.store import layout
from airgap.store.export import export
from airgap.store.store import Store
from tests.forge import Image, indexed, single
from tests.unit.store.conftest import Seed

NAME = "docker.io/library/alpine:3"


@pytest.fixture
def image(seed_images: Seed) -> Image:
    found = indexed(NAME, ["linux/amd64", "linux/arm64"], omitted=["linux/s390x"], size=2000)
    seed_images([found, single("ghcr.io/org/app:1")])
    return found


def test_the_tar_has_the_image_and_nothing_else(store: Store, image: Image, tmp_path: Path) -> None:
    tar = b"".join(export(store, image.entry, ["linux/arm64"]))
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        data = {name: file.read() for name, file in files.items() if file}
    blobs = {digest_of(body) for name, body in data.items() if name.startswith("blobs/")}
    assert blobs == {*image.bodies, *image.blobs}
    index = json.loads(data["index.json"])
    assert [entry["digest"] for entry in index["manifests"]] == [image.entry.digest]
    (classic,) = json.loads(data["manifest.json"])
    assert classic["RepoTags"] == ["alpine:3"]
    config = json.loads(data[classic["Config"]])
    assert config["architecture"] == "arm64"
    (tmp_path / "image.tar").write_bytes(tar)
    listed = subprocess.check_output(["tar", "-tf", tmp_path / "image.tar"], text=True)
    assert listed.splitlines() == list(data)


def test_a_missing_platform_is_told_before_anything_is_given(store: Store, image: Image) -> None:
    child = list(image.bodies)[2]
    (store.root / layout.revision_link("docker.io/library/alpine", child)).unlink()
    with pytest.raises(NotFoundError, match=f"lacks {NAME} for linux/arm64"):
        next(export(store, image.entry, ["linux/amd64"]))


def test_a_missing_layer_is_told_before_anything_is_given(store: Store, image: Image) -> None:
    layer = list(image.blobs)[-1]
    (store.root / layout.blob_data(layer)).unlink()
    with pytest.raises(NotFoundError, match=f"lacks {layer}"):
        next(export(store, image.entry, ["linux/amd64"]))


def test_a_missing_image_is_told(store: Store) -> None:
    with pytest.raises(NotFoundError):
        next(export(store, single(NAME).entry, []))


def test_a_tar_with_a_damaged_layer_ends_before_the_layer_does(store: Store, image: Image) -> None:
    layer = list(image.blobs)[-1]
    path = store.root / layout.blob_data(layer)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    given = b""
    with pytest.raises(IntegrityError, match=f"{path} is damaged"):
        for chunk in export(store, image.entry, ["linux/amd64"]):
            given += chunk
    whole = b"".join([given])
    assert path.read_bytes() not in whole
    with pytest.raises(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(given)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            file.read()


def test_an_engine_is_given_no_tag_that_stands_beside_a_digest(
    store: Store, seed_images: Seed
) -> None:
    image = single(NAME)
    pinned = single(f"{NAME}@{image.entry.digest}")
    seed_images([pinned])
    with tarfile.open(fileobj=io.BytesIO(b"".join(export(store, pinned.entry, [])))) as archive:
        index, classic = (
            json.loads((archive.extractfile(name) or io.BytesIO()).read())
            for name in ("index.json", "manifest.json")
        )
    named = index["manifests"][0]["annotations"].values()
    assert set(named) == {f"docker.io/library/alpine@{image.entry.digest}"}
    assert classic[0]["RepoTags"] is None
