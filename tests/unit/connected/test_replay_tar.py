"""Writing `replay.tar`: the same bytes for the same recordings, in volumes, hashed on the way."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from airgap.bundle.contents import REPLAY_TAR, FileEntry
from airgap.bundle.framing import BLOCK, SMALL_BYTES
from airgap.canonical import parse_time
from airgap.connected.replay_tar import Recorded, plan_replay, remove_replay, write_replay
from airgap.errors import IntegrityError, NotFoundError, SpaceError, UsageError
from airgap.limits import LIMITS, MIB
from airgap.oci.digest import digest_of
from airgap.progress import Progress
from airgap.replay.recording import RecordedResponse, Recording, parse_recording
from airgap.store.store import Store
from tests import forge
from tests.forge import CREATED, joined, make_bundle, new_key

MTIME = int(parse_time(CREATED).timestamp())
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def kept(folder: Path, *recordings: forge.Recorded) -> Recorded:
    """What a recorder has put into a store."""
    store = Store(folder / "spool")
    blobs = {digest: data for one in recordings for digest, data in one.blobs.items()}
    for digest, data in blobs.items():
        store.write_blob(digest, [data])
    sizes = {digest: len(data) for digest, data in reversed(blobs.items())}
    return Recorded(tuple(one.entry for one in recordings), store, sizes)


def write(recorded: Recorded, output: Path, volume_bytes: int = 0) -> list[FileEntry]:
    plan = plan_replay(recorded, MTIME, volume_bytes)
    return write_replay(plan, recorded.store, output, Progress(), durable=False)


LARGE = forge.recorded("large", {"https://l.example/": b"l" * SMALL_BYTES})
TWO = (forge.recorded("app"), forge.recorded("lib", {"https://z.example/": b"z" * 5000}))


@pytest.mark.parametrize("volume_bytes", [0, 511, 512, 3000])
def test_what_is_written_is_what_a_reader_demands(
    tmp_path: Path, output: Path, volume_bytes: int
) -> None:
    contents = make_bundle(
        tmp_path / "bundle", new_key(), recordings=(*TWO, LARGE), volume_bytes=volume_bytes
    )
    recorded = kept(tmp_path, *TWO, LARGE)
    entries = write(recorded, output, volume_bytes)
    assert entries == list(contents.replay_volumes)
    assert plan_replay(recorded, MTIME).blobs == contents.replay
    assert joined(output, REPLAY_TAR) == joined(tmp_path / "bundle", REPLAY_TAR)


def test_stock_tools_read_it(tmp_path: Path, output: Path) -> None:
    recorded = kept(tmp_path, *TWO, LARGE)
    [entry] = write(recorded, output)
    shown = subprocess.check_output(["sha256sum", REPLAY_TAR], cwd=output, text=True)
    assert shown.split()[0] == entry.sha256
    for blob in plan_replay(recorded, MTIME).blobs:
        cut = f"tail -c +{blob.offset + 1} {REPLAY_TAR} | head -c {blob.size} | sha256sum"
        shown = subprocess.check_output(["sh", "-c", cut], cwd=output, text=True)
        assert f"sha256:{shown.split()[0]}" == blob.digest
    subprocess.run(["tar", "-xf", REPLAY_TAR], cwd=output, check=True)
    (path,) = (output / "blobs/sha256").iterdir()
    assert path.read_bytes() == b"l" * SMALL_BYTES
    assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_maps_come_first_then_what_is_small_and_then_the_rest_by_digest(tmp_path: Path) -> None:
    plan = plan_replay(kept(tmp_path, LARGE, *TWO), MTIME)
    digests = [blob.digest for blob in plan.blobs]
    maps = [one.entry.digest for one in (LARGE, *TWO)]
    assert digests[:3] == maps
    assert digests[3:-1] == sorted(digests[3:-1])
    assert digests[-1] == digest_of(b"l" * SMALL_BYTES)


def test_many_small_answers_take_next_to_nothing_beside_their_bytes(tmp_path: Path) -> None:
    answers = {f"https://x.example/{number}": b"%d" % number for number in range(1000)}
    recorded = kept(tmp_path, forge.recorded("many", answers))
    plan = plan_replay(recorded, MTIME)
    assert plan.tar_bytes - sum(blob.size for blob in plan.blobs) < 8 * BLOCK


def test_what_two_recordings_share_is_written_once(tmp_path: Path) -> None:
    plan = plan_replay(kept(tmp_path, forge.recorded("a"), forge.recorded("b")), MTIME)
    assert len(plan.blobs) == 1 + len(forge.ANSWERS)


def test_of_no_recordings_nothing_is_written(tmp_path: Path, output: Path) -> None:
    assert write(kept(tmp_path), output) == []
    assert list(output.iterdir()) == []


def test_what_an_earlier_run_has_written_is_removed_and_nothing_else(output: Path) -> None:
    for name in ("replay.tar", "replay.tar.007", "images.tar"):
        (output / name).write_text("x")
    remove_replay(output)
    assert [path.name for path in output.iterdir()] == ["images.tar"]


def test_a_blob_that_the_store_lacks_is_named(tmp_path: Path, output: Path) -> None:
    recorded = kept(tmp_path, *TWO)
    lacking = Recorded(recorded.entries, Store(tmp_path / "empty"), recorded.blobs)
    with pytest.raises(NotFoundError, match=TWO[0].entry.digest):
        write(lacking, output)


def test_a_blob_of_another_size_is_named(tmp_path: Path, output: Path) -> None:
    recorded = kept(tmp_path, *TWO)
    digest = digest_of(b"two")
    wrong = Recorded(recorded.entries, recorded.store, {**recorded.blobs, digest: 4})
    with pytest.raises(IntegrityError, match=f"{digest} has 3 bytes and should have 4"):
        write(wrong, output)


def test_a_blob_that_was_damaged_on_this_disk_is_named(tmp_path: Path, output: Path) -> None:
    recorded = kept(tmp_path, *TWO)
    digest = digest_of(b"two")
    [path] = recorded.store.root.rglob(f"{digest.removeprefix('sha256:')}/data")
    path.write_bytes(b"2wo")
    with pytest.raises(IntegrityError, match=f"{path} is damaged"):
        write(recorded, output)


def test_a_disk_that_is_too_small_is_said_before(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = kept(tmp_path, *TWO)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(MIB, 0, MIB))
    with pytest.raises(SpaceError, match=r"out has 1\.0 MiB free"):
        write(recorded, output)
    assert list(output.iterdir()) == []


@pytest.mark.parametrize("durable", [True, False])
def test_the_disk_is_waited_for_only_where_that_is_wanted(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    recorded = kept(tmp_path, *TWO)
    synced: list[str] = []
    real = os.fdatasync

    def fdatasync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    plan = plan_replay(recorded, MTIME, 4000)
    write_replay(plan, recorded.store, output, Progress(), durable=durable)
    assert synced == ([volume.name for volume in plan.volumes] if durable else [])


def test_progress_sees_every_byte(tmp_path: Path, output: Path) -> None:
    class Counting(Progress):
        total = done = 0

        def start(self, what: str, total: int) -> None:
            self.total += total

        def advance(self, count: int) -> None:
            self.done += count

    recorded, progress = kept(tmp_path, *TWO), Counting()
    write_replay(plan_replay(recorded, MTIME), recorded.store, output, progress, durable=False)
    assert progress.done == progress.total == (output / REPLAY_TAR).stat().st_size


def test_a_recording_has_its_map_beside_what_it_names(tmp_path: Path) -> None:
    store = Store(tmp_path)
    response = RecordedResponse("0" * 64, "https://a.example/", 200, (), digest_of(b"a"), 1)
    recorded = Recorded.of(Recording({response.key: response}), store, "app", until="then")
    (entry,) = recorded.entries
    assert (entry.name, entry.dockerfile, entry.platforms, entry.until) == ("app", "", (), "then")
    body = store.small_blob(entry.digest, MIB)
    assert parse_recording(body).responses == {response.key: response}
    assert recorded.blobs == {digest_of(b"a"): 1, entry.digest: len(body)}


def test_what_no_reader_would_take_is_not_carried(tmp_path: Path) -> None:
    url = f"https://a.example/{'x' * LIMITS.url_characters}"
    response = RecordedResponse("0" * 64, url, 200, (), digest_of(b"a"), 1)
    with pytest.raises(UsageError, match="what app downloads cannot be carried"):
        Recorded.of(Recording({response.key: response}), Store(tmp_path), "app")
    assert not any(tmp_path.iterdir())
