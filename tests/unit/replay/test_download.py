"""One download serves all who ask meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from airgap.errors import AirgapError, UpstreamError
from airgap.limits import MIB
from airgap.oci.digest import digest_of
from airgap.replay.download import Download, Upstream
from airgap.store.store import NewBlob, Store


class Slow:
    """A body that comes when the test lets it."""

    def __init__(self, *pieces: bytes, error: AirgapError | None = None) -> None:
        self.more = threading.Semaphore(0)
        self._pieces, self._error = pieces, error

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.more.acquire()
            yield piece
        self.more.acquire()
        if self._error:
            raise self._error


def publish(_: Upstream, blob: NewBlob) -> None:
    blob.publish()


def start(
    download: Download, store: Store, body: Slow, size: int | None = None
) -> threading.Thread:
    def run() -> None:
        failure = None
        try:
            download.run(lambda: Upstream(200, (), size, iter(body)), store, publish)
        except AirgapError as error:
            failure = error
        download.end(failure)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_all_get_all_at_their_own_pace(store: Store) -> None:
    download, body = Download(), Slow(b"one", b"two")
    thread = start(download, store, body)
    clients = []
    for _ in range(2):
        download.join()
        answer = download.answer(head=False)
        clients.append(answer)
    body.more.release()
    assert next(clients[0].body) == b"one"
    body.more.release(2)
    thread.join()
    assert b"".join(clients[0].body) == b"two"
    assert b"".join(clients[1].body) == b"onetwo"  # from what is in the store by now
    assert store.has_blob(digest_of(b"onetwo"), 6)
    for client in clients:
        client.close()
    assert download.wait(0)


def test_who_waits_for_a_body_that_breaks_off_is_told(store: Store) -> None:
    download, body = Download(), Slow(b"one", error=UpstreamError("broke"))
    thread = start(download, store, body)
    download.join()
    answer = download.answer(head=False)
    body.more.release()
    assert next(answer.body) == b"one"
    body.more.release()
    with pytest.raises(UpstreamError, match="broke"):
        next(answer.body)
    answer.close()
    thread.join()
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_a_server_that_does_not_answer_fails_all_who_wait() -> None:
    download = Download()

    download.join()
    download.end(UpstreamError("no"))
    with pytest.raises(UpstreamError, match="no"):
        download.answer(head=True)


def endless() -> Iterator[bytes]:
    while True:
        yield bytes(MIB)


def test_an_endless_body_that_nobody_reads_is_given_up(store: Store) -> None:
    download = Download()
    download.join()
    left = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"first"
        left.wait()
        yield from endless()

    failed: list[AirgapError] = []

    def run() -> None:
        try:
            download.run(lambda: Upstream(200, (), None, pieces()), store, publish)
        except AirgapError as error:
            failed.append(error)
        download.end(None)

    thread = threading.Thread(target=run)
    thread.start()
    answer = download.answer(head=False)
    assert next(answer.body) == b"first"
    answer.close()
    left.set()
    thread.join()
    assert "did not read it" in failed[0].message
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_a_file_that_was_begun_and_left_comes_to_its_end(store: Store) -> None:
    download, body = Download(), Slow(b"one", b"two")
    thread = start(download, store, body)
    download.join()
    answer = download.answer(head=False)
    answer.close()
    body.more.release(3)
    thread.join()
    assert store.has_blob(digest_of(b"onetwo"), 6)


def test_who_joined_is_answered_even_after_the_end(store: Store) -> None:
    download, body = Download(), Slow(b"one")
    download.join()
    body.more.release(2)
    start(download, store, body).join()
    answer = download.answer(head=False)
    assert b"".join(answer.body) == b"one"
    answer.close()


def test_the_head_alone_has_all_fetched(store: Store) -> None:
    download, body = Download(), Slow(b"one")
    thread = start(download, store, body, size=3)
    download.join()
    answer = download.answer(head=True)
    assert answer.size == 3
    answer.close()
    body.more.release(2)
    thread.join()
    assert store.has_blob(digest_of(b"one"), 3)
