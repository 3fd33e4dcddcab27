"""Seeding: killed, cut off from power or out of room at any step, it never shows half an image."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from airgap.bundle.archive import Archive
from airgap.bundle.media import Media
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.verify import read_contents
from airgap.errors import HostError, IntegrityError, SpaceError
from airgap.oci.digest import hex_of
from airgap.oci.manifest import Manifest
from airgap.progress import Progress
from airgap.store import layout
from airgap.store.check import check_image
from airgap.store.seed import missing_blobs, seed, seed_documents, seed_replay
from airgap.store.store import Store
from airgap.trust.keys import PrivateKey
from tests.forge import (
    Image,
    forge,
    image_of,
    indexed,
    make_bundle,
    recorded,
    single,
    small_images,
)
from tests.unit.store.conftest import Seed
from tests.unit.store.watch import watching

REPOSITORIES = Path("docker/registry/v2/repositories")
TAGS = "_manifests/tags"


class Killed(BaseException):
    """The process ended here: nothing catches this."""


def dies_at(step: int, error: Callable[[], BaseException] = Killed) -> Callable[..., None]:
    """A watcher that lets `step` changes happen and none after them."""
    left = step

    def watcher(_event: str, _arguments: tuple[Any, ...]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise error()

    return watcher


def open_bundle(folder: Path) -> Archive:
    media = Media([folder])
    return Archive(media, read_contents(media))


def run(folder: Path, store: Store) -> None:
    with open_bundle(folder) as archive:
        seed(store, archive, Progress())


def check_whole(root: Path) -> int:
    """Every visible blob is whole, and every visible tag has all that it needs; counts tags."""
    for path in root.rglob("data"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name
    tags = list(root.rglob("current/link"))
    for tag in tags:
        repository = tag.parent.parent.parent.parent.parent
        check_reachable(root, repository, tag.read_text(), top=True)
    return len(tags)


def check_reachable(root: Path, repository: Path, digest: str, *, top: bool) -> None:
    link = repository / "_manifests/revisions/sha256" / hex_of(digest) / "link"
    if not top and not link.exists():
        return  # a platform that is not carried
    assert link.read_text() == digest
    document = json.loads((root / layout.blob_data(digest)).read_bytes())
    for child in document.get("manifests", []):
        check_reachable(root, repository, child["digest"], top=False)
    for blob in [document["config"], *document["layers"]] if "config" in document else []:
        assert (root / layout.blob_data(blob["digest"])).stat().st_size == blob["size"]
        layer = repository / "_layers/sha256" / hex_of(blob["digest"]) / "link"
        assert layer.read_text() == blob["digest"]


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder where syncing takes no time."""
    with TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture
def bundle(tmp_path: Path, key: PrivateKey) -> Path:
    """One image for one platform, of Docker Hub, so that it is linked twice."""
    image = indexed("docker.io/library/a:1", ["linux/amd64"], omitted=["linux/arm64"])
    make_bundle(tmp_path / "small", key, images=[image])
    return tmp_path / "small"


def test_killed_at_any_step_it_shows_no_half_image_and_continues(
    bundle: Path, memory: Path
) -> None:
    step, tags = 0, []
    while True:
        store = Store(memory / f"mirror-{step}")
        try:
            with watching(dies_at(step)):
                run(bundle, store)
        except Killed:
            tags.append(check_whole(store.root))
            run(bundle, store)
            assert check_whole(store.root) == 2
            assert not list(store.root.rglob(".data.*"))
            step += 2
        else:
            break
    assert 0 in tags  # how many there are later is chance: they are published side by side
    assert step > 50  # so many changes it takes; else the watcher saw nothing


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_at_any_step_is_told(bundle: Path, tmp_path: Path, number: int) -> None:
    for step in range(0, 40, 3):
        store = Store(tmp_path / f"mirror-{step}")
        with (
            watching(dies_at(step, lambda: OSError(number, os.strerror(number)))),
            pytest.raises(SpaceError, match=r"the disk of .* is full"),
        ):
            run(bundle, store)
        assert check_whole(store.root) == 0


def test_a_store_that_cannot_be_written_is_told(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mirror").write_text("a file")
    with pytest.raises(HostError, match=r"cannot write to .*mirror"):
        run(bundle, Store(tmp_path / "mirror"))


_ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from tests.unit.store.test_seed import check_whole, run
from airgap.errors import SpaceError
from airgap.store.store import Store
store = Store(Path(sys.argv[2]))
try:
    run(Path(sys.argv[1]), store)
except SpaceError as error:
    print(check_whole(store.root), error.message)
"""


def test_a_disk_that_is_really_full_is_told(tmp_path: Path, key: PrivateKey) -> None:
    make_bundle(tmp_path / "large", key, images=[single("ghcr.io/a/b:1", size=200_000)])
    disk = tmp_path / "disk"
    disk.mkdir()
    inside = ["unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=128k none {disk}"
    if subprocess.run([*inside, mount], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount anything")
    program = f'{mount} && exec "$@"'
    command = [sys.executable, "-c", _ON_A_SMALL_DISK, str(tmp_path / "large"), str(disk)]
    done = subprocess.run(
        [*inside, program, "sh", *command], check=True, capture_output=True, text=True
    )
    assert done.stdout == f"0 the disk of {disk} is full\n"


def test_nothing_is_tagged_that_a_power_cut_could_take_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: PrivateKey
) -> None:
    """Whatever a tag needs was synced before its rename: bytes, and names in every folder."""
    make_bundle(tmp_path / "bundle", key)
    root = tmp_path / "mirror"
    lasting_names: set[Path] = set()
    lasting_bytes: set[int] = set()
    real_fsync = os.fsync
    tagged: list[Path] = []

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            lasting_names.update(path.iterdir())
        else:
            lasting_bytes.add(path.stat().st_ino)

    def watcher(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and Path(arguments[1]).match("current/link"):
            tagged.append(Path(arguments[1]))
            links = [path for path in root.rglob("link") if not path.match("current/link")]
            before = [*root.rglob("data"), *links]
            assert {path.stat().st_ino for path in before} <= lasting_bytes
            for path in {*before, *(above for one in before for above in one.parents)}:
                assert path in lasting_names or not path.is_relative_to(root) or path == root

    monkeypatch.setattr(os, "fsync", fsync)
    with watching(watcher):
        run(tmp_path / "bundle", Store(root))
    assert len(tagged) == 3
    assert set(tagged) <= lasting_names


def snapshot(root: Path) -> dict[Path, tuple[int, int]]:
    stats = {path: path.stat() for path in root.rglob("*")}
    return {path: (one.st_ino, one.st_mtime_ns) for path, one in stats.items()}


def test_a_second_seed_writes_nothing(tmp_path: Path, store: Store, key: PrivateKey) -> None:
    make_bundle(tmp_path / "bundle", key)
    run(tmp_path / "bundle", store)
    before = snapshot(store.root)
    changes: list[str] = []
    with watching(lambda event, _arguments: changes.append(event)):
        run(tmp_path / "bundle", store)
    assert changes == []
    assert snapshot(store.root) == before


def test_only_what_is_missing_is_read(tmp_path: Path, store: Store, key: PrivateKey) -> None:
    make_bundle(tmp_path / "bundle", key)
    with open_bundle(tmp_path / "bundle") as archive:
        assert missing_blobs(store, archive) == list(archive.contents.blobs)
        seed(store, archive, Progress())
        assert missing_blobs(store, archive) == []
        first = archive.contents.blobs[0]
        (store.root / layout.blob_data(first.digest)).unlink()
        assert missing_blobs(store, archive) == [first]


def test_images_of_docker_hub_are_there_with_and_without_its_name(
    store: Store, seed_images: Seed
) -> None:
    seed_images([single("docker.io/library/alpine:3")])
    links = {str(path.relative_to(store.root / REPOSITORIES)) for path in store.root.rglob("link")}
    assert links == {
        f"{prefix}library/alpine/{rest}"
        for prefix in ("", "docker.io/")
        for rest in {
            link.removeprefix("library/alpine/") for link in links if link.startswith("library/")
        }
    }
    assert (store.root / layout.tag_link("library/alpine", "3")).exists()


def test_other_images_are_there_once(store: Store, seed_images: Seed) -> None:
    seed_images([single("ghcr.io/org/app:1")])
    assert [path.name for path in (store.root / REPOSITORIES).iterdir()] == ["ghcr.io"]


def test_an_image_named_by_digest_alone_gets_no_tag(store: Store, seed_images: Seed) -> None:
    image = single("ghcr.io/org/app:1")
    named = renamed(image, f"ghcr.io/org/app@{image.entry.digest}")
    seed_images([named])
    assert store.is_tagged(named.entry)
    assert not list(store.root.rglob("tags"))
    assert store.manifests(named.entry) == image.documents


def test_an_image_named_by_tag_and_digest_sets_no_tag(store: Store, seed_images: Seed) -> None:
    image = single("ghcr.io/org/app:1")
    pinned = renamed(image, f"ghcr.io/org/app:1@{image.entry.digest}")
    seed_images([pinned])
    assert store.tag("ghcr.io/org/app:1") == ""
    assert store.is_linked(image.entry)
    assert check_image(store, pinned.entry) == ""


def renamed(image: Image, name: str) -> Image:
    entry = image.entry
    top = image.bodies[entry.digest]
    return image_of(name, entry.media_type, top, {}, image.blobs, platforms=entry.platforms)


def test_a_moved_tag_leaves_the_old_image_readable_by_digest(
    store: Store, seed_images: Seed
) -> None:
    old, new = (single("ghcr.io/org/app:1", texts=[text]) for text in ("old", "new"))
    seed_images([old])
    seed_images([new])
    assert store.is_tagged(new.entry)
    assert store.manifests(old.entry) == old.documents
    tags = store.root / REPOSITORIES / "ghcr.io/org/app" / TAGS
    assert len(list((tags / "1/index/sha256").iterdir())) == 2


def test_two_names_of_one_image_share_its_blobs(store: Store, seed_images: Seed) -> None:
    images = [indexed(f"ghcr.io/org/app:{tag}") for tag in "12"]
    seed_images(images)
    assert all(store.is_tagged(image.entry) for image in images)
    assert len(list(store.root.rglob("data"))) == len({*images[0].bodies, *images[0].blobs})


def test_a_damaged_blob_changes_no_tag(tmp_path: Path, store: Store, key: PrivateKey) -> None:
    old, new = (
        [indexed("docker.io/library/a:1", texts=[text]), single("ghcr.io/a/b:1", texts=[text])]
        for text in ("old", "new")
    )
    make_bundle(tmp_path / "bundle", key, images=old)
    run(tmp_path / "bundle", store)
    contents = make_bundle(tmp_path / "bundle", key, images=new)
    last = contents.blobs[-1]
    forge(
        tmp_path / "bundle",
        key,
        tar=lambda data: data[: last.offset] + b"?" + data[last.offset + 1 :],
    )
    with pytest.raises(IntegrityError, match=last.digest):
        run(tmp_path / "bundle", store)
    assert all(store.is_tagged(image.entry) for image in old)
    check_whole(store.root)


def test_what_a_registry_serves_is_what_was_carried(
    tmp_path: Path, store: Store, key: PrivateKey
) -> None:
    images = small_images()
    make_bundle(tmp_path / "bundle", key, images=images)
    run(tmp_path / "bundle", store)
    for image in images:
        for digest, data in {**image.bodies, **image.blobs}.items():
            assert (store.root / layout.blob_data(digest)).read_bytes() == data
    assert check_whole(store.root) == 3


def run_replay(folder: Path, store: Store) -> None:
    media = Media([folder])
    with ReplayTar(media, read_contents(media)) as replay:
        seed_replay(store, replay, Progress())


def test_recordings_are_included_whole_wherever_it_is_killed(
    tmp_path: Path, memory: Path, key: PrivateKey
) -> None:
    make_bundle(tmp_path / "bundle", key, images=[], recordings=[recorded()])
    step, ended = 0, False
    while not ended:
        store = Store(memory / f"replay-{step}")
        try:
            with watching(dies_at(step)):
                run_replay(tmp_path / "bundle", store)
            ended = True
        except Killed:
            check_whole(store.root)
            run_replay(tmp_path / "bundle", store)
            assert not list(store.root.rglob(".data.*"))
        found = {path.read_bytes() for path in store.root.rglob("data")}
        assert found == set(recorded().blobs.values())
        step += 2
    assert step > 20  # so many changes it takes; else the watcher saw nothing
    before = snapshot(store.root)
    changes: list[str] = []
    with watching(lambda event, _arguments: changes.append(event)):
        run_replay(tmp_path / "bundle", store)
    assert changes == []
    assert snapshot(store.root) == before


def test_recordings_that_were_included_last_through_a_power_cut(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, key: PrivateKey
) -> None:
    make_bundle(tmp_path / "bundle", key, images=[], recordings=[recorded()])
    lasting: set[Path] = set()
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        lasting.update(path.iterdir() if path.is_dir() else ())

    monkeypatch.setattr(os, "fsync", fsync)
    run_replay(tmp_path / "bundle", store)
    assert set(store.root.rglob("*")) <= lasting


def test_a_disk_that_is_full_of_recordings_is_told(
    tmp_path: Path, store: Store, key: PrivateKey
) -> None:
    make_bundle(tmp_path / "bundle", key, images=[], recordings=[recorded()])
    number = errno.ENOSPC
    with (
        watching(dies_at(5, lambda: OSError(number, os.strerror(number)))),
        pytest.raises(SpaceError, match=r"the disk of .* is full"),
    ):
        run_replay(tmp_path / "bundle", store)


def test_manifests_and_configs_alone_are_included_of_what_is_elsewhere(
    tmp_path: Path, store: Store, key: PrivateKey
) -> None:
    image = indexed("ghcr.io/org/app:1", omitted=["linux/s390x"])
    make_bundle(tmp_path / "bundle", key, images=[image])
    with open_bundle(tmp_path / "bundle") as archive:
        seed_documents(store, archive, [image.entry])
        assert check_image(store, image.entry, whole=False) == ""
        assert "is not in the mirror" in check_image(store, image.entry)
        configs = [
            document.config.digest
            for document in image.documents.values()
            if isinstance(document, Manifest)
        ]
        kept = {path.parent.name for path in store.root.rglob("data")}
        assert kept == {hex_of(digest) for digest in (*image.bodies, *configs)}
        assert store.manifests(image.entry) == image.documents
        seed(store, archive, Progress())
        assert check_image(store, image.entry) == ""


def test_what_is_missing_of_manifests_and_configs_is_told(
    tmp_path: Path, store: Store, key: PrivateKey
) -> None:
    image = indexed("ghcr.io/org/app:1")
    make_bundle(tmp_path / "bundle", key, images=[image])
    with open_bundle(tmp_path / "bundle") as archive:
        seed_documents(store, archive, [image.entry])
    manifest = next(one for one in image.documents.values() if isinstance(one, Manifest))
    (store.root / layout.blob_data(manifest.config.digest)).unlink()
    assert check_image(store, image.entry, whole=False).endswith(manifest.config.digest)
    child = [*image.documents][1]
    repository = layout.mirror_repositories(image.entry.reference)[0]
    (store.root / layout.revision_link(repository, child)).unlink()
    assert check_image(store, image.entry, whole=False).endswith("lacks linux/amd64")
