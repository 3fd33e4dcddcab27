"""The tar that is being written: any bytes at any place, over the borders of volumes."""

from __future__ import annotations

import itertools
import os
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.bundle.volumes import cut
from airgap.connected.checkpoint import not_written
from airgap.connected.tar_writer import TarWriter
from airgap.errors import HostError
from airgap.limits import MIB


def opened() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


def joined(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("images.tar*")))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5_000), st.integers(40, 6_000), st.randoms(use_true_random=False))
def test_pieces_in_any_order_are_the_tar(size: int, volume: int, chance: random.Random) -> None:
    data = chance.randbytes(size)
    borders = sorted({0, size, *(chance.randrange(size) for _ in range(10))})
    pieces = list(itertools.pairwise(borders))
    chance.shuffle(pieces)
    with tempfile.TemporaryDirectory() as name:
        volumes = cut(size, volume)
        with TarWriter(Path(name), volumes, durable=False) as tar:
            for start, end in pieces:
                tar.write(data[start:end], start)
            tar.sync()
            start = chance.randrange(size)
            count = chance.randrange(size - start + 1)
            read = b"".join(bytes(chunk) for chunk in tar.chunks(start, count))
        assert read == data[start : start + count]
        assert joined(Path(name)) == data
        sizes = [(Path(name) / volume.name).stat().st_size for volume in volumes]
        assert sizes == [volume.size for volume in volumes]


def test_threads_write_at_once(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(100_000)
    with TarWriter(tmp_path, cut(len(data), 7_777)) as tar, ThreadPoolExecutor(4) as threads:
        starts = range(0, len(data), 1_000)
        list(threads.map(lambda start: tar.write(data[start : start + 1_000], start), starts))
    assert joined(tmp_path) == data


def test_pieces_that_are_read_have_a_mebibyte_at_most(tmp_path: Path) -> None:
    size = 2 * MIB + 5
    with TarWriter(tmp_path, cut(size)) as tar:
        tar.write(bytes(size), 0)
        assert [len(chunk) for chunk in tar.chunks(0, size)] == [MIB, MIB, 5]
        assert list(tar.chunks(7, 0)) == []


def test_what_is_there_stays_when_it_is_opened_again(tmp_path: Path) -> None:
    volumes = cut(1_000, 300)
    with TarWriter(tmp_path, volumes) as tar:
        tar.write(b"early", 298)
    with TarWriter(tmp_path, volumes) as tar:
        assert b"".join(map(bytes, tar.chunks(298, 5))) == b"early"


def test_what_lies_behind_the_end_of_a_volume_is_removed(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"images.tar.{number:03}").write_bytes(b"x" * 301)
    with TarWriter(tmp_path, cut(1_000, 300)):
        sizes = [path.stat().st_size for path in sorted(tmp_path.iterdir())]
    assert sizes == [300, 300, 300, 100]


def test_it_holds_what_its_files_are_long_enough_for(tmp_path: Path) -> None:
    with TarWriter(tmp_path, cut(1_000, 300)) as tar:
        assert not tar.holds(0, 1)
        tar.write(bytes(250), 100)  # all of the first volume, 50 bytes of the second
        assert tar.holds(0, 350)
        assert tar.holds(299, 301)
        assert tar.holds(200, 200)
        assert not tar.holds(0, 351)
        assert not tar.holds(600, 601)
        tar.write(bytes(100), 900)
        assert tar.holds(900, 1_000)
        assert not tar.holds(300, 1_000)


def test_a_file_that_ends_early_is_an_error_that_says_so(tmp_path: Path) -> None:
    with TarWriter(tmp_path, cut(1_000, 300)) as tar:
        tar.write(bytes(310), 0)
        with pytest.raises(OSError, match=r"images\.tar\.001 ended early") as caught:
            list(tar.chunks(0, 400))
    assert "images.tar.001 ended early" in str(not_written(tmp_path, caught.value))


def test_a_disk_that_is_full_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with TarWriter(folder, cut(1_000)) as tar:
            full = os.open("/dev/full", os.O_WRONLY)
            inode = (folder / "images.tar").stat().st_ino
            [descriptor] = [
                int(link.name)
                for link in Path("/proc/self/fd").iterdir()
                if link.exists() and link.stat().st_ino == inode
            ]
            os.dup2(full, descriptor)
            os.close(full)
            with pytest.raises(OSError, match="No space left"):
                tar.write(b"x", 0)


def test_files_are_closed_on_every_way_out(tmp_path: Path) -> None:
    before = opened()
    with pytest.raises(ValueError, match="wrong"), TarWriter(tmp_path, cut(1_000, 300)):
        raise ValueError("wrong")
    assert opened() == before


def test_a_folder_that_is_not_there_is_a_host_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot write to"):
        TarWriter(tmp_path / "absent", cut(1_000))


def test_links_are_not_followed_and_nothing_stays_open(tmp_path: Path) -> None:
    (tmp_path / "images.tar.002").symlink_to(tmp_path / "elsewhere")
    before = opened()
    with pytest.raises(HostError, match=r"images\.tar\.002"):
        TarWriter(tmp_path, cut(1_000, 300))
    assert opened() == before
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("durable", "count"), [(True, 4), (False, 0)])
def test_it_is_synced_where_that_is_wanted(
    durable: bool, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    with TarWriter(tmp_path, cut(1_000, 300), durable=durable) as tar:
        tar.sync()
    assert len(set(synced)) == count
