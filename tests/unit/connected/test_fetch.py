"""Fetching: from servers that break off, lie, give only whole blobs; on real files, in threads."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap import parallel
from airgap.bundle import framing
from airgap.bundle.contents import Contents, FileEntry
from airgap.bundle.volumes import Volume, cut
from airgap.connected import fetch
from airgap.connected.concurrency import Connections
from airgap.connected.fetch import TransferLimits, write_tar
from airgap.connected.journal import Journal
from airgap.connected.plan import BundlePlan
from airgap.connected.tar_writer import TarWriter
from airgap.errors import AirgapError, HostError, IntegrityError, NotFoundError, SpaceError
from airgap.oci.digest import digest_of
from airgap.oci.manifest import Descriptor
from airgap.oci.reference import Reference, parse_reference
from airgap.oci.retry import RetryBudget, TemporaryError
from airgap.progress import Progress

_IMAGE = parse_reference("a.internal/app:1")
_SIZES = (9_000, 5_000, 3_000, 1_000, 10, 0)
_HEAD = b"h" * 1_024
_MANIFEST = b'{"schemaVersion": 2}'
_PIECE = 700
_PATIENCE = 30.0
_MOST_REQUESTS = 200


@dataclass(frozen=True, slots=True)
class Way:
    """How a server answers one request.

    Attributes:
        error: Raised instead of an answer.
        breaks_at: Which byte of the blob is never sent.
        kind: Of the error when it breaks off.
        overload: Whether it broke off because there was too much to do.
        wrong: Which byte has a bit changed.
        whole: Whether it starts with the first byte, whatever was asked for.
        more: Bytes that come after the end of the blob.
        server: Its name.
    """

    error: AirgapError | None = None
    breaks_at: int | None = None
    overload: bool = False
    wrong: int | None = None
    whole: bool = False
    more: bytes = b""
    server: str = "one"


def broken(*, overload: bool = False) -> TemporaryError:
    return TemporaryError("the connection broke", kind="broke", overload=overload)


class Stream:
    """The bytes of a blob, in small pieces."""

    def __init__(self, server: str, data: bytes, start: int, way: Way) -> None:
        self.server, self.start = server, start
        self._data, self._position, self._way = data, start, way

    def read(self, most: int, /) -> bytes:
        end = min(self._position + min(most, _PIECE), len(self._data))
        if self._way.breaks_at is not None:
            end = min(end, self._way.breaks_at)
            if end <= self._position:
                raise broken(overload=self._way.overload)
        piece = self._data[self._position : end]
        self._position = end
        return piece


@dataclass(frozen=True, slots=True)
class Server:
    """A source of blobs that goes wrong in the ways given, one a request, and then no more.

    Attributes:
        bodies: Digest to bytes.
        ways: Digest to how the next requests for it are answered.
        always: How all others are answered.
        patience: Seconds; pauses take none.
        requests: Digest and first byte of each request.
        avoided: Servers that were to be asked later.
        at_request: Called before each answer.
    """

    bodies: Mapping[str, bytes]
    ways: dict[str, list[Way]] = field(default_factory=dict)
    always: Way = Way()
    patience: float = 14.0
    requests: list[tuple[str, int]] = field(default_factory=list)
    avoided: list[str] = field(default_factory=list)
    at_request: Callable[[str], object] = lambda digest: None

    @contextmanager
    def blob(self, reference: Reference, digest: str, size: int, start: int) -> Iterator[Stream]:
        assert reference == _IMAGE
        assert size == len(self.bodies[digest])
        self.requests.append((digest, start))
        assert len(self.requests) < _MOST_REQUESTS
        self.at_request(digest)
        ways = self.ways.get(digest, [])
        way = ways.pop(0) if ways else self.always
        if way.error:
            raise way.error
        data = bytearray(self.bodies[digest])
        if way.wrong is not None:
            data[way.wrong] ^= 1
        data += way.more
        yield Stream(way.server, bytes(data), 0 if way.whole else start, way)

    def attempts(self, pause: Callable[[float], object]) -> RetryBudget:
        return RetryBudget(self.patience, lambda _: pause(0))

    def avoid(self, server: str) -> None:
        self.avoided.append(server)

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        raise AssertionError(reference)

    def small_blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        raise AssertionError(reference, descriptor)


class Shown(Progress):
    """Adds up what is shown."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: Counter[str] = Counter()
        self._what = ""
        self._lock = threading.Lock()

    def start(self, what: str, total: int) -> None:
        self._what = what
        self.totals[what] = total

    def advance(self, count: int) -> None:
        with self._lock:
            self.done[self._what] += count


class WatchedTar(TarWriter):
    """Notes where is written; a test may make it fail.

    Attributes:
        offsets: Where each write began, in order.
        at_write: Called before each write.
    """

    def __init__(self, folder: Path, volumes: Sequence[Volume]) -> None:
        super().__init__(folder, volumes, durable=False)
        self.offsets: list[int] = []
        self.at_write: Callable[[], object] = lambda: None

    def write(self, data: bytes, offset: int) -> None:
        self.at_write()
        self.offsets.append(offset)
        super().write(data, offset)


@dataclass(frozen=True, slots=True)
class Case:
    """A plan, the blobs of it, and what the tar should be."""

    plan: BundlePlan
    bodies: Mapping[str, bytes]
    tar: bytes

    def digest(self, number: int) -> str:
        """Of the blob that is fetched as that one; they lie in the order of `_SIZES`."""
        return self.plan.to_fetch[number].digest


def make_case(sizes: Sequence[int] = _SIZES, volume_bytes: int = 0) -> Case:
    bodies = {}
    for number, size in enumerate(sizes):
        data = random.Random(number).randbytes(size)
        bodies[digest_of(data)] = data
    manifest = {digest_of(_MANIFEST): _MANIFEST}
    everything = manifest | bodies
    blobs = framing.place_blobs(len(_HEAD), [(d, len(data)) for d, data in everything.items()])
    pieces = tuple(framing.pieces(_HEAD, blobs, 0))
    size = pieces[-1].offset + len(pieces[-1].data)
    tar = bytearray(size)
    for piece in pieces:
        tar[piece.offset : piece.offset + len(piece.data)] = piece.data
    for blob in blobs:
        tar[blob.offset : blob.offset + blob.size] = everything[blob.digest]
    contents = Contents(
        name="site",
        serial=1,
        created="2026-01-01T00:00:00Z",
        expires="",
        tool="1",
        host_platforms=("linux/amd64",),
        images=(),
        blobs=blobs,
    )
    sources = dict.fromkeys(bodies, _IMAGE)
    return Case(
        BundlePlan(contents, pieces, cut(size, volume_bytes), manifest, sources), bodies, bytes(tar)
    )


def run(
    folder: Path,
    case: Case,
    server: Server,
    pace: TransferLimits | None = None,
    *,
    tar: WatchedTar | None = None,
    progress: Progress | None = None,
) -> list[FileEntry]:
    """Writes the tar, or what is missing of it."""
    with tar or WatchedTar(folder, case.plan.volumes) as opened:
        journal = Journal(folder / "journal", opened, case.plan.contents.blobs)
        return write_tar(
            opened,
            folder,
            case.plan,
            journal,
            server,
            pace or TransferLimits(),
            progress or Progress(),
        )


def joined(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("images.tar*")))


def check(folder: Path, case: Case, entries: Sequence[FileEntry]) -> None:
    """The tar is what it should be, and so are its checksums."""
    assert joined(folder) == case.tar
    for entry, volume in zip(entries, case.plan.volumes, strict=True):
        data = case.tar[volume.start : volume.start + volume.size]
        assert entry == FileEntry(volume.name, len(data), hashlib.sha256(data).hexdigest())


class ChangingTar(WatchedTar):
    """A medium that answers its reads of one place with another byte, from some read on.

    Args:
        folder: Of the files.
        volumes: Of the tar.
        offset: The place.
        reads: How many reads of it are answered as it was written.
    """

    def __init__(self, folder: Path, volumes: Sequence[Volume], offset: int, reads: int) -> None:
        super().__init__(folder, volumes)
        self._offset, self._reads = offset, reads

    def chunks(self, offset: int, size: int) -> Iterator[memoryview]:
        for chunk in super().chunks(offset, size):
            if offset <= self._offset < offset + len(chunk):
                self._reads -= 1
                if self._reads < 0:
                    chunk[self._offset - offset] ^= 1
            offset += len(chunk)
            yield chunk


@pytest.fixture
def case() -> Case:
    return make_case()


@pytest.mark.parametrize("volume_bytes", [0, 1_024, 7_777])
@pytest.mark.parametrize(
    "pace",
    [
        TransferLimits(1),
        TransferLimits(4),
        TransferLimits(16),
        TransferLimits(4, 10**9),
        TransferLimits(in_order=True),
    ],
)
def test_a_tar_is_written_with_its_checksums(
    tmp_path: Path, pace: TransferLimits, volume_bytes: int
) -> None:
    case = make_case(volume_bytes=volume_bytes)
    server, shown = Server(case.bodies), Shown()
    check(tmp_path, case, run(tmp_path, case, server, pace, progress=shown))
    asked = [digest for digest, size in ((b.digest, b.size) for b in case.plan.to_fetch) if size]
    assert sorted(server.requests) == sorted((digest, 0) for digest in asked)
    assert shown.totals["fetching"] == shown.done["fetching"] == sum(_SIZES)
    assert server.avoided == []


@pytest.mark.parametrize("volume_bytes", [0, 7_777])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("place", [0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_what_a_medium_changes_after_it_was_checked_is_not_signed_for(
    tmp_path: Path, place: float, again: bool, volume_bytes: int
) -> None:
    case = make_case(volume_bytes=volume_bytes)
    offset = int(place * len(case.tar))
    if again:  # a later run hashes blobs that are there, and then computes the checksums
        run(tmp_path, case, Server(case.bodies))
    fetched = any(one.offset <= offset < one.offset + one.size for one in case.plan.to_fetch)
    tar = ChangingTar(tmp_path, case.plan.volumes, offset, int(again and fetched))
    with pytest.raises(IntegrityError, match="does not read back"):
        run(tmp_path, case, Server(case.bodies), tar=tar)


def test_blobs_are_fetched_at_once_and_no_more_than_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_FIRST_CONNECTIONS", 3)
    case = make_case([2_000 - number for number in range(9)])
    together = threading.Barrier(3)
    server = Server(case.bodies, at_request=lambda _: together.wait(_PATIENCE))
    check(tmp_path, case, run(tmp_path, case, server, TransferLimits(3)))


def test_in_order_nothing_is_written_before_what_lies_before_it(tmp_path: Path, case: Case) -> None:
    server = Server(case.bodies, {case.digest(0): [Way(breaks_at=4_000)]})
    tar = WatchedTar(tmp_path, case.plan.volumes)
    check(tmp_path, case, run(tmp_path, case, server, TransferLimits(8, in_order=True), tar=tar))
    assert tar.offsets == sorted(tar.offsets)
    assert len(tar.offsets) > sum(_SIZES) // _PIECE


def test_what_broke_off_continues_from_there(tmp_path: Path, case: Case) -> None:
    digest = case.digest(0)
    ways = [Way(breaks_at=100), Way(error=broken()), Way(breaks_at=100), Way(breaks_at=4_000)]
    server, shown = Server(case.bodies, {digest: ways}), Shown()
    check(tmp_path, case, run(tmp_path, case, server, progress=shown))
    assert [start for asked, start in server.requests if asked == digest] == [
        0, 100, 100, 100, 4_000,
    ]  # fmt: skip
    assert shown.done["fetching"] == sum(_SIZES)


def test_a_server_that_gives_blobs_only_whole_begins_again(tmp_path: Path, case: Case) -> None:
    digest = case.digest(0)
    ways = [Way(breaks_at=4_000), Way(breaks_at=2_000, whole=True), Way(whole=True)]
    server, shown = Server(case.bodies, {digest: ways}), Shown()
    check(tmp_path, case, run(tmp_path, case, server, progress=shown))
    assert [start for asked, start in server.requests if asked == digest] == [0, 4_000, 2_000]
    assert shown.done["fetching"] == sum(_SIZES)


def test_a_server_that_gives_blobs_only_whole_and_never_to_the_end_is_given_up(
    tmp_path: Path, case: Case
) -> None:
    server = Server(case.bodies, always=Way(breaks_at=4_000, whole=True))
    with pytest.raises(TemporaryError, match="the connection broke") as caught:
        run(tmp_path, case, server)
    assert "x broke." in caught.value.meaning


def test_a_server_that_sends_little_each_time_is_tolerated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_PROGRESS_BYTES", 5)
    case = make_case([300])
    ways = [Way(breaks_at=number) for number in range(5, 300, 5)]
    server = Server(case.bodies, {case.digest(0): ways}, patience=1)
    check(tmp_path, case, run(tmp_path, case, server))


def test_a_server_that_sends_nothing_is_given_up(tmp_path: Path, case: Case) -> None:
    digest = case.digest(1)
    server = Server(case.bodies, {digest: [Way(error=broken()) for _ in range(_MOST_REQUESTS)]})
    with pytest.raises(TemporaryError, match="the connection broke") as caught:
        run(tmp_path, case, server)
    assert "It was tried " in caught.value.meaning


def test_wrong_bytes_are_fetched_again_from_another_server(tmp_path: Path, case: Case) -> None:
    digest = case.digest(0)
    ways = [Way(wrong=0), Way(wrong=8_999)]
    server, shown = Server(case.bodies, {digest: ways}), Shown()
    check(tmp_path, case, run(tmp_path, case, server, progress=shown))
    assert server.avoided == ["one", "one"]
    assert [start for asked, start in server.requests if asked == digest] == [0, 0, 0]
    assert shown.done["fetching"] == sum(_SIZES)


def test_wrong_bytes_three_times_are_an_integrity_error(tmp_path: Path, case: Case) -> None:
    digest = case.digest(0)
    server = Server(case.bodies, {digest: [Way(wrong=7)] * 3})
    with pytest.raises(IntegrityError, match=f"the bytes served for {digest} are others") as caught:
        run(tmp_path, case, server, TransferLimits(1))
    assert "9000 bytes were stated, and they are sha256:" in caught.value.meaning
    assert [start for asked, start in server.requests if asked == digest] == [0, 0, 0]
    # They are not believed later.
    later = Server(case.bodies)
    check(tmp_path, case, run(tmp_path, case, later))
    assert [start for asked, start in later.requests if asked == digest] == [0]


def test_wrong_bytes_before_a_connection_broke_are_found(tmp_path: Path, case: Case) -> None:
    digest = case.digest(0)
    server = Server(case.bodies, {digest: [Way(wrong=7, breaks_at=5_000), Way()]})
    check(tmp_path, case, run(tmp_path, case, server))
    assert [start for asked, start in server.requests if asked == digest] == [0, 5_000, 0]


def test_who_broke_off_is_blamed_for_wrong_bytes_more_than_who_continued(
    tmp_path: Path, case: Case
) -> None:
    digest = case.digest(0)
    ways = [Way(wrong=7, breaks_at=5_000, server="mirror"), Way(server="registry")]
    server = Server(case.bodies, {digest: ways})
    check(tmp_path, case, run(tmp_path, case, server))
    assert server.avoided == ["registry", "mirror"]  # the last is asked last


def test_bytes_after_the_end_of_a_blob_are_not_taken(tmp_path: Path, case: Case) -> None:
    server = Server(case.bodies, always=Way(more=b"more"))
    check(tmp_path, case, run(tmp_path, case, server, TransferLimits(in_order=True)))
    assert server.avoided == []


def test_overload_is_passed_on_to_the_connections(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[int] = []

    class Watched(Connections):
        def overloaded(self) -> None:
            super().overloaded()
            allowed.append(self.allowed)

    monkeypatch.setattr(fetch, "Connections", Watched)
    monkeypatch.setattr(fetch, "_FIRST_CONNECTIONS", 8)
    ways = {
        case.digest(0): [Way(breaks_at=100, overload=True)],
        case.digest(1): [Way(breaks_at=100)],
        case.digest(2): [Way(error=broken(overload=True))],
    }
    check(tmp_path, case, run(tmp_path, case, Server(case.bodies, ways), TransferLimits(8)))
    assert len(allowed) == 2
    assert allowed[0] == 4


def test_an_error_ends_it_and_what_was_finished_is_kept(tmp_path: Path, case: Case) -> None:
    missing = NotFoundError("there is none")
    first = Server(case.bodies, {case.digest(2): [Way(error=missing)]})
    with pytest.raises(NotFoundError):
        run(tmp_path, case, first, TransferLimits(1))
    second, shown = Server(case.bodies), Shown()
    check(tmp_path, case, run(tmp_path, case, second, progress=shown))
    asked = {digest for digest, _ in second.requests}
    # The last two may have come before it ended.
    assert {case.digest(2)} <= asked <= {case.digest(number) for number in (2, 3, 4)}
    assert shown.done["fetching"] == shown.totals["fetching"] == sum(_SIZES)


def interrupted(folder: Path, case: Case) -> None:
    """A run that ended when it had 5000 bytes of the first blob."""
    ways = [Way(breaks_at=5_000), Way(error=NotFoundError("there is none"))]
    with pytest.raises(NotFoundError):
        run(folder, case, Server(case.bodies, {case.digest(0): ways}), TransferLimits(1))


@pytest.mark.parametrize("pace", [TransferLimits(), TransferLimits(in_order=True)])
def test_a_later_run_continues_within_a_blob(
    tmp_path: Path, case: Case, pace: TransferLimits
) -> None:
    interrupted(tmp_path, case)
    server, shown = Server(case.bodies), Shown()
    tar = WatchedTar(tmp_path, case.plan.volumes)
    check(tmp_path, case, run(tmp_path, case, server, pace, tar=tar, progress=shown))
    assert (case.digest(0), 5_000) in server.requests
    assert shown.done["fetching"] == sum(_SIZES)
    assert not pace.in_order or tar.offsets == sorted(tar.offsets)


@pytest.mark.parametrize("place", [0, 2_500, 4_999])
def test_a_later_run_finds_bytes_that_the_disk_has_damaged(
    tmp_path: Path, case: Case, place: int
) -> None:
    interrupted(tmp_path, case)
    [blob] = [blob for blob in case.plan.to_fetch if blob.digest == case.digest(0)]
    with (tmp_path / "images.tar").open("r+b") as file:
        file.seek(blob.offset + place)
        file.write(bytes([case.tar[blob.offset + place] ^ 1]))
    server, shown = Server(case.bodies), Shown()
    check(tmp_path, case, run(tmp_path, case, server, progress=shown))
    asked = [start for digest, start in server.requests if digest == case.digest(0)]
    assert asked == [5_000, 0]
    assert shown.done["fetching"] == sum(_SIZES)


def test_a_later_run_of_a_finished_tar_fetches_nothing(tmp_path: Path, case: Case) -> None:
    run(tmp_path, case, Server(case.bodies))
    server = Server(case.bodies)
    check(tmp_path, case, run(tmp_path, case, server))
    assert server.requests == []


@pytest.mark.parametrize(
    ("number", "kind", "told"),
    [
        (errno.ENOSPC, SpaceError, "What was fetched is kept"),
        (errno.EFBIG, HostError, "--volume-size"),
        (errno.EIO, HostError, "Input/output error"),
    ],
)
def test_a_disk_that_fails_is_told(
    tmp_path: Path, case: Case, number: int, kind: type[AirgapError], told: str
) -> None:
    tar = WatchedTar(tmp_path, case.plan.volumes)

    def fails() -> None:
        if len(tar.offsets) > 5:
            raise OSError(number, os.strerror(number))

    tar.at_write = fails
    with pytest.raises(kind) as caught:
        run(tmp_path, case, Server(case.bodies), tar=tar)
    assert told in str(caught.value)
    check(tmp_path, case, run(tmp_path, case, Server(case.bodies)))


def test_nobody_waits_for_a_server_that_holds_a_connection(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_GRACE_SECONDS", 0.01)
    held, go_on, ended = case.digest(0), threading.Event(), threading.Event()
    reached = threading.Event()

    class Slow(Server):
        @contextmanager
        def blob(
            self, reference: Reference, digest: str, size: int, start: int
        ) -> Iterator[Stream]:
            try:
                with Server.blob(self, reference, digest, size, start) as stream:
                    if digest == held:
                        reached.set()
                        go_on.wait(_PATIENCE)
                    else:
                        reached.wait(_PATIENCE)
                    yield stream
            finally:
                if digest == held:
                    ended.set()

    slow = Slow(case.bodies, {case.digest(1): [Way(wrong=0)] * 3})
    tar = WatchedTar(tmp_path, case.plan.volumes)
    with pytest.raises(IntegrityError):
        run(tmp_path, case, slow, TransferLimits(2), tar=tar)
    written = len(tar.offsets)
    go_on.set()
    assert ended.wait(_PATIENCE)
    assert len(tar.offsets) == written  # and so nothing to a file that is closed
    check(tmp_path, case, run(tmp_path, case, Server(case.bodies)))


def test_all_threads_end(tmp_path: Path, case: Case) -> None:
    before = set(threading.enumerate())
    run(tmp_path, case, Server(case.bodies))
    (tmp_path / "other").mkdir()
    interrupted(tmp_path / "other", case)
    for thread in set(threading.enumerate()) - before:
        thread.join(_PATIENCE)
        assert not thread.is_alive()


_WAYS = st.builds(
    Way,
    breaks_at=st.none() | st.integers(0, 4_000),
    overload=st.booleans(),
    whole=st.booleans(),
) | st.builds(Way, wrong=st.just(0))


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4_000), min_size=1, max_size=6, unique=True),
    volume_bytes=st.sampled_from([0, 1_000, 5_000]),
    pace=st.builds(TransferLimits, jobs=st.integers(1, 5), in_order=st.booleans()),
    ways=st.lists(st.lists(_WAYS, max_size=4), min_size=6, max_size=6),
)
def test_whatever_goes_wrong_now_and_then_the_tar_is_right_in_the_end(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    volume_bytes: int,
    pace: TransferLimits,
    ways: list[list[Way]],
) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    case = make_case(sorted(sizes, reverse=True), volume_bytes)
    faults = {case.digest(number): list(ways[number]) for number in range(len(sizes))}
    server = Server(case.bodies, faults)
    for _ in range(10):  # each run may end early, and the next continues
        try:
            entries = run(folder, case, server, pace)
        except (TemporaryError, IntegrityError):
            continue
        check(folder, case, entries)
        return
    raise AssertionError(server.requests)


def test_a_later_run_finds_what_the_disk_has_damaged_of_a_finished_blob(
    tmp_path: Path, case: Case
) -> None:
    run(tmp_path, case, Server(case.bodies))
    blob = case.plan.to_fetch[0]
    path = tmp_path / "images.tar"
    data = bytearray(path.read_bytes())
    data[blob.offset] ^= 1
    path.write_bytes(data)
    check(tmp_path, case, run(tmp_path, case, Server(case.bodies)))
