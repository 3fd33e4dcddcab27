"""Thousands of volumes need few open files; where even these are too many, it is said."""

from __future__ import annotations

import errno
import os
import random
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from airgap.bundle.archive import Archive
from airgap.bundle.media import Media
from airgap.bundle.open_files import MOST_OPEN, FewOpen
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.verify import read_signed, verify_all
from airgap.bundle.volumes import cut
from airgap.connected.tar_writer import TarWriter
from airgap.errors import ExitCode, HostError, cannot_read
from airgap.progress import Progress
from tests import forge


@contextmanager
def allowed(more: int) -> Iterator[None]:
    """So many more files may be open than are now."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + more, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(200):
        (tmp_path / str(number)).write_text(str(number))
    return tmp_path


def test_threads_read_what_they_asked_for_and_few_files_are_open(folder: Path) -> None:
    files = FewOpen(lambda number: os.open(folder / str(number), os.O_RDONLY))
    before = len(list(Path("/proc/self/fd").iterdir()))

    def read(seed: int) -> None:
        for number in random.Random(seed).choices(range(200), k=500):
            with files.use(number) as descriptor:
                assert os.pread(descriptor, 9, 0) == str(number).encode()

    with allowed(MOST_OPEN + 8), ThreadPoolExecutor(4) as threads:
        list(threads.map(read, range(4)))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + MOST_OPEN
    files.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_used_stays_open(folder: Path) -> None:
    files = FewOpen(lambda number: os.open(folder / str(number), os.O_RDONLY))
    with ExitStack() as stack:
        held = [stack.enter_context(files.use(number)) for number in range(100)]
        assert len(set(held)) == 100
        assert [os.pread(one, 9, 0) for one in held] == [b"%d" % number for number in range(100)]
    files.close()


def test_a_tar_of_a_thousand_volumes_is_written_and_read_with_few_open_files(
    tmp_path: Path,
) -> None:
    data = random.Random(1).randbytes(5_000)
    volumes = cut(len(data), 5)
    assert len(volumes) == 1_000
    with allowed(MOST_OPEN + 8), TarWriter(tmp_path, volumes, durable=False) as tar:
        for start in random.Random(2).sample(range(0, len(data), 50), 100):
            tar.write(data[start : start + 50], start)
        tar.sync()
        assert tar.holds(0, len(data))
        assert b"".join(map(bytes, tar.chunks(0, len(data)))) == data


def test_every_volume_that_was_written_to_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fdatasync", note)
    with TarWriter(tmp_path, cut(1_000, 2)) as tar:
        tar.sync()
        synced.clear()
        tar.write(b"x" * 200, 100)
        tar.sync()
        assert synced == [f"images.tar.{number:03}" for number in range(50, 150)]
        tar.sync()
        assert len(synced) == 100


@pytest.mark.parametrize("media", [1, 2])
def test_a_bundle_of_many_volumes_is_verified_with_few_open_files(
    tmp_path: Path, media: int
) -> None:
    key = forge.new_key()
    (whole,) = forge.make_bundle(tmp_path / "bundle", key).volumes
    many = tmp_path / "many"
    forge.make_bundle(many, key, volume_bytes=whole.size // 900 + 1)
    folders = [many]
    if media > 1:
        folders.append(tmp_path / "empty")
        folders[1].mkdir()
        for path in list(many.glob("images.tar.*"))[::2]:
            path.rename(folders[1] / path.name)
    with allowed(2 * MOST_OPEN + 16):
        opened = Media(folders)
        contents = read_signed(opened, [key.public]).contents
        assert len(contents.volumes) > 800
        with Archive(opened, contents) as archive, ReplayTar(opened, contents):
            archive.manifests()
        verify_all(opened, contents, Progress())


def test_too_many_open_files_are_not_a_damaged_medium(tmp_path: Path) -> None:
    key = forge.new_key()
    forge.make_bundle(tmp_path / "bundle", key)
    media = Media([tmp_path / "bundle"])
    with allowed(4), ExitStack() as stack:
        with suppress(OSError):
            while True:
                stack.enter_context(Path("/dev/null").open())
        with pytest.raises(HostError) as caught:
            read_signed(media, [key.public])
    assert caught.value.exit_code == ExitCode.HOST
    assert "ulimit -n" in str(caught.value)
    assert "damaged" not in str(caught.value)
    assert "damaged" in str(cannot_read("it", OSError(errno.EIO, "broken")))
