"""Heads, chunks and trailers without an end: from a server on loopback, one byte after another."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import pytest
import requests

from airgap.errors import AirgapError
from airgap.isolated.host import registry_probe
from airgap.oci.blob_reader import read_document
from airgap.oci.connection import Connection
from airgap.oci.credentials import Credentials
from airgap.oci.registries import Endpoint
from airgap.oci.retry import TemporaryError
from airgap.oci.session import new_session

_TIMEOUT = 0.4
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_WHY = "timed out|does not end|too long|more than 100 headers"
_SLOW = 0.05
"""Seconds between the bytes: each comes long before the time-out of a socket."""


def forever(piece: bytes) -> Iterator[bytes]:
    return itertools.repeat(piece)


def after(head: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    return itertools.chain([head], pieces)


class Server:
    """Answers each connection with pieces, some seconds apart, while somebody reads them."""

    def __init__(self, pieces: Iterable[bytes], seconds: float) -> None:
        self._pieces, self._seconds = list(itertools.islice(pieces, 200_000)), seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._answer, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(65536)
            for piece in self._pieces:
                if self._stop.wait(self._seconds):
                    return
                connection.sendall(piece)


@contextmanager
def serving(pieces: Iterable[bytes], seconds: float = 0) -> Iterator[str]:
    server = Server(pieces, seconds)
    try:
        yield server.address
    finally:
        server.stop()


def ask(address: str) -> requests.Response:
    endpoint = Endpoint("a.internal", address, "app", http=True)
    connection = Connection(Credentials(), _TIMEOUT)
    try:
        return connection.send("GET", endpoint, f"http://{address}/v2/", {})
    finally:
        connection.close()


Endless = tuple[Callable[[], Iterator[bytes]], float]

HEADS: dict[str, Endless] = {
    "1xx": (lambda: forever(b"HTTP/1.1 100 Continue\r\n\r\n"), 0),
    "slow 1xx": (lambda: forever(b"HTTP/1.1 100 Continue\r\n\r\n"), _SLOW),
    "hints": (lambda: forever(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), 0),
    "hints without an end": (
        lambda: after(b"HTTP/1.1 103 Early Hints\r\n", forever(b"Link: </a>\r\n")),
        0,
    ),
    "1xx with headers": (lambda: forever(b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n"), 0),
    "slow status": (lambda: after(b"HTTP/1.1 200 ", forever(b"x")), _SLOW),
    "slow name": (lambda: after(b"HTTP/1.1 200 OK\r\n", forever(b"x")), _SLOW),
    "slow value": (lambda: after(b"HTTP/1.1 200 OK\r\nA: ", forever(b"x")), _SLOW),
    "slow headers": (lambda: after(b"HTTP/1.1 200 OK\r\n", forever(b"A: b\r\n")), _SLOW),
    "many headers": (lambda: after(b"HTTP/1.1 200 OK\r\n", forever(b"A: b\r\n")), 0),
    "large headers": (
        lambda: after(b"HTTP/1.1 200 OK\r\n", forever(b"A: %s\r\n" % (b"x" * 60_000))),
        0,
    ),
}


@pytest.mark.parametrize("kind", list(HEADS))
def test_a_head_without_an_end_is_given_up(kind: str) -> None:
    pieces, seconds = HEADS[kind]
    with serving(pieces(), seconds) as address, pytest.raises(TemporaryError, match=_WHY):
        ask(address)


@pytest.mark.parametrize("kind", ["slow headers", "many headers"])
def test_whoever_has_the_port_of_a_registry_of_this_host_does_not_block(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_probe, "_SECONDS", _TIMEOUT)
    pieces, seconds = HEADS[kind]
    with serving(pieces(), seconds) as address:
        assert not registry_probe.is_served(address)


BODIES: dict[str, Endless] = {
    "slow chunk extension": (lambda: after(_CHUNKED + b"5;", forever(b"x")), _SLOW),
    "slow chunk size": (lambda: after(_CHUNKED, forever(b"0")), _SLOW),
    "trailers": (lambda: after(_CHUNKED + b"0\r\n", forever(b"A: b\r\n")), 0),
    "slow trailers": (lambda: after(_CHUNKED + b"0\r\n", forever(b"A: b\r\n")), _SLOW),
    "slow trailer": (lambda: after(_CHUNKED + b"0\r\nA: ", forever(b"x")), _SLOW),
    "slow second chunk": (lambda: after(_CHUNKED + b"1\r\nx\r\n1;", forever(b"x")), _SLOW),
}


@pytest.mark.parametrize("kind", list(BODIES))
def test_lines_in_a_body_without_an_end_are_given_up(kind: str) -> None:
    pieces, seconds = BODIES[kind]
    with serving(pieces(), seconds) as address:
        response = ask(address)
        with response, pytest.raises(TemporaryError, match=_WHY):
            read_document(response, "it", 1_000, _TIMEOUT)


@pytest.mark.parametrize("kind", ["slow value", "1xx", "slow chunk extension", "trailers"])
def test_a_token_server_is_bounded_too(kind: str) -> None:
    pieces, seconds = (HEADS | BODIES)[kind]
    with serving(pieces(), seconds) as token:
        challenge = (
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n"
            f'WWW-Authenticate: Bearer realm="http://{token}/"\r\n\r\n'
        )
        with serving([challenge.encode()]) as address, pytest.raises(AirgapError, match=_WHY):
            ask(address)


def test_a_redirect_to_such_a_server_is_bounded_too() -> None:
    with serving(forever(b"HTTP/1.1 100 Continue\r\n\r\n"), _SLOW) as slow:
        head = f"HTTP/1.1 302 Found\r\nLocation: http://{slow}/\r\nContent-Length: 0\r\n\r\n"
        with serving([head.encode()]) as address, pytest.raises(TemporaryError, match=_WHY):
            ask(address)


def test_a_proxy_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(after(b"HTTP/1.1 200 ", forever(b"x")), _SLOW) as address:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
        monkeypatch.setenv("HTTP_PROXY", f"http://{address}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        for scheme in ("http", "https"):
            with (
                new_session(Endpoint("a.invalid", "a.invalid", "app")) as session,
                pytest.raises(requests.RequestException, match=_WHY),
            ):
                session.get(f"{scheme}://a.invalid/", timeout=_TIMEOUT, stream=True)


def test_an_answer_in_small_pieces_with_1xx_and_trailers_is_read() -> None:
    answer = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        + _CHUNKED
        + b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in [b"hello ", b"world"])
        + b"0\r\nA: b\r\n\r\n"
    )
    pieces = [answer[place : place + 1] for place in range(len(answer))]
    with serving(pieces) as address, ask(address) as response:
        assert read_document(response, "it", 1_000, 5) == b"hello world"


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Hints", "199 X"])
def test_what_precedes_an_answer_is_not_taken_for_it(status: str) -> None:
    """The answer itself would be taken for that to the next request of the connection."""
    hints = f"HTTP/1.1 {status}\r\nLink: </a>\r\n\r\n".encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    with serving([hints * 2, answer], _SLOW) as address, ask(address) as response:
        assert response.status_code == requests.codes.ok
        assert read_document(response, "it", 1_000, 5) == b"hello"


def test_no_other_protocol_is_taken_up() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"
    with serving([head]) as address, pytest.raises(AirgapError, match="another protocol"):
        ask(address)


def test_many_chunks_are_no_head_without_an_end() -> None:
    chunks = b"1\r\nx\r\n" * 5_000 + b"0\r\n\r\n"
    with serving([_CHUNKED + chunks]) as address, ask(address) as response:
        assert read_document(response, "it", 10_000, 5) == b"x" * 5_000
