"""One download serves all who ask meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import pytest

from airgap.errors import UpstreamError
from airgap.limits import MIB
from airgap.oci.digest import digest_of
from airgap.replay.download import Download, Upstream
from airgap.replay.responses import Response
from airgap.store.store import BlobWriter, Store


class Slow:
    """A body that comes when the test lets it."""

    def __init__(self, *pieces: bytes, error: BaseException | None = None) -> None:
        self.asked, self.more = threading.Semaphore(0), threading.Semaphore(0)
        self._pieces, self._error = pieces, error

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._wait()
            yield piece
        self._wait()
        if self._error:
            raise self._error

    def _wait(self) -> None:
        self.asked.release()
        assert self.more.acquire(timeout=20)


def publish(_: Upstream, blob: BlobWriter) -> None:
    blob.publish()


def download_of(store: Store, body: Iterable[bytes], size: int | None = None) -> Download:
    return Download(lambda: Upstream(200, (), size, iter(body)), store, publish)


def joined(download: Download, *, head: bool = False) -> Response:
    download.join()
    return download.answer(head=head)


def test_all_get_all_at_their_own_pace(store: Store) -> None:
    body = Slow(b"one", b"two")
    download = download_of(store, body)
    clients = [joined(download) for _ in range(2)]
    body.more.release(3)
    assert next(clients[0].body) == b"one"
    assert next(clients[1].body) == b"one"
    assert b"".join(clients[1].body) == b"two"
    assert b"".join(clients[0].body) == b"two"  # from what is in the store
    assert store.has_blob(digest_of(b"onetwo"), 6)
    for client in clients:
        client.close()
    assert download.wait(0)


def test_who_waits_for_a_piece_gets_it_when_another_client_fetched_it(store: Store) -> None:
    body = Slow(b"one")
    download = download_of(store, body)
    clients = [joined(download) for _ in range(5)]
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda client=client: got.append(b"".join(client.body)))
        for client in clients
    ]
    for thread in threads:
        thread.start()
    assert body.asked.acquire(timeout=20)
    assert not body.asked.acquire(blocking=False)  # one asks for all
    body.more.release(2)
    for thread, client in zip(threads, clients, strict=True):
        thread.join()
        client.close()
    assert got == [b"one"] * 5


@pytest.mark.parametrize("error", [UpstreamError("broke"), KeyboardInterrupt("broke")])
def test_all_are_told_of_a_body_that_breaks_off(store: Store, error: BaseException) -> None:
    body = Slow(b"one", error=error)
    ended: list[BaseException | None] = []
    download = Download(lambda: Upstream(200, (), None, iter(body)), store, publish, ended.append)
    clients = [joined(download) for _ in range(2)]
    body.more.release(2)
    assert next(clients[0].body) == b"one"
    for client in clients:
        with pytest.raises(type(error), match="broke"):
            list(client.body)
        client.close()
    assert ended == [error]
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_a_server_that_does_not_answer_fails_all_who_wait(store: Store) -> None:
    def ask() -> Upstream:
        raise UpstreamError("no")

    download = Download(ask, store, publish)
    download.join()
    download.join()
    for _ in range(2):
        with pytest.raises(UpstreamError, match="no"):
            download.answer(head=True)


def endless() -> Iterator[bytes]:
    yield b"first"
    while True:
        yield bytes(MIB)


def test_an_endless_body_that_nobody_reads_is_given_up(store: Store) -> None:
    ended: list[BaseException | None] = []
    download = Download(lambda: Upstream(200, (), None, endless()), store, publish, ended.append)
    answer = joined(download)
    assert next(answer.body) == b"first"
    answer.close()
    assert download.wait(20)
    assert "did not read it" in str(ended[0])
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_a_file_that_was_begun_and_left_comes_to_its_end(store: Store) -> None:
    body = Slow(b"one", b"two")
    download = download_of(store, body)
    joined(download).close()
    body.more.release(3)
    assert download.wait(20)
    assert store.has_blob(digest_of(b"onetwo"), 6)


def test_who_comes_back_reads_what_a_thread_continues_with(store: Store) -> None:
    body = Slow(b"one", b"two")
    download = download_of(store, body)
    for _ in range(3):
        joined(download).close()
    answer = joined(download)
    body.more.release(3)
    assert b"".join(answer.body) == b"onetwo"
    answer.close()


def test_who_joined_is_answered_even_after_the_end(store: Store) -> None:
    body = Slow(b"one")
    body.more.release(2)
    download = download_of(store, body)
    download.join()
    first = joined(download)
    assert b"".join(first.body) == b"one"
    first.close()
    second = download.answer(head=False)
    assert b"".join(second.body) == b"one"
    second.close()


def test_the_head_alone_has_all_fetched(store: Store) -> None:
    body = Slow(b"one")
    download = download_of(store, body, size=3)
    answer = joined(download, head=True)
    assert answer.size == 3
    answer.close()
    body.more.release(2)
    assert download.wait(20)
    assert store.has_blob(digest_of(b"one"), 3)


def test_a_stopped_one_ends_with_its_next_piece(store: Store) -> None:
    body = Slow(b"one", b"two")
    download = download_of(store, body)
    joined(download).close()
    download.stop()
    body.more.release()
    assert download.wait(20)
    assert [path for path in store.root.rglob("*") if path.is_file()] == []
