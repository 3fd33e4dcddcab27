"""Checksums behind the writers: those of the files, in whatever order these were written."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.bundle.contents import FileEntry
from airgap.bundle.volumes import Volume, cut
from airgap.connected import volume_hasher as module
from airgap.connected.tar_writer import TarWriter
from airgap.connected.volume_hasher import VolumeHasher
from airgap.progress import Progress

_PATIENCE = 30.0


class WatchedTar(TarWriter):
    """Notes what is read, and lets a test wait for it.

    Attributes:
        read: Beginning and size of what was asked for, in order.
    """

    def __init__(self, folder: Path, volumes: Sequence[Volume]) -> None:
        super().__init__(folder, volumes)
        self.read: list[tuple[int, int]] = []
        self._changed = threading.Condition()

    def chunks(self, offset: int, size: int) -> Iterator[memoryview]:
        yield from super().chunks(offset, size)
        with self._changed:
            self.read.append((offset, size))
            self._changed.notify_all()

    def wait_until_read(self, position: int, times: int = 1) -> None:
        """Waits until reading has come to this place so many times."""

        def come() -> bool:
            return sum(start + size == position for start, size in self.read) >= times

        with self._changed:
            assert self._changed.wait_for(come, _PATIENCE), self.read

    @property
    def furthest(self) -> int:
        return max((start + size for start, size in self.read), default=0)


class Shown(Progress):
    """Notes what there is to do, and what is done."""

    def __init__(self) -> None:
        self.total = self.done = 0
        self.ended = False

    def start(self, what: str, total: int) -> None:
        assert what == "checksums"
        self.total = total

    def advance(self, count: int) -> None:
        self.done += count

    def finish(self) -> None:
        self.ended = True


def entries(folder: Path, volumes: Sequence[Volume]) -> list[FileEntry]:
    """What a second look at the files says."""
    found = []
    for volume in volumes:
        data = (folder / volume.name).read_bytes()
        found.append(FileEntry(volume.name, len(data), hashlib.sha256(data).hexdigest()))
    return found


@contextmanager
def hashing(
    tar: TarWriter, volumes: Sequence[Volume], starts: Sequence[int], end: int
) -> Iterator[VolumeHasher]:
    """A hasher that is stopped at the end, come what may."""
    hasher = VolumeHasher(tar, volumes, starts, end)
    try:
        yield hasher
    finally:
        hasher.stop()


class Writer:
    """Writes units as a fetching thread does: in pieces, with wrong bytes before the right ones."""

    def __init__(
        self, tar: TarWriter, hasher: VolumeHasher, data: bytes, borders: list[int]
    ) -> None:
        self._tar, self._hasher, self._data = tar, hasher, data
        self._units = list(pairwise(borders))

    def write(self, job: tuple[int, int]) -> None:
        unit, seed = job
        chance = random.Random(seed)
        start, end = self._units[unit]
        for _ in range(chance.choice([0, 0, 1, 2, 3])):
            self._spoil(unit, chance)
        position = start
        while position < end:
            count = min(end - position, chance.randrange(1, max(2, (end - start) // 2)))
            self._tar.write(self._data[position : position + count], position)
            position += count
            if position < end:
                self._hasher.written(unit, position)
        self._hasher.written(unit, end)

    def _spoil(self, unit: int, chance: random.Random) -> None:
        """Some bytes, up to all of the unit, of which the last is not told: its digest is wrong."""
        start, end = self._units[unit]
        position = start
        for _ in range(chance.randrange(4)):
            count = chance.randrange(end - position + 1)
            self._tar.write(chance.randbytes(count), position)
            position += count
            if position < end:
                self._hasher.written(unit, position)
        self._hasher.restarted(unit)


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3_000), min_size=1, max_size=14),
    volume_bytes=st.integers(200, 8_000),
    stride=st.sampled_from([1 << 22, 1_000, 64]),
    jobs=st.integers(1, 5),
    mixed=st.booleans(),
    seed=st.integers(0, 1 << 30),
)
def test_checksums_are_those_of_the_files(
    sizes: list[int], volume_bytes: int, stride: int, jobs: int, mixed: bool, seed: int
) -> None:
    chance = random.Random(seed)
    borders = [0]
    for size in [*sizes, 1_024]:  # a tar ends with a kibibyte of zeros
        borders.append(borders[-1] + size)
    data = chance.randbytes(borders[-1])
    volumes = cut(len(data), volume_bytes)
    units = [(unit, chance.randrange(1 << 30)) for unit in range(len(borders) - 1)]
    if mixed:
        chance.shuffle(units)
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as name,
        TarWriter(Path(name), volumes) as tar,
    ):
        patch.setattr(module, "_STRIDE_BYTES", stride)
        with hashing(tar, volumes, borders[:-1], borders[-1]) as hasher:
            writer = Writer(tar, hasher, data, borders)
            with ThreadPoolExecutor(jobs) as threads:
                list(threads.map(writer.write, units))
            found = hasher.result(Progress())
        assert b"".join((Path(name) / volume.name).read_bytes() for volume in volumes) == data
        assert found == entries(Path(name), volumes)


def test_a_unit_that_is_not_finished_is_read_as_it_is_written(tmp_path: Path) -> None:
    volumes = cut(300, 70)
    with WatchedTar(tmp_path, volumes) as tar, hashing(tar, volumes, [0, 100], 300) as hasher:
        tar.write(bytes(50), 0)
        hasher.written(0, 50)
        tar.wait_until_read(50)
        assert tar.furthest == 50


def test_units_behind_one_that_is_not_finished_wait(tmp_path: Path) -> None:
    volumes = cut(300)
    with WatchedTar(tmp_path, volumes) as tar, hashing(tar, volumes, [0, 100], 300) as hasher:
        tar.write(b"b" * 200, 100)
        hasher.written(1, 300)
        tar.write(b"a" * 50, 0)
        hasher.written(0, 50)
        tar.wait_until_read(50)
        assert tar.furthest == 50
        tar.write(b"a" * 50, 50)
        hasher.written(0, 100)
        assert hasher.result(Progress()) == entries(tmp_path, volumes)


def test_a_unit_that_is_written_again_after_it_was_read_is_read_again(tmp_path: Path) -> None:
    volumes = cut(300, 70)
    with WatchedTar(tmp_path, volumes) as tar, hashing(tar, volumes, [0, 100], 300) as hasher:
        tar.write(b"a" * 100, 0)
        hasher.written(0, 100)
        tar.wait_until_read(100)
        for times in (1, 2):
            tar.write(b"x" * 150, 100)
            hasher.written(1, 250)
            tar.wait_until_read(250, times)
            hasher.restarted(1)
        tar.write(b"b" * 200, 100)
        hasher.written(1, 300)
        assert hasher.result(Progress()) == entries(tmp_path, volumes)
        # The units before it are not read again.
        assert sum(start < 100 for start, _ in tar.read) == len([0, 70])


def test_a_finished_unit_stays_though_others_are_written_again(tmp_path: Path) -> None:
    volumes = cut(300)
    with WatchedTar(tmp_path, volumes) as tar, hashing(tar, volumes, [0, 100, 200], 300) as hasher:
        tar.write(b"x" * 50, 200)
        hasher.written(2, 250)
        hasher.restarted(2)  # before it is its turn
        tar.write(b"a" * 100, 0)
        hasher.written(0, 100)
        tar.write(b"b" * 100, 100)
        hasher.written(1, 200)
        tar.wait_until_read(200)
        assert tar.furthest == 200
        tar.write(b"c" * 100, 200)
        hasher.written(2, 300)
        assert hasher.result(Progress()) == entries(tmp_path, volumes)


def test_what_is_left_at_the_end_is_shown(tmp_path: Path) -> None:
    volumes = cut(300)
    shown = Shown()
    with WatchedTar(tmp_path, volumes) as tar, hashing(tar, volumes, [0, 100], 300) as hasher:
        tar.write(bytes(300), 0)
        hasher.written(0, 100)
        tar.wait_until_read(100)
        hasher.written(1, 300)
        hasher.result(shown)
    assert shown.ended
    assert 0 <= shown.done <= shown.total <= 300


def test_it_can_be_stopped_before_the_tar_is_written(tmp_path: Path) -> None:
    volumes = cut(300)
    with TarWriter(tmp_path, volumes) as tar:
        before = threading.active_count()
        hasher = VolumeHasher(tar, volumes, [0, 100], 300)
        tar.write(bytes(50), 0)
        hasher.written(0, 50)
        hasher.stop()
        assert threading.active_count() == before
        hasher.stop()


def test_a_disk_that_fails_is_an_error_at_the_end(tmp_path: Path) -> None:
    volumes = cut(300, 100)
    with TarWriter(tmp_path, volumes) as tar, hashing(tar, volumes, [0], 300) as hasher:
        tar.write(bytes(300), 0)
        os.truncate(tmp_path / "images.tar.001", 10)  # ends early, as a broken disk's file does
        hasher.written(0, 300)
        with pytest.raises(OSError, match=r"images\.tar\.001 ended early"):
            hasher.result(Progress())
