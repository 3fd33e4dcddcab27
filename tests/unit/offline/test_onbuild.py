from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.bundle.archive import Archive
from airgap.bundle.media import Media
from airgap.bundle.verify import read_signed
from airgap.canonical import canonical
from airgap.oci.digest import digest_of
from airgap.oci.manifest import OCI_MANIFEST
from airgap.oci.platform import parse_platform
from airgap.oci.reference import parse_reference
from airgap.offline.inputs import BuildInputs
from airgap.offline.onbuild import triggers
from airgap.progress import Progress
from airgap.store.bundle_set import BundleSet
from airgap.store.seed import seed
from airgap.store.store import Store
from tests.forge import (
    CONFIG_TYPE,
    Image,
    descriptor,
    image_of,
    indexed,
    make_bundle,
    new_key,
)

_NAME = "docker.io/library/base:latest"
_PLATFORM = parse_platform("linux/amd64")
_TRIGGERS = ["COPY . /app", "RUN make"]


def with_config(config: object) -> Image:
    body = canonical(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}
        | ({} if config is None else {"config": config})
    )
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(CONFIG_TYPE, body),
        "layers": [],
    }
    blobs = {digest_of(body): body}
    fields = {"platforms": ["linux/amd64"], "roles": ["base"]}
    return image_of(_NAME, OCI_MANIFEST, canonical(document), {}, blobs, **fields)


@pytest.fixture
def stocked(tmp_path: Path) -> Callable[[Image], BuildInputs]:
    def run(image: Image) -> BuildInputs:
        key, store = new_key(), Store(tmp_path / "mirror")
        make_bundle(tmp_path / "bundle", key, images=[image])
        media = Media([tmp_path / "bundle"])
        with Archive(media, read_signed(media, [key.public]).contents) as archive:
            seed(store, archive, Progress())
        wanted = BundleSet({image.entry.name: image.entry}, {}, None, {})
        return BuildInputs(wanted, store, Store(tmp_path / "replay"))

    return run


def test_what_an_image_has_derived_builds_do(stocked: Callable[[Image], BuildInputs]) -> None:
    stock = stocked(with_config({"OnBuild": _TRIGGERS}))
    assert triggers(stock, parse_reference("base"), _PLATFORM) == _TRIGGERS


@pytest.mark.parametrize("config", [None, {}, {"OnBuild": None}, {"OnBuild": []}, [], "text"])
def test_most_images_have_nothing(config: object, stocked: Callable[[Image], BuildInputs]) -> None:
    assert list(triggers(stocked(with_config(config)), parse_reference("base"), _PLATFORM)) == []


def test_an_image_that_is_not_here_is_not_asked(stocked: Callable[[Image], BuildInputs]) -> None:
    stock = stocked(indexed(_NAME))
    assert triggers(stock, parse_reference("other"), _PLATFORM) == ()
    assert triggers(stock, parse_reference("base"), parse_platform("linux/s390x")) == ()
    assert list(triggers(stock, parse_reference("base"), _PLATFORM)) == []
