"""The body of a blob: whole, too short, broken off, crawling; from memory, without a server."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3 import HTTPResponse

from airgap.oci.blob_reader import BlobReader, starts_at
from airgap.oci.retry import TemporaryError
from airgap.oci.stall import Speed

BODY = bytes(range(256)) * 20


class Body(io.BytesIO):
    """What comes from the server, in pieces of at most so many bytes; then perhaps an error.

    Attributes:
        asked: How much was asked for, each time.
    """

    def __init__(self, data: bytes, piece: int = 1 << 20, error: Exception | None = None) -> None:
        super().__init__(data)
        self.asked: list[int] = []
        self._piece, self._error = piece, error
        self.wait: Callable[[], None] = lambda: None

    def read(self, most: int | None = -1, /) -> bytes:
        size = self._piece if most is None or most < 0 else most
        self.asked.append(size)
        self.wait()
        data = super().read(min(size, self._piece))
        if not data and self._error:
            raise self._error
        return data

    read1 = read


def reader(body: Body, start: int = 0, size: int = len(BODY)) -> BlobReader:
    response = requests.Response()
    response.status_code = 206 if start else 200
    response.raw = HTTPResponse(body, {}, response.status_code, preload_content=False)
    return BlobReader(response, "the layer", "a.internal", start, size, Speed("the layer", 30))


def read_all(blob: BlobReader, most: int = 1 << 20) -> bytes:
    return b"".join(iter(lambda: blob.read(most), b""))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6_000), st.integers(1, 6_000), st.integers(0, len(BODY)))
def test_a_body_is_read_to_its_end_however_it_comes(piece: int, most: int, start: int) -> None:
    blob = reader(Body(BODY[start:], piece), start)
    pieces = list(iter(lambda: blob.read(most), b""))
    assert b"".join(pieces) == BODY[start:]
    assert all(len(one) <= most for one in pieces)
    assert (blob.start, blob.server) == (start, "a.internal")


def test_after_the_end_there_is_nothing() -> None:
    blob = reader(Body(BODY))
    read_all(blob)
    assert blob.read() == b""


@pytest.mark.parametrize("start", [0, 100])
def test_too_few_bytes_are_a_connection_that_broke(start: int) -> None:
    blob = reader(Body(BODY[start:-7]), start)
    with pytest.raises(TemporaryError, match=r"broke while the layer was read \(7 bytes are"):
        read_all(blob)


@pytest.mark.parametrize(
    "error", [ConnectionResetError(104, "reset"), TimeoutError("timed out"), OSError(5, "I/O")]
)
def test_a_connection_that_breaks_keeps_what_came(error: Exception) -> None:
    blob = reader(Body(BODY[:100], error=error))
    assert blob.read() == BODY[:100]
    with pytest.raises(TemporaryError, match="the connection broke while the layer was read"):
        blob.read()
    blob.close()


def test_more_bytes_than_stated_are_left_to_the_caller() -> None:
    blob = reader(Body(BODY), size=100)
    assert read_all(blob) == BODY
    blob.close()


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def tick(self) -> None:
        self.now += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def test_a_connection_that_crawls_is_given_up(clock: Clock) -> None:
    body = Body(BODY, piece=10)
    body.wait = clock.tick
    blob = reader(body)
    with pytest.raises(TemporaryError, match="too slowly: 300 bytes in 30 s") as caught:
        read_all(blob)
    assert caught.value.overload


def test_a_connection_that_crawls_after_a_quick_start_is_given_up_too(clock: Clock) -> None:
    size = 1 << 20
    body = Body(bytes(size))
    blob = reader(body, size=size)
    blob.read(size // 2)
    body.wait = clock.tick
    with pytest.raises(TemporaryError, match="too slowly"):
        for _ in range(2 * 512 + 60):  # what came quickly counts for a while
            blob.read(1)


def test_a_caller_that_is_slow_on_purpose_is_not_the_servers_fault(clock: Clock) -> None:
    blob = reader(Body(BODY, piece=10))
    while blob.read():
        clock.now += 60


def test_a_kibibyte_a_second_is_quick_enough(clock: Clock) -> None:
    size = 100 << 10
    body = Body(bytes(size), piece=1024)
    body.wait = clock.tick
    assert len(read_all(reader(body, size=size))) == size
    assert clock.now >= 1100


def test_the_last_bytes_are_taken_however_late(clock: Clock) -> None:
    blob = reader(Body(b"last"), size=4)
    clock.now += 100
    assert blob.read() == b"last"


def test_closing_after_all_bytes_finds_the_end_so_that_the_connection_can_be_used_again() -> None:
    body = Body(BODY)
    blob = reader(body)
    while len(body.getbuffer()) != body.tell():
        blob.read()
    asked = len(body.asked)
    blob.close()
    assert body.asked[asked:] == [1]


def test_closing_earlier_reads_nothing_more() -> None:
    body = Body(BODY)
    blob = reader(body)
    blob.read(100)
    asked = len(body.asked)
    blob.close()
    assert len(body.asked) == asked


def test_an_end_that_does_not_come_is_no_error_where_all_bytes_are_there() -> None:
    blob = reader(Body(BODY, error=ConnectionResetError(104, "reset")))
    assert blob.read() == BODY
    blob.close()


def with_range(value: str | None) -> requests.Response:
    response = requests.Response()
    response.status_code = 206
    if value is not None:
        response.headers["Content-Range"] = value
    return response


@given(st.data(), st.integers(1, 1 << 50))
def test_the_range_that_was_asked_for_is_known(data: st.DataObject, size: int) -> None:
    start = data.draw(st.integers(0, size - 1))
    assert starts_at(with_range(f"bytes {start}-{size - 1}/{size}"), start, size)
    assert starts_at(with_range(f" bytes {start}-{size - 1}/* "), start, size)


@given(st.data(), st.integers(2, 1 << 20), *[st.integers(0, 1 << 20)] * 3)
def test_any_other_range_is_not_what_was_asked_for(
    data: st.DataObject, size: int, first: int, last: int, total: int
) -> None:
    start = data.draw(st.integers(1, size - 1))
    right = (first, last, total) == (start, size - 1, size)
    assert starts_at(with_range(f"bytes {first}-{last}/{total}"), start, size) is right


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "bytes */10",
        "bytes 5-9",
        "bytes=5-9/10",
        "items 5-9/10",
        "bytes 5-9/10, 5-9/10",
        "bytes -5-9/10",
        "bytes \u0665-9/10",
        "bytes 5-8/10",
        "bytes 5-9/11",
        "bytes 0-9/10",
        f"bytes {'0' * 5_000}5-9/10",
        f"bytes 5-{'9' * 5_000}/10",
    ],
)
def test_a_strange_range_is_not_one(value: str | None) -> None:
    assert not starts_at(with_range(value), 5, 10)


@given(st.text(max_size=30))
def test_no_header_raises(value: str) -> None:
    assert not starts_at(with_range(value), 5, 10) or value.strip() == "bytes 5-9/10"
