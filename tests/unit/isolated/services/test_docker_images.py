"""Names in Docker: what somebody has given one of ours to since is theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from airgap.builder.engine import Engine
from airgap.isolated.context import Context
from airgap.isolated.services import docker_images
from airgap.isolated.state.settings import HostSettings
from tests.forge import single
from tests.unit.isolated.services.test_site_registry import work_with

NAME = "demo/app:1"
THEIRS = "sha256:" + "7" * 64
IMAGE = single("docker.io/demo/app:1")
OURS = IMAGE.entry.digest


class Names:
    """What Docker knows of names: no Docker can be asked in a test without a network.

    Args:
        known: Name to id.
    """

    def __init__(self, known: dict[str, str]) -> None:
        self.known = known
        self.nameless: set[str] = set()

    def image_id(self, name: str) -> str:
        return self.known.get(name, name if name in self.known.values() else "")

    def is_nameless(self, id: str) -> bool:
        return id in self.nameless

    def remove_image(self, name: str) -> None:
        self.known.pop(name, None)
        self.nameless.discard(name)

    def tag_image(self, name: str, other: str) -> None:
        self.known[other] = self.known[name]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    context = work_with(tmp_path, IMAGE, settings=HostSettings())
    store = context.state.mirror
    for digest, data in {**IMAGE.bodies, **IMAGE.blobs}.items():
        store.write_blob(digest, [data])
    return context


def test_a_name_of_somebodys_comes_back_with_its_image(context: Context) -> None:
    docker = Names({NAME: THEIRS})
    context = replace(context, engine=cast("Engine", docker))
    docker_images.record_loaded(context, IMAGE.entry)
    docker.known[NAME] = OURS  # docker load
    docker_images.unload(context, NAME)
    assert docker.known == {NAME: THEIRS}
    assert docker_images.names(context) == []


@pytest.mark.parametrize("kept", [False, True])
def test_what_somebody_gave_the_name_to_since_is_theirs(context: Context, kept: bool) -> None:
    docker = Names({NAME: THEIRS} if kept else {})
    context = replace(context, engine=cast("Engine", docker))
    docker_images.record_loaded(context, IMAGE.entry)
    docker.known[NAME] = "sha256:" + "8" * 64
    docker_images.unload_all(context)
    assert docker.known[NAME] == "sha256:" + "8" * 64
    assert docker_images.names(context) == []


def test_an_image_that_is_named_by_its_digest_leaves_the_tag_to_others(context: Context) -> None:
    pin = replace(IMAGE.entry, name=f"docker.io/demo/app:1@{OURS}")
    docker = Names({NAME: THEIRS})
    context = replace(context, engine=cast("Engine", docker))
    docker_images.record_loaded(context, pin)
    docker.nameless.add(OURS)  # docker load, into the classic store
    assert docker_images.names(context) == [pin.reference.familiar]
    docker_images.unload_all(context)
    assert docker.known == {NAME: THEIRS}
    assert docker.nameless == set()
    assert context.changes.of("load") == []
