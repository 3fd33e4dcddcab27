"""The recorder against real servers: what it asks, keeps, leaves out, and never shows."""

from __future__ import annotations

import dataclasses
import gzip
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import pytest
import trustme

from airgap.limits import LIMITS
from airgap.oci.digest import digest_of
from airgap.replay.recorder import Recorder, upstream_session
from airgap.replay.recording import Recording, parse_recording
from airgap.replay.replay import Replay
from airgap.replay.request import RequestKey
from airgap.replay.server import Server
from airgap.store.store import Store
from tests.integration.website import Got, Page, Visit, Website, get, website

BODY = b"what is downloaded" * 1000
CANARY = "CANARYcanary0123456789"
IN_BASE64 = b64encode(f"me:{CANARY}".encode()).decode()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


class Build:
    """A build that is recorded: it asks through the recorder's server, by paths of the site."""

    def __init__(self, recorder: Recorder, server: Server, site: Website) -> None:
        self.recorder, self.server, self.site = recorder, server, site

    @property
    def path(self) -> str:
        """The first part of the paths that the server answers."""
        return "/" + self.server.base.partition("/")[2]

    def get(self, path: str, method: str = "GET", **named: str) -> Got:
        sent = {name.replace("_", "-"): value for name, value in named.items()}
        return get(self.server.base, f"/http/{self.site.address}{path}", sent, method)

    def follow(self, path: str, **named: str) -> Got:
        """Follows redirects as curl does: credentials go to the same host alone."""
        got = self.get(path, **named)
        while got.status in range(300, 400):
            location = got.headers["Location"]
            assert location.startswith("/")
            got = self.get(location)
        return got

    def recording(self) -> Recording:
        recording = self.recorder.recording()
        assert parse_recording(recording.to_bytes()) == recording
        return recording

    def urls(self) -> list[str]:
        """What is recorded, without the site's address."""
        prefix = f"http://{self.site.address}"
        return sorted(one.url.removeprefix(prefix) for one in self.recording().responses.values())


@contextmanager
def build(
    store: Store, page: Page, *, authenticated: bool = False, **arguments: str
) -> Iterator[Build]:
    recorder = Recorder(
        store, upstream_session(), record_authenticated=authenticated, arguments=arguments
    )
    with website(page) as site, Server(recorder) as server:
        yield Build(recorder, server, site)


def plain(visit: Visit) -> None:
    visit.give(200, ("Content-Type", "text/plain"), ("ETag", '"1"'), body=BODY)


def test_an_answer_is_passed_on_kept_and_run_again(store: Store) -> None:
    with build(store, plain) as one:
        first, second = one.get("/a?x=1"), one.get("/a?x=1")
        assert first.body == second.body == BODY
        assert first.headers["ETag"] == second.headers["ETag"] == '"1"'
        assert one.site.paths == ["/a?x=1"]
        one.get("/b")
        responses = one.recording().responses.values()
    assert {response.digest for response in responses} == {digest_of(BODY)}
    assert store.has_blob(digest_of(BODY), len(BODY))
    assert sum(path.is_file() for path in store.root.rglob("*")) == 1


def test_the_server_behind_sees_the_build_s_request_without_conditions(store: Store) -> None:
    def page(visit: Visit) -> None:
        known = visit.headers.get("If-None-Match") or visit.headers.get("If-Modified-Since")
        visit.give(304 if known else 200, ("ETag", '"1"'), body=b"" if known else BODY)

    with build(store, page) as one:
        got = one.get(
            "/a",
            User_Agent="apt",
            Accept="text/x",
            If_None_Match='"1"',
            If_Modified_Since="Thu, 01 Jan 1970 00:00:00 GMT",
            Accept_Encoding="gzip",
        )
        assert (got.status, got.body) == (200, BODY)
        (_, _, seen) = one.site.seen[0]
    assert seen["host"] == one.site.address
    assert (seen["user-agent"], seen["accept"]) == ("apt", "text/x")
    assert seen["accept-encoding"] == "identity"
    assert not [name for name in seen if name.startswith("if-")]


def test_what_comes_compressed_is_kept_so(store: Store) -> None:
    body = gzip.compress(BODY)
    with build(
        store, lambda visit: visit.give(200, ("Content-Encoding", "gzip"), body=body)
    ) as one:
        for _ in range(2):
            got = one.get("/a")
            assert (got.headers["Content-Encoding"], got.body) == ("gzip", body)


def test_accept_makes_another_answer(store: Store) -> None:
    def page(visit: Visit) -> None:
        visit.give(200, ("Vary", "Accept"), body=(visit.headers["Accept"] or "").encode())

    with build(store, page) as one:
        assert one.get("/a", Accept="a/b").body == b"a/b"
        assert one.get("/a", Accept="c/d").body == b"c/d"
        assert len(one.recording().responses) == 2


def test_a_head_has_the_whole_recorded(store: Store) -> None:
    with build(store, plain) as one:
        got = one.get("/a", method="HEAD", If_None_Match='"1"')
        assert (got.status, got.headers["ETag"], got.body) == (200, '"1"', b"")
        assert got.headers["Content-Length"] == str(len(BODY))
        assert one.urls() == ["/a"]
        assert one.get("/a").body == BODY
        assert [method for method, _, _ in one.site.seen] == ["GET"]


def test_a_range_is_kept_under_its_own_key(store: Store) -> None:
    def page(visit: Visit) -> None:
        if visit.headers["Range"]:
            visit.give(206, ("Content-Range", "bytes 0-2/100"), body=b"abc")
        else:
            visit.give(200, body=BODY)

    with build(store, page) as one:
        assert one.get("/a", Range="bytes=0-2", If_Range='"x"').body == b"abc"
        assert one.get("/a").body == BODY
        assert sorted(one.status for one in one.recording().responses.values()) == [200, 206]


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404, 410, 416, 451])
def test_refusals_are_answers(store: Store, status: int) -> None:
    with build(store, lambda visit: visit.give(status)) as one:
        assert one.get("/a").status == one.get("/a").status == status
        assert len(one.site.seen) == 1
        assert [one.status for one in one.recording().responses.values()] == [status]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_failures_of_the_moment_are_passed_on_and_not_kept(store: Store, status: int) -> None:
    answers = iter([status, 200])
    with build(store, lambda visit: visit.give(next(answers), body=b"x")) as one:
        assert (one.get("/a").status, one.urls()) == (status, [])
        assert [note.why for note in one.recorder.failures] == [f"the server answered {status}"]
        assert one.get("/a").status == 200
        assert one.urls() == ["/a"]
        assert one.recorder.failures == ()


def chunked(visit: Visit) -> None:
    visit.head(200, ("Transfer-Encoding", "chunked"))
    for piece in (BODY[:100], BODY[100:]):
        visit.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    visit.wfile.write(b"0\r\n\r\n")


def until_the_end(visit: Visit) -> None:
    visit.head(200)
    visit.wfile.write(BODY)


@pytest.mark.parametrize("page", [chunked, until_the_end])
def test_a_body_of_no_stated_length_is_whole(store: Store, page: Page) -> None:
    with build(store, page) as one:
        assert one.get("/a").body == BODY
        got = one.get("/a")
        assert (got.body, got.headers["Content-Length"]) == (BODY, str(len(BODY)))


def stops_short(visit: Visit) -> None:
    visit.head(200, length=len(BODY))
    visit.wfile.write(BODY[:-1])
    visit.close_connection = True


def ends_before_the_last_chunk(visit: Visit) -> None:
    visit.head(200, ("Transfer-Encoding", "chunked"))
    visit.wfile.write(b"%x\r\n%b\r\n" % (len(BODY), BODY))
    visit.close_connection = True


def ends_within_a_chunk(visit: Visit) -> None:
    visit.head(200, ("Transfer-Encoding", "chunked"))
    visit.wfile.write(b"%x\r\n%b" % (len(BODY), BODY[:-1]))
    visit.close_connection = True


def has_a_chunk_that_is_none(visit: Visit) -> None:
    visit.head(200, ("Transfer-Encoding", "chunked"))
    visit.wfile.write(b"%x\r\n%b\r\nxyz\r\n" % (len(BODY), BODY))
    visit.close_connection = True


@pytest.mark.parametrize(
    "page",
    [stops_short, ends_before_the_last_chunk, ends_within_a_chunk, has_a_chunk_that_is_none],
)
def test_a_body_that_breaks_off_is_never_whole_and_never_kept(store: Store, page: Page) -> None:
    with build(store, page) as one:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            one.get("/a")
        assert one.urls() == []
        (note,) = one.recorder.failures
    assert "the connection broke" in note.why
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_more_bytes_than_were_stated_are_not_read(store: Store) -> None:
    def page(visit: Visit) -> None:
        visit.head(200, length=3)
        visit.wfile.write(b"abcdef")
        visit.close_connection = True

    with build(store, page) as one:
        assert one.get("/a").body == one.get("/a").body == b"abc"


def test_a_trickle_is_passed_on_as_it_comes(store: Store) -> None:
    go_on = threading.Event()

    def page(visit: Visit) -> None:
        visit.head(200, length=6)
        visit.wfile.write(b"abc")
        visit.wfile.flush()
        go_on.wait(20)
        visit.wfile.write(b"def")

    with build(store, page) as one:
        connection = http.client.HTTPConnection(one.server.address, timeout=20)
        connection.request("GET", f"{one.path}/http/{one.site.address}/a")
        response = connection.getresponse()
        assert response.read(3) == b"abc"
        go_on.set()
        assert response.read() == b"def"
        connection.close()
        assert one.urls() == ["/a"]


def test_who_asks_the_same_meanwhile_gets_the_same(store: Store) -> None:
    go_on, count = threading.Event(), iter(range(100))

    def page(visit: Visit) -> None:
        number = next(count)
        visit.head(200, length=2)
        visit.wfile.write(b"%d" % number)
        visit.wfile.flush()
        go_on.wait(20)
        visit.wfile.write(b"%d" % number)

    with build(store, page) as one:
        got: list[bytes] = []
        clients = [
            threading.Thread(target=lambda: got.append(one.get("/a").body)) for _ in range(10)
        ]
        for client in clients:
            client.start()
        while not one.site.seen:
            time.sleep(0.01)
        go_on.set()
        for client in clients:
            client.join()
        assert got == [b"00"] * 10
        assert one.site.paths == ["/a"]


def test_fifty_connections_at_once(store: Store) -> None:
    together = threading.Barrier(50)

    def page(visit: Visit) -> None:
        together.wait(30)
        visit.give(200, body=visit.path.encode() * 1000)

    with build(store, page) as one:
        got: dict[int, bytes] = {}

        def client(number: int) -> None:
            got[number] = one.get(f"/{number}").body

        clients = [threading.Thread(target=client, args=(number,)) for number in range(50)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        assert got == {number: b"/%d" % number * 1000 for number in range(50)}
        assert len(one.recording().responses) == 50


def test_a_client_that_goes_away_does_not_end_the_download(store: Store) -> None:
    go_on = threading.Event()

    def page(visit: Visit) -> None:
        visit.head(200, length=len(BODY))
        visit.wfile.write(BODY[:10])
        visit.wfile.flush()
        go_on.wait(20)
        visit.wfile.write(BODY[10:])

    with build(store, page) as one:
        connection = http.client.HTTPConnection(one.server.address, timeout=20)
        connection.request("GET", f"{one.path}/http/{one.site.address}/a")
        assert connection.getresponse().read(10) == BODY[:10]
        connection.close()
        go_on.set()
        assert one.urls() == ["/a"]
        assert one.get("/a").body == BODY


def test_redirects_are_recorded_one_by_one(store: Store) -> None:
    def page(visit: Visit) -> None:
        if visit.path == "/a":
            visit.give(302, ("Location", "b?x=1#part"), body=b"<a href=b>here</a>")
        elif visit.path == "/b?x=1":
            visit.give(301, ("Location", "https://elsewhere.example/c d"))
        else:
            visit.give(404)

    with build(store, page) as one:
        first = one.get("/a")
        assert (first.status, first.headers["Location"], first.body) == (302, "b?x=1", b"")
        second = one.get("/b?x=1")
        assert second.headers["Location"] == "https://elsewhere.example/c%20d"
        assert one.site.paths == ["/a", "/b?x=1"]
        assert one.get("/a").headers["Location"] == "b?x=1"


def test_buildkit_s_own_downloads_and_mirrors_are_led_back(store: Store) -> None:
    def page(visit: Visit) -> None:
        visit.give(302, ("Location", {"/a": "b", "/b": "https://o.example:443/c?x"}[visit.path]))

    with build(store, page) as one:
        for path, target in (("/a", f"http/{one.site.address}/b"), ("/b", "https/o.example/c?x")):
            got = one.get(path, User_Agent="buildkit/v0.32")
            here = f"http://h{one.path}/"
            asked = f"{here}http/{one.site.address}{path}"
            assert urljoin(asked, got.headers["Location"]) == here + target
            assert one.path not in got.headers["Location"]  # a RUN step may say that it is BuildKit
            asked = f"/http/10.89.0.1:999/airgap/http/{one.site.address}{path}"
            got = get(one.server.base, asked)
            assert got.headers["Location"] == f"http://10.89.0.1:999/airgap/{target}"
        assert one.get("/a").headers["Location"] == "b"


def test_cookies_of_servers_go_nowhere(store: Store) -> None:
    with build(store, lambda visit: visit.give(200, ("Set-Cookie", f"a={CANARY}; Path=/"))) as one:
        assert "Set-Cookie" not in one.get("/a").headers
        one.get("/b")
        assert "cookie" not in one.site.seen[1][2]
        assert one.urls() == ["/a", "/b"]


def test_netrc_goes_nowhere(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with build(store, plain) as one:
        one.get("/a")
        assert "authorization" not in one.site.seen[0][2]


def test_git_is_refused_and_named(store: Store) -> None:
    with build(store, plain) as one:
        got = one.get("/r.git/info/refs?service=git-upload-pack")
        assert got.status == 403
        assert b"ADD an archive" in got.body
        assert (one.site.seen, one.urls(), len(one.recorder.refused)) == ([], [], 1)


def test_a_server_that_is_down_is_a_502_and_named(store: Store) -> None:
    with build(store, plain) as one:
        got = get(one.server.base, "/http/127.0.0.1:1/a?token=" + CANARY)
        assert got.status == 502
        assert b"127.0.0.1:1 cannot be reached (Connection refused)" in got.body
        got = get(one.server.base, "/http/127.0.0.1:1/a")
        assert ["Connection refused" in note.why for note in one.recorder.failures] == [True, True]
        assert CANARY not in repr(one.recorder.failures)
        assert one.urls() == []


def test_a_server_that_comes_back_soon_is_waited_for(store: Store) -> None:
    tries = iter(range(10))

    def page(visit: Visit) -> None:
        if next(tries) < 2:
            visit.close_connection = True  # without a word
        else:
            plain(visit)

    with build(store, page) as one:
        assert one.get("/a").body == BODY
        assert one.recorder.failures == ()


def test_certificates_are_checked(store: Store, tmp_path: Path) -> None:
    import ssl

    authority, other = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path / "ca.pem"
    with website(plain, context) as site:
        for issuer, status in ((authority, 200), (other, 502)):
            issuer.cert_pem.write_to_path(str(file))
            recorder = Recorder(store, upstream_session(file))
            with Server(recorder) as server:
                got = get(server.base, f"/https/{site.address}/a")
                assert got.status == status
        assert b"is not trusted" in got.body
        assert site.paths == ["/a"]


@pytest.mark.parametrize(
    ("location", "given"), [("/\xe9", "/%E9"), ("http://[", "http://["), ("//[::1", "//[::1")]
)
def test_any_location_of_a_redirect_is_passed_on(store: Store, location: str, given: str) -> None:
    with build(store, lambda visit: visit.give(302, ("Location", location))) as one:
        got = one.get("/a")
        assert (got.status, got.headers["Location"]) == (302, given)
        assert one.recorder.failures == ()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH", "X"])
def test_other_methods_are_refused(store: Store, method: str) -> None:
    with build(store, plain) as one:
        got = one.get("/a", method=method)
        assert (got.status, one.site.seen) == (405, [])


@pytest.mark.parametrize("path", ["/", "/v2/", "/https//x", "/ftp/h/x", "/https/h/../x"])
def test_other_paths_are_refused(store: Store, path: str) -> None:
    with build(store, plain) as one:
        assert get(one.server.base, path).status == 400


def private_page(visit: Visit) -> None:
    """`/to?NAME` redirects to a signed URL, `/chain` there in two steps; all else is a file."""
    if visit.path.startswith("/to"):
        visit.give(
            302,
            ("Location", f"/file?X-Amz-Signature={CANARY}&X-Amz-Date=1"),
            body=f"<a href=/file?X-Amz-Signature={CANARY}>".encode(),
        )
    elif visit.path.startswith("/chain"):
        visit.give(307, ("Location", "/to?from=chain"))
    else:
        signed = visit.path == f"/file?X-Amz-Signature={CANARY}&X-Amz-Date=1"
        visit.give(200 if signed or "/file" not in visit.path else 403, body=b"contents")


ASKING: dict[str, Callable[[Build], Got]] = {
    "header": lambda one: one.get("/a", Authorization=f"Bearer {CANARY}"),
    "token header": lambda one: one.get("/a", Private_Token=CANARY),
    "cookie": lambda one: one.get("/a", Cookie=f"session={CANARY}"),
    "query": lambda one: one.get(f"/a?x=1&access_token={CANARY}"),
    "user": lambda one: get(one.server.base, f"/http/me:{CANARY}@{one.site.address}/a"),
    "argument in the path": lambda one: one.get(f"/x/{CANARY}/a"),
    "argument in a header": lambda one: one.get("/a", X_Any=f"x{CANARY}x"),
    "redirect": lambda one: one.follow("/to", Authorization="x"),
    "redirects": lambda one: one.follow("/chain", Authorization="x"),
}


@pytest.mark.parametrize("authenticated", [False, True])
@pytest.mark.parametrize("way", ASKING)
def test_no_secret_is_kept_or_shown(
    store: Store, way: str, authenticated: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with build(store, private_page, authenticated=authenticated, MY_TOKEN=CANARY) as one:
        got = ASKING[way](one)
        assert (got.status, got.body) == (200, b"contents")
        assert one.site.seen
        if "redirect" not in way:
            assert CANARY in str(one.site.seen).replace(IN_BASE64, CANARY)
        recorder, recording = one.recorder, one.recording()
    steps = {"redirect": 2, "redirects": 3}.get(way, 1)
    kept, left = len(recording.responses), len(recorder.left_out)
    assert (kept, left) == ((steps, 0) if authenticated else (0, steps))
    printed = "".join(capfd.readouterr())
    notes = repr((recorder.left_out, recorder.failures, recorder.refused))
    for text in (printed, notes, recording.to_bytes().decode()):
        assert not [secret for secret in (CANARY, IN_BASE64) if secret in text]
    for path in store.root.rglob("*"):
        assert CANARY not in path.name
        assert not path.is_file() or CANARY.encode() not in path.read_bytes()
    if authenticated:
        assert replayed(store, recording, way, one.site) == got.body


def replayed(store: Store, recording: Recording, way: str, site: Website) -> bytes:
    """What the same build gets from the recording, with an argument of another value."""
    replay = Replay(store, [recording], {"MY_TOKEN": CANARY})
    with Server(replay) as server:
        got = ASKING[way](Build(None, server, site))  # type: ignore[arg-type]
        assert replay.misses == ()
    return got.body


def test_a_signed_url_that_a_public_one_leads_to_is_public(store: Store) -> None:
    with build(store, private_page) as one:
        assert one.follow("/to").body == b"contents"
        recording = one.recording()
        assert one.recorder.left_out == ()
        assert one.urls() == ["/file?X-Amz-Signature=REDACTED&X-Amz-Date=1", "/to"]
        assert CANARY in str(one.site.seen)
    assert CANARY.encode() not in recording.to_bytes()
    assert replayed(store, recording, "redirect", one.site) == b"contents"


def test_what_left_out_says(store: Store) -> None:
    with build(store, private_page, MY_TOKEN=CANARY) as one:
        one.follow("/to", Authorization="x")
        one.follow("/chain", Authorization="x")
        one.get(f"/a/{CANARY}")
        here = f"http://{one.site.address}"
        assert [(note.url, note.why) for note in one.recorder.left_out] == [
            (f"{here}/to", "it was asked for with credentials"),
            (f"{here}/...", f"{here}/to redirects to it, which was asked for with credentials"),
            (f"{here}/chain", "it was asked for with credentials"),
            (f"{here}/...", f"{here}/chain redirects to it, which was asked for with credentials"),
            (f"{here}/a/{{MY_TOKEN}}", "it was asked for with the build argument MY_TOKEN"),
        ]


def test_what_credentials_open_is_not_recorded_as_refused(store: Store) -> None:
    def page(visit: Visit) -> None:
        known = "Authorization" in visit.headers
        visit.give(200 if known else 401, ("WWW-Authenticate", "Basic"), body=b"contents")

    for authenticated in (False, True):
        with build(store, page, authenticated=authenticated) as one:
            refused = one.get("/a")
            assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Basic")
            assert one.get("/a", Authorization="Basic x").status == 200
            statuses = [one.status for one in one.recording().responses.values()]
            assert statuses == ([200] if authenticated else [])


def test_the_last_refusal_with_credentials_counts(store: Store) -> None:
    def page(visit: Visit) -> None:
        visit.give(404 if "Authorization" in visit.headers else 401)

    with build(store, page, authenticated=True) as one:
        assert [one.get("/a").status, one.get("/a", Authorization="x").status] == [401, 404]
        assert [one.status for one in one.recording().responses.values()] == [404]


@pytest.mark.parametrize("place", ["{MY_TOKEN}", "{MY_TOKEN%}", "%7BMY_TOKEN%7D", "{VERSION}"])
def test_a_server_cannot_name_the_value_that_it_is_to_be_told(store: Store, place: str) -> None:
    def page(visit: Visit) -> None:
        if visit.path == "/a":
            visit.give(302, ("Location", f"/leak/{place}"), ("Link", f"<{place}>"))
        else:
            visit.give(200)

    with build(store, page, MY_TOKEN=CANARY, VERSION="1.2.3.4") as one:
        for _ in range(2):
            one.follow("/a")
        one.get(f"/own/{place}")
        recording = one.recording()
        replay = Replay(store, [recording], {"MY_TOKEN": CANARY, "VERSION": "1.2.3.4"})
        answer = replay.answer(RequestKey(f"http://{one.site.address}/a"), (), "")
        assert CANARY not in str(answer.headers)
        assert "1.2.3.4" not in str(answer.headers)
        assert not [path for path in one.site.paths if CANARY in path or "1.2.3.4" in path]
        assert (one.recorder.left_out, len(recording.responses)) == ((), 3)


def test_a_value_that_a_redirect_repeats_is_put_back(store: Store) -> None:
    def page(visit: Visit) -> None:
        visit.give(302, ("Location", "/v1.2.3.4/{x}"), ("Content-Location", f"/{CANARY}"))

    with build(store, page, VERSION="1.2.3.4", MY_TOKEN=CANARY) as one:
        one.get("/a")
        recording = one.recording()
    assert CANARY not in recording.to_bytes().decode()
    answer = Replay(store, [recording], {"VERSION": "2.0.0"}).answer(
        RequestKey(f"http://{one.site.address}/a"), (), ""
    )
    assert answer.headers == (("Location", "/v2.0.0/%7Bx%7D"),)


@pytest.mark.parametrize("user", ["me:CANARY@", "me@", "@", ":@"])
@pytest.mark.parametrize("scheme", ["http:", ""])
def test_a_redirect_gives_no_password_to_other_requests(
    store: Store, user: str, scheme: str
) -> None:
    with website(lambda visit: visit.give(403)) as victim:
        target = f"{scheme}//{user}{victim.address}/x%2Fy"
        with build(store, lambda visit: visit.give(302, ("Location", target))) as one:
            got = one.get("/a")
            assert got.status == 403
            assert b"a user and a password" in got.body
            assert get(one.server.base, f"/http/{victim.address}/x%2Fy").status == 403
            assert [note.url for note in one.recorder.refused] == [f"http://{one.site.address}/a"]
            assert one.recording().responses.keys() == {
                RequestKey(f"http://{victim.address}/x%2Fy").key
            }
        ((_, path, seen),) = victim.seen
    assert (path, "authorization" in seen) == ("/x%2Fy", False)


def test_a_refusal_under_way_does_not_stand_for_requests_with_other_headers(
    store: Store,
) -> None:
    go_on = threading.Event()

    def page(visit: Visit) -> None:
        odd = visit.headers["User-Agent"] == "odd"
        visit.head(403 if odd else 200, length=6)
        visit.wfile.write(b"abc")
        visit.wfile.flush()
        if odd:
            go_on.wait(20)
        visit.wfile.write(b"def")

    with build(store, page) as one:
        connection = http.client.HTTPConnection(one.server.address, timeout=20)
        connection.request(
            "GET", f"{one.path}/http/{one.site.address}/a", headers={"User-Agent": "odd"}
        )
        refused = connection.getresponse()
        assert (refused.status, refused.read(3)) == (403, b"abc")
        assert one.get("/a", User_Agent="usual").status == 200
        go_on.set()
        assert refused.read() == b"def"
        connection.close()
        assert one.get("/a", User_Agent="odd").status == 200
        assert [one.status for one in one.recording().responses.values()] == [200]


@pytest.mark.parametrize("body", [BODY, b""])
def test_a_refusal_does_not_stand_for_requests_with_other_headers(
    store: Store, body: bytes
) -> None:
    def page(visit: Visit) -> None:
        odd = visit.headers["User-Agent"] == "odd"
        visit.give(403 if odd else 200, body=body)

    with build(store, page) as one:
        assert one.get("/a", User_Agent="odd").status == 403
        assert one.get("/a", User_Agent="usual").status == 200
        assert one.get("/a", User_Agent="odd").status == 200
        assert [one.status for one in one.recording().responses.values()] == [200]


def test_an_answer_to_unknown_headers_is_for_who_sent_them(store: Store) -> None:
    def page(visit: Visit) -> None:
        visit.give(200, body=(visit.headers["X-Host"] or "usual").encode())

    with build(store, page) as one:
        assert one.get("/a", X_Host="odd").body == b"odd"
        assert one.get("/a", X_Forwarded_Host="odd").body == b"usual"
        assert "x-forwarded-host" not in one.site.seen[1][2]
        assert one.get("/a").body == b"usual"


def test_urls_that_differ_in_a_secret_alone_have_their_own_answers(store: Store) -> None:
    with build(
        store, lambda visit: visit.give(200, body=visit.path.encode()), authenticated=True
    ) as one:
        paths = ["/a?key=first", "/a?key=second", "/a?key=first"]
        for path in paths:
            assert one.get(path).body == path.encode()
        assert one.site.paths == paths[:2]
        recording, here = one.recording(), f"http://{one.site.address}"
    assert "second" not in recording.to_bytes().decode()
    replay = Replay(store, [recording])
    for key, answer in (("first", "first"), ("second", "second"), ("of another day", "first")):
        body = replay.answer(RequestKey(f"{here}/a?key={key}"), (), "").body
        assert b"".join(body) == f"/a?key={answer}".encode()


def test_redirects_to_what_differs_in_a_secret_alone_lead_apart(store: Store) -> None:
    def page(visit: Visit) -> None:
        if visit.path in ("/1", "/2"):
            visit.give(302, ("Location", f"/f?key=CANARY{visit.path[1:]}&x=1"))
        else:
            visit.give(200, body=visit.path.encode())

    with build(store, page) as one:
        for path in ("/1", "/2", "/1"):
            assert one.follow(path).body == f"/f?key=CANARY{path[1:]}&x=1".encode()
        assert one.urls() == ["/1", "/2", "/f?key=REDACTED&x=1", "/f?key=REDACTED-2&x=1"]
        recording, here = one.recording(), f"http://{one.site.address}"
    assert b"CANARY" not in recording.to_bytes()
    with Server(Replay(store, [recording])) as server:
        for number in ("1", "2"):
            to = get(server.base, f"/{here.replace('://', '/')}/{number}").headers["Location"]
            body = get(server.base, f"/{here.replace('://', '/')}{to}").body
            assert body == f"/f?key=CANARY{number}&x=1".encode()


def large(visit: Visit) -> None:
    links = [("Link", f"</{number}{'x' * 9000}>") for number in range(10)]
    visit.give(302, ("Location", "/" + "x" * 9000), *links)


def test_headers_that_no_recording_holds_are_refused_at_once(store: Store) -> None:
    with build(store, large) as one:
        got = one.get("/a")
        assert (got.status, b"larger than a recording holds" in got.body) == (403, True)
        assert one.recording().responses == {}
        assert len(one.recorder.refused) == 1


def test_a_recording_that_is_full_says_so_to_the_build(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = dataclasses.replace(LIMITS, responses=3)
    monkeypatch.setattr("airgap.replay.recorder.LIMITS", limits)
    with build(store, plain) as one:
        assert [one.get(f"/{number}").status for number in range(5)] == [200, 200, 200, 403, 403]
        assert one.get("/0").status == 200
        assert len(one.recording().responses) == 3
        assert {note.why[:36] for note in one.recorder.refused} == {
            "the recording is as large as one can"
        }


def test_only_who_knows_the_path_is_answered(store: Store) -> None:
    with build(store, plain) as one:
        guessed = f"{one.server.address}/airgap-{'0' * 32}"
        for base in (one.server.address, f"{one.server.address}/airgap", guessed):
            got = get(base, f"/http/{one.site.address}/a")
            assert (got.status, got.body) == (403, b"only builds are answered here\n")
        assert (one.site.seen, one.urls()) == ([], [])


def test_a_disk_that_is_full_fails_the_recording(store: Store, tmp_path: Path) -> None:
    from airgap.errors import HostError

    (tmp_path / "store").write_text("a file where the folder should be")
    with build(store, plain) as one:
        with pytest.raises((http.client.HTTPException, OSError)):
            one.get("/a")
        with pytest.raises(HostError, match="cannot write to"):
            one.recorder.recording()


def test_fetch_follows_and_checks_each_step(store: Store) -> None:
    with build(store, private_page) as one:
        checked: list[str] = []
        here = f"http://{one.site.address}"
        assert one.recorder.fetch(f"{here}/chain", check=checked.append) == 200
        assert [url.removeprefix(here) for url in checked] == [
            "/chain",
            "/to?from=chain",
            f"/file?X-Amz-Signature={CANARY}&X-Amz-Date=1",
        ]
        assert len(one.recording().responses) == 3


KILLED = """
import sys
from pathlib import Path
from airgap.replay.recorder import Recorder, upstream_session
from airgap.replay.server import Server
from airgap.store.store import Store
with Server(Recorder(Store(Path(sys.argv[1])), upstream_session())) as server:
    print(server.base, flush=True)
    sys.stdin.read()
"""


def test_a_recorder_that_is_killed_leaves_no_half_blob(store: Store) -> None:
    def page(visit: Visit) -> None:
        if visit.path == "/whole":
            plain(visit)
            return
        visit.head(200, length=len(BODY))
        visit.wfile.write(BODY[:5000])
        visit.wfile.flush()
        time.sleep(0.5)

    command = [sys.executable, "-c", KILLED, str(store.root)]
    with (
        website(page) as site,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
        ) as process,
    ):
        assert process.stdout
        base = process.stdout.readline().strip()
        address, _, first = base.partition("/")
        get(base, f"/http/{site.address}/whole")
        connection = http.client.HTTPConnection(address, timeout=20)
        connection.request("GET", f"/{first}/http/{site.address}/half")
        assert connection.getresponse().read(5000) == BODY[:5000]
        process.send_signal(signal.SIGKILL)
        connection.close()
    visible = [path for path in store.root.rglob("data") if path.is_file()]
    assert [digest_of(path.read_bytes()) for path in visible] == [digest_of(BODY)]
    assert digest_of(BODY).removeprefix("sha256:") in str(visible[0])
    Recorder(store, upstream_session())
    assert [path for path in store.root.rglob("*") if path.is_file()] == visible
