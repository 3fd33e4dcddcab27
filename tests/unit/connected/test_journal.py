"""The journal: it says nothing of the tar that a power cut could make untrue."""

from __future__ import annotations

import errno
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airgap.bundle.contents import BlobEntry
from airgap.bundle.volumes import cut
from airgap.connected import journal as module
from airgap.connected.journal import Journal
from airgap.connected.tar_writer import TarWriter

_PATIENCE = 30.0
_COUNT, _SIZE, _ROOM = 10, 1_000, 1_500
BLOBS = tuple(
    BlobEntry(f"sha256:{number:064x}", _SIZE, 500 + number * _ROOM) for number in range(_COUNT)
)
VOLUMES = cut(_COUNT * _ROOM + 1_000, 4_000)


class WatchedTar(TarWriter):
    """Notes what is synced, and fails or waits where a test wants it.

    Attributes:
        synced: How much of the tar had been written when a sync ended.
        at_sync: Called when a sync begins.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, VOLUMES)
        self.written = 0
        self.synced: list[int] = []
        self.at_sync: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def write(self, data: bytes, offset: int) -> None:
        super().write(data, offset)
        with self._lock:
            self.written += len(data)

    def sync(self) -> None:
        with self._lock:
            written = self.written
        self.at_sync()
        super().sync()
        self.synced.append(written)


def fails(number: int = errno.EIO) -> None:
    raise OSError(number, os.strerror(number))


@pytest.fixture
def tar(tmp_path: Path) -> Iterator[WatchedTar]:
    with WatchedTar(tmp_path) as tar:
        yield tar


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@contextmanager
def open_journal(path: Path, tar: TarWriter) -> Iterator[Journal]:
    """A journal that is closed at the end, come what may."""
    journal = Journal(path, tar, BLOBS)
    try:
        yield journal
    finally:
        with suppress(OSError):
            journal.close()


def records(path: Path) -> dict[int, int]:
    """What the file says, read by other means."""
    data = path.read_bytes()
    assert len(data) == 16 * _COUNT
    found = {}
    for number in range(_COUNT):
        record = data[16 * number : 16 * (number + 1)]
        if record != b"\n" * 16:
            assert record[15:] == b"\n"
            found[number] = int(record[:15])
    return found


def write(
    journal: Journal, tar: TarWriter, number: int, count: int = _SIZE, start: int = 0
) -> None:
    """Writes a part of a blob and notes it, as a fetching thread does."""
    with journal.writing(count):
        tar.write(bytes([number]) * count, BLOBS[number].offset + start)
    journal.note(number, start + count)


def done(path: Path, tar: TarWriter) -> dict[int, int]:
    """What a later run believes."""
    with open_journal(path, tar) as journal:
        return journal.done


def test_a_new_journal_holds_nothing_and_has_all_its_room(path: Path, tar: WatchedTar) -> None:
    assert done(path, tar) == {}
    assert path.read_bytes() == b"\n" * 16 * _COUNT


def test_what_was_noted_is_there_for_the_next_run(path: Path, tar: WatchedTar) -> None:
    journal = Journal(path, tar, BLOBS)
    write(journal, tar, 0)
    write(journal, tar, 3, 10)
    write(journal, tar, 3, 20, start=10)
    write(journal, tar, 9)
    journal.close()
    assert records(path) == {0: _SIZE, 3: 30, 9: _SIZE}
    assert done(path, tar) == {0: _SIZE, 3: 30, 9: _SIZE}


def test_a_blob_that_begins_again_is_forgotten(path: Path, tar: WatchedTar) -> None:
    journal = Journal(path, tar, BLOBS)
    write(journal, tar, 0)
    journal.close()
    journal = Journal(path, tar, BLOBS)
    journal.note(0, 0)
    journal.close()
    assert done(path, tar) == {}


def test_nothing_is_noted_before_the_tar_is_synced(path: Path, tar: WatchedTar) -> None:
    seen: list[dict[int, int]] = []
    with open_journal(path, tar) as journal:
        tar.at_sync = lambda: seen.append(records(path))
        write(journal, tar, 0)
        assert records(path) == {}
        journal.close()
        assert seen == [{}]
        assert tar.synced == [_SIZE]
        assert records(path) == {0: _SIZE}


def test_records_last_too(path: Path, tar: WatchedTar, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    really = os.fdatasync

    def sync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        order.append("journal" if name == "journal" else "tar")
        really(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)
    with open_journal(path, tar) as journal:
        write(journal, tar, 0)
        journal.close()
    assert order == ["tar"] * len(VOLUMES) + ["journal"]


def test_without_anything_new_the_disk_is_left_alone(path: Path, tar: WatchedTar) -> None:
    with open_journal(path, tar) as journal:
        journal.close()
    assert tar.synced == []


def test_bytes_without_a_note_are_synced_all_the_same(path: Path, tar: WatchedTar) -> None:
    with open_journal(path, tar) as journal:
        with journal.writing(3):
            tar.write(b"abc", 0)
        journal.close()
    assert tar.synced == [3]
    assert records(path) == {}


def test_it_syncs_while_there_is_more_to_write(
    path: Path, tar: WatchedTar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYNC_BYTES", 2_000)
    begun = threading.Event()
    tar.at_sync = begun.set
    with open_journal(path, tar) as journal:
        write(journal, tar, 0)  # half of what may be lost
        assert begun.wait(_PATIENCE)


def test_it_syncs_now_and_then_though_little_comes(
    path: Path, tar: WatchedTar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SYNC_SECONDS", 0.01)
    begun = threading.Event()
    with open_journal(path, tar) as journal:
        tar.at_sync = begun.set
        write(journal, tar, 0, 1)
        assert begun.wait(_PATIENCE)


def test_no_more_is_written_than_may_be_lost(
    path: Path, tar: WatchedTar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYNC_BYTES", 3_500)
    excess: list[int] = []
    really = TarWriter.write

    def watched(self: WatchedTar, data: bytes, offset: int) -> None:
        really(self, data, offset)
        with self._lock:
            self.written += len(data)
            excess.append(self.written - max(self.synced, default=0))

    monkeypatch.setattr(WatchedTar, "write", watched)
    with open_journal(path, tar) as journal:

        def fill(numbers: range) -> None:
            for number in numbers:
                for start in range(0, _SIZE, 100):
                    write(journal, tar, number, 100, start)

        threads = [threading.Thread(target=fill, args=(range(n, _COUNT, 3),)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE)
            assert not thread.is_alive()
        journal.close()
    assert max(excess) <= 3_500
    assert len(tar.synced) >= _COUNT * _SIZE // 3_500
    assert records(path) == dict.fromkeys(range(_COUNT), _SIZE)


def test_writers_wait_while_a_sync_lasts(
    path: Path, tar: WatchedTar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYNC_BYTES", 2_000)
    begun, go_on, through = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait(_PATIENCE)

    tar.at_sync = slow
    with open_journal(path, tar) as journal:

        def third() -> None:
            write(journal, tar, 2)
            through.set()

        write(journal, tar, 0)
        assert begun.wait(_PATIENCE)
        write(journal, tar, 1)
        thread = threading.Thread(target=third)
        thread.start()
        assert not through.is_set()
        assert tar.written == 2 * _SIZE
        go_on.set()
        assert through.wait(_PATIENCE)
        thread.join()
    assert tar.written == 3 * _SIZE


@pytest.mark.parametrize(
    "record",
    [
        b"\n" * 16,
        b"\0" * 16,
        b"000000000000100 ",
        b"00000000000100\n\n",
        b"-00000000000100\n",
        b"+00000000000100\n",
        b"0000000000001_0\n",
        b"            100\n",
        b"000000000001001\n",  # one more than the blob has
        b"999999999999999\n",
        b"000000000000000\n",
        b"garbage garbage ",
        b"\xff" * 16,
        b"0000000",
        b"",
    ],
)
def test_a_record_that_is_not_one_is_not_believed(
    path: Path, tar: WatchedTar, record: bytes
) -> None:
    tar.write(bytes(_COUNT * _ROOM), 0)
    path.write_bytes(b"\n" * 16 + record)
    assert done(path, tar) == {}
    assert path.stat().st_size >= 16 * _COUNT


def test_records_around_one_that_is_not_one_are_believed(path: Path, tar: WatchedTar) -> None:
    tar.write(bytes(_COUNT * _ROOM), 0)
    path.write_bytes(b"000000000000007\n" + b"garbage" + b"\0" * 9 + b"000000000001000\n" + b"00")
    assert done(path, tar) == {0: 7, 2: _SIZE}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=16 * _COUNT + 5))
def test_no_bytes_of_a_journal_make_it_believe_what_the_tar_has_not(
    path: Path, tar: WatchedTar, data: bytes
) -> None:
    path.write_bytes(data)
    assert done(path, tar) == {}  # the tar is empty


@pytest.mark.parametrize("missing", [1, 499, 999])
def test_a_journal_whose_tar_is_shorter_is_not_believed(
    path: Path, tar: WatchedTar, tmp_path: Path, missing: int
) -> None:
    journal = Journal(path, tar, BLOBS)
    for number in range(_COUNT):
        write(journal, tar, number)
    journal.close()
    [last] = [v for v in VOLUMES if v.start <= BLOBS[9].offset < v.start + v.size]
    end = BLOBS[9].offset + _SIZE - last.start
    os.truncate(tmp_path / last.name, end - missing)
    assert done(path, tar) == dict.fromkeys(range(9), _SIZE)
    (tmp_path / VOLUMES[0].name).unlink()
    (tmp_path / VOLUMES[0].name).touch()
    with WatchedTar(tmp_path) as opened:
        believed = done(path, opened)
    assert all(BLOBS[number].offset >= VOLUMES[1].start for number in believed)
    assert believed


def test_a_disk_that_fails_is_told_to_writers_and_at_the_end(
    path: Path, tar: WatchedTar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYNC_BYTES", 2_000)
    tar.at_sync = fails
    journal = Journal(path, tar, BLOBS)
    told: list[OSError] = []

    def until_it_fails(number: int) -> None:
        try:
            while True:
                write(journal, tar, number)
        except OSError as error:
            told.append(error)

    threads = [threading.Thread(target=until_it_fails, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE)
        assert not thread.is_alive()
    assert [error.errno for error in told] == [errno.EIO] * 3
    with pytest.raises(OSError, match="Input/output error"):
        journal.close()
    assert records(path) == {}


def test_a_thread_that_dies_leaves_nobody_waiting(
    path: Path, tar: WatchedTar, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise AttributeError("what another system lacks")

    def write_until_it_fails() -> None:
        while True:
            write(journal, tar, 0)

    monkeypatch.setattr(module, "SYNC_BYTES", 2_000)
    tar.at_sync = die
    journal = Journal(path, tar, BLOBS)
    with pytest.raises(AttributeError, match="another system"):
        write_until_it_fails()
    with pytest.raises(AttributeError, match="another system"):
        journal.close()


def test_without_fdatasync_the_journal_lasts_too(
    path: Path, tar: WatchedTar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "fdatasync")  # macOS
    journal = Journal(path, tar, BLOBS)
    write(journal, tar, 0)
    journal.close()
    assert tar.synced
    assert records(path)


def test_a_disk_that_fails_at_the_last_sync_is_told_too(path: Path, tar: WatchedTar) -> None:
    journal = Journal(path, tar, BLOBS)
    write(journal, tar, 0)
    tar.at_sync = lambda: fails(errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        journal.close()
    assert records(path) == {}


def test_who_comes_after_the_end_writes_nothing(path: Path, tar: WatchedTar) -> None:
    journal = Journal(path, tar, BLOBS)
    journal.close()
    with pytest.raises(InterruptedError):
        write(journal, tar, 0)
    assert tar.written == 0


def test_the_end_wakes_whoever_waits(
    path: Path, tar: WatchedTar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYNC_BYTES", 2_000)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait(_PATIENCE)

    tar.at_sync = slow
    journal = Journal(path, tar, BLOBS)
    caught: list[BaseException] = []

    def waiting() -> None:
        try:
            write(journal, tar, 2, 1_500)
        except InterruptedError as error:
            caught.append(error)

    write(journal, tar, 0)
    assert begun.wait(_PATIENCE)
    thread = threading.Thread(target=waiting)
    thread.start()
    closing = threading.Thread(target=journal.close)
    closing.start()
    thread.join(_PATIENCE)
    go_on.set()
    closing.join(_PATIENCE)
    assert len(caught) == 1
    assert records(path) == {0: _SIZE}


def test_a_journal_that_is_a_link_is_not_followed(path: Path, tar: WatchedTar) -> None:
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(OSError, match="not a regular file"):
        Journal(path, tar, BLOBS)


def test_nothing_stays_open(path: Path, tar: WatchedTar) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    done(path, tar)
    assert set(Path("/proc/self/fd").iterdir()) == before


def in_child(work: Callable[[], Any]) -> None:
    """Does the work in a process of its own, which then is gone at once, as after kill -9."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads hold nothing of ours
        child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_was_synced_before_a_kill_is_kept(path: Path, tar: WatchedTar) -> None:
    def killed() -> None:
        module.SYNC_BYTES = 2_000
        again = threading.Semaphore(0)
        tar.at_sync = again.release
        journal = Journal(path, tar, BLOBS)
        for number in range(_COUNT // 2):
            write(journal, tar, number)
        for _ in range(2):  # the second sync begins when the records of the first are written
            assert again.acquire(timeout=_PATIENCE)

    in_child(killed)
    kept = records(path)
    assert kept
    assert kept.items() <= dict.fromkeys(range(_COUNT // 2), _SIZE).items()
    assert done(path, tar) == kept
    for number in kept:
        blob = BLOBS[number]
        read = b"".join(map(bytes, tar.chunks(blob.offset, blob.size)))
        assert read == bytes([number]) * _SIZE


def test_a_kill_before_the_first_sync_leaves_nothing_to_believe(
    path: Path, tar: WatchedTar
) -> None:
    def killed() -> None:
        write(Journal(path, tar, BLOBS), tar, 0)

    in_child(killed)
    assert records(path) == {}
    assert done(path, tar) == {}
