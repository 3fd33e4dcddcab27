"""Replay over real connections: HTTP as clients need it, damage, load, memory."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from airgap.errors import AirgapError
from airgap.limits import LIMITS
from airgap.oci.digest import digest_of
from airgap.replay.headers import Headers
from airgap.replay.recording import RecordedResponse, Recording
from airgap.replay.replay import Replay
from airgap.replay.request import RequestKey
from airgap.replay.responses import Response, text_answer
from airgap.replay.server import Server
from airgap.store import layout
from airgap.store.store import Store
from tests.integration.website import Visit, get, raw, website

BODY = bytes(range(256)) * 4096 * 3
ETAG = ("ETag", '"x"')
STRANGERS = 1100
PATH = "/https/h:443/file"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def recorded(store: Store, bodies: dict[str, bytes], status: int = 200) -> Recording:
    responses = {}
    for path, body in bodies.items():
        asked = RequestKey(f"https://h/{path}")
        store.write_blob(digest_of(body), [body])
        responses[asked.key] = RecordedResponse(
            asked.key, asked.shown, status, (ETAG,), digest_of(body), len(body)
        )
    return Recording(responses)


@pytest.fixture
def served(store: Store) -> Iterator[Server]:
    with Server(Replay(store, [recorded(store, {"file": BODY, "small": b"abc"})])) as server:
        yield server


def test_add_works_twice(served: Server) -> None:
    """What BuildKit's source/http/source.go asks: GET, and next time HEAD with the ETag."""
    sent = {"User-Agent": "buildkit/v0.32", "If-None-Match": '"x"', "Accept-Encoding": "gzip"}
    assert get(served.base, PATH, {"User-Agent": "buildkit/v0.32"}).body == BODY
    head = get(served.base, PATH, sent, "HEAD")
    assert (head.status, head.headers["ETag"], head.body) == (200, '"x"', b"")
    assert head.headers["Content-Length"] == str(len(BODY))
    again = get(served.base, PATH, sent)
    assert (again.status, again.body) == (200, BODY)


def test_one_connection_carries_many_requests(served: Server) -> None:
    address, _, first = served.base.partition("/")
    connection = http.client.HTTPConnection(address, timeout=20)
    for method, path, status in (
        ("GET", "/https/h/small", 200),
        ("HEAD", "/https/h/small", 200),
        ("GET", "/https/h/missing", 403),
        ("GET", "/https/h/small", 200),
    ):
        connection.request(method, f"/{first}{path}")
        response = connection.getresponse()
        response.read()
        assert (response.status, response.will_close) == (status, False)
    connection.close()


def test_a_miss_says_so_in_the_status_line(served: Server) -> None:
    got = get(served.base, "/https/h/missing")
    assert (got.status, got.reason) == (403, "Not in the recording")
    assert got.headers["Airgap-Miss"] == "1"
    assert got.body.startswith(b"https://h/missing is not in the recording")


def test_resuming_clients_get_the_rest(served: Server) -> None:
    got = get(served.base, PATH, {"Range": "bytes=1000000-"})
    assert (got.status, got.body) == (206, BODY[1_000_000:])
    assert got.headers["Content-Range"] == f"bytes 1000000-{len(BODY) - 1}/{len(BODY)}"


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("position", [0, len(BODY) // 2, len(BODY) - 1])
def test_damage_cuts_the_connection(store: Store, position: int, version: bytes) -> None:
    replay = Replay(store, [recorded(store, {"file": BODY})])
    path = store.root / layout.blob_data(digest_of(BODY))
    changed = bytearray(BODY)
    changed[position] ^= 1
    path.write_bytes(changed)
    with Server(replay) as server:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            get(server.base, PATH)
        got = raw(server.base, b"GET %b HTTP/%b\r\n\r\n" % (PATH.encode(), version))
        assert len(got.partition(b"\r\n\r\n")[2]) < len(BODY)
    assert ["install DIR --repair" in error.why for error in replay.errors] == [True]


def test_fifty_connections_at_once(served: Server) -> None:
    opened = [http.client.HTTPConnection(served.address, timeout=30) for _ in range(50)]
    for connection in opened:
        connection.connect()
    for connection in opened:
        connection.request("GET", f"/{served.base.partition('/')[2]}{PATH}")
    answers = [connection.getresponse() for connection in opened]
    assert all(answer.read() == BODY for answer in answers)
    for connection in opened:
        connection.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /https/h/small HTTP/0.9\r\n\r\n", b""),
        (b"GET /https/h/small HTTP/2.0\r\n\r\n", b"505"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"505"),
        (b"POST /https/h/small HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"BREW /https/h/small HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /https/h/small HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"400"),
        (b"GET /https/h/small HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (
            b"GET /https/h/small HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 3\r\n\r\nabc",
            b"400",
        ),
        (b"GET /https/h/small HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc", b"400"),
        (b"GET /https/h/small HTTP/1.1\r\nno header\r\nContent-Length: 3\r\n\r\nabc", b"400"),
        (b"GET /https/h/" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /https/h/" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /https/h/small HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /https/h/small HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET /https/h/\xff\xfe HTTP/1.1\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_proper_request_is_refused(served: Server, sent: bytes, status: bytes) -> None:
    got = raw(served.base, sent)
    line = got.partition(b"\r\n")[0]
    assert b"abc" not in got
    assert line.startswith(b"HTTP/1.1 " + status) if status else not line.startswith(b"HTTP/1.1 2")
    assert got.count(b"HTTP/1.1 ") <= 1
    assert get(served.base, "/https/h/small").body == b"abc"


class Wrong:
    """Answers that a server must not pass for whole."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def answer(self, asked: RequestKey, sent: Headers, user: str) -> Response:
        kind = asked.url.rpartition("/")[2]
        if kind == "error":
            raise AirgapError("cannot", remedy="do this")
        if kind == "text":
            return text_answer(200, "text")
        pieces = {"short": [b"ab"], "long": [b"ab", b"cd"], "open": [b"ab", b"", b"cd"]}
        body = self.failing() if kind == "fails" else iter(pieces[kind])
        size = None if kind in ("open", "fails") else 3
        return Response(200, (), body, size, close=self.closed.set)

    def failing(self) -> Iterator[bytes]:
        yield b"ab"
        raise AirgapError("it broke")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("kind", [b"short", b"long", b"fails"])
def test_a_body_of_another_size_never_ends_well(kind: bytes, version: bytes) -> None:
    with Server(wrong := Wrong()) as server:
        got = raw(server.base, b"GET /https/h/%b HTTP/%b\r\n\r\n" % (kind, version))
        assert b"0\r\n\r\n" not in got.partition(b"\r\n\r\n")[2]
        assert wrong.closed.wait(20)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            get(server.base, f"/https/h/{kind.decode()}")


def test_a_body_of_unknown_size_and_an_error_are_answers() -> None:
    with Server(Wrong()) as server:
        assert get(server.base, "/https/h/open").body == b"abcd"
        old = raw(server.base, b"GET /https/h/open HTTP/1.0\r\n\r\n")
        assert old.endswith(b"Connection: close\r\n\r\nabcd")
        got = get(server.base, "/https/h/error")
        assert (got.status, got.body) == (502, b"cannot\n  -> do this\n")


class Broken:
    def answer(self, asked: RequestKey, sent: Headers, user: str) -> Response:
        raise ZeroDivisionError


def test_a_fault_of_the_program_is_not_swallowed(capfd: pytest.CaptureFixture[str]) -> None:
    server = Server(Broken()).__enter__()
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        get(server.base, "/https/h/x")
    with pytest.raises(ZeroDivisionError):
        server.__exit__()
    assert capfd.readouterr().err == ""


def test_clients_that_say_nothing_are_let_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.replay.server._Exchange.timeout", 0.1)
    with Server(Replay(store, [])) as server:
        for sent in (b"", b"GET /https/h/x HTTP/1.1\r\nHost: h\r\n"):
            assert raw(server.base, sent) == b""


def test_idle_strangers_make_room_for_builds(served: Server) -> None:
    host, _, port = served.address.partition(":")
    with ExitStack() as opened:
        builds = [opened.enter_context(closing(Client(served.base))) for _ in range(20)]
        for build in builds:
            assert build.get("/https/h/small") == (200, b"abc")
        strangers = [
            opened.enter_context(socket.create_connection((host, int(port)), timeout=20))
            for _ in range(STRANGERS)
        ]
        for stranger in strangers[::2]:
            with suppress(OSError):  # it has made room
                stranger.sendall(b"GET /airgap/https/h/small HTTP/1.1\r\nHost: h\r\n")
        for build in builds:
            assert build.get("/https/h/small") == (200, b"abc")
        assert get(served.base, PATH).body == BODY
        assert strangers[0].recv(100) == b""
        assert threading.active_count() < LIMITS.replay_connections


def test_more_connections_of_builds_than_are_kept_have_answers(served: Server) -> None:
    with ExitStack() as opened:
        for _ in range(LIMITS.replay_connections + 50):
            build = opened.enter_context(closing(Client(served.base)))
            assert build.get("/https/h/small") == (200, b"abc")


def test_a_burst_of_builds_is_answered(served: Server) -> None:
    """As many at once as strangers are kept, each with its first request."""
    got: list[int] = []
    clients = [
        threading.Thread(target=lambda: got.append(get(served.base, "/https/h/small").status))
        for _ in range(LIMITS.replay_strangers)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert got == [200] * LIMITS.replay_strangers


def test_a_refused_request_does_not_repeat_the_secret_path(served: Server) -> None:
    first = served.base.partition("/")[2].encode()
    for sent in (b"GET /https/h/\xff HTTP/1.1\r\n\r\n", b"GET /x y z\r\n\r\n", b"GET /\r\n\r\n"):
        assert first not in raw(served.base, sent)


def test_the_port_can_be_chosen_and_is_free_again(store: Store) -> None:
    with Server(Replay(store, [])) as first:
        port = int(first.address.rpartition(":")[2])
        waiting = http.client.HTTPConnection(first.address, timeout=20)
        waiting.connect()
        with pytest.raises(OSError, match="in use"):
            Server(Replay(store, []), port=port)
    with Server(Replay(store, []), port=port) as second:
        assert second.address == first.address
        assert get(second.base, "/https/h/x").status == 403
    waiting.close()


def test_clients_that_go_away_are_no_news(
    served: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(5):
        connection = http.client.HTTPConnection(served.address, timeout=20)
        connection.request("GET", f"/{served.base.partition('/')[2]}{PATH}")
        connection.getresponse().read(10)
        connection.close()
    assert get(served.base, "/https/h/small").body == b"abc"
    assert capfd.readouterr() == ("", "")


class Client:
    """A build that keeps its connection."""

    def __init__(self, base: str) -> None:
        address, _, self._first = base.partition("/")
        self._connection = http.client.HTTPConnection(address, timeout=30)

    def get(self, path: str) -> tuple[int, bytes]:
        self._connection.request("GET", f"/{self._first}{path}")
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        self._connection.close()


GIGABYTE = 1_000_000_000
MEMORY = """
import json, resource, sys
from pathlib import Path
from airgap.replay.recorder import Recorder, upstream_session
from airgap.replay.replay import Replay
from airgap.replay.server import Server
from airgap.store.store import Store

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def say(text):
    print(json.dumps(text), flush=True)
    sys.stdin.readline()

store = Store(Path(sys.argv[1]))
recorder = Recorder(store, upstream_session())
with Server(recorder) as server:
    before = most()
    say(server.base)
recording = recorder.recording()
replay = Replay(store, [recording])
with Server(replay) as server:
    say(server.base)
say({"grown": most() - before, "sizes": [one.size for one in recording.responses.values()]})
"""


def test_a_gigabyte_streams_with_flat_memory(store: Store) -> None:
    block = bytes(range(256)) * 4096

    def page(visit: Visit) -> None:
        visit.head(200, length=GIGABYTE)
        left = GIGABYTE
        while left:
            left -= visit.wfile.write(memoryview(block)[:left])

    with (
        website(page) as site,
        subprocess.Popen(
            [sys.executable, "-c", MEMORY, str(store.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        for _ in ("recorded", "replayed"):
            address = json.loads(process.stdout.readline())
            assert drained(address, f"/http/{site.address}/big") == GIGABYTE
            process.stdin.write("\n")
            process.stdin.flush()
        result = json.loads(process.stdout.readline())
    assert result["sizes"] == [GIGABYTE]
    assert result["grown"] < 64 << 20
    assert site.paths == ["/big"]


def drained(server: str, path: str) -> int:
    """How many bytes an answer has."""
    address, _, first = server.partition("/")
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", f"/{first}{path}")
    response, count = connection.getresponse(), 0
    while piece := response.read(1 << 20):
        count += len(piece)
    connection.close()
    return count
