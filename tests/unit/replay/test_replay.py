"""What is recorded is given, and nothing else."""

from __future__ import annotations

import pytest

from airgap.errors import IntegrityError
from airgap.limits import LIMITS, MIB
from airgap.oci.digest import digest_of
from airgap.replay.recording import RecordedResponse, Recording
from airgap.replay.replay import Replay
from airgap.replay.request import RequestKey
from airgap.replay.responses import Listed, Response
from airgap.store import layout
from airgap.store.store import Store

URL = "https://h/file"
BODY = bytes(range(256)) * 4096 * 3  # three pieces
ETAG = ("ETag", '"x"')


def recorded(
    store: Store, asked: RequestKey, body: bytes, status: int = 200, *extra: tuple[str, str]
) -> Recording:
    store.write_blob(digest_of(body), [body])
    named = (ETAG, *extra)
    response = RecordedResponse(asked.key, asked.shown, status, named, digest_of(body), len(body))
    return Recording({asked.key: response})


def ask(replay: Replay, asked: RequestKey) -> tuple[Response, bytes]:
    answer = replay.answer(asked, (), "")
    return answer, b"".join(answer.body)


def test_the_first_recording_that_has_the_answer_gives_it(store: Store) -> None:
    first = recorded(store, RequestKey(URL), b"one")
    both = [
        first,
        recorded(store, RequestKey(URL), b"two"),
        recorded(store, RequestKey(URL + "2"), b"three"),
    ]
    replay = Replay(store, both)
    answer, body = ask(replay, RequestKey(URL))
    assert (answer.status, answer.size, answer.headers, body) == (200, 3, (ETAG,), b"one")
    assert ask(replay, RequestKey(URL + "2"))[1] == b"three"
    assert replay.misses == ()


@pytest.mark.parametrize("status", [404, 403, 410, 204])
def test_a_refusal_that_was_recorded_is_given_as_it_was(store: Store, status: int) -> None:
    answer, _ = ask(Replay(store, [recorded(store, RequestKey(URL), b"", status)]), RequestKey(URL))
    assert (answer.status, answer.reason) == (status, "")


def test_a_miss_is_named_once_and_told_apart_from_recorded_refusals(store: Store) -> None:
    replay = Replay(store, [recorded(store, RequestKey(URL), BODY)], {"TOKEN": "canary"})
    wrong = RequestKey(URL + "?sig=abcdefgh&x=canary")
    for _ in range(2):
        answer, body = ask(replay, wrong)
    assert (answer.status, answer.reason) == (403, "Not in the recording")
    assert ("Airgap-Miss", "1") in answer.headers
    assert body.startswith(b"https://h/file?sig=REDACTED&x={TOKEN} is not in the recording")
    assert [miss.shown for miss in replay.misses] == ["https://h/file?sig=REDACTED&x={TOKEN}"]
    ask(replay, RequestKey(URL, accept="text/html"))
    assert len(replay.misses) == 2


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=-99999999", slice(0, None)),
        ("bytes=100-2000000", slice(100, 2_000_001)),
        (f"bytes={MIB}-{2 * MIB - 1}", slice(MIB, 2 * MIB)),
        ("bytes=3145727-99999999", slice(3_145_727, None)),
        ("bytes= 1 - 2", slice(1, 3)),
    ],
)
def test_a_range_comes_out_of_the_whole(store: Store, wanted: str, part: slice) -> None:
    replay = Replay(store, [recorded(store, RequestKey(URL), BODY, 200, ("Content-MD5", "x"))])
    answer, body = ask(replay, RequestKey(URL, range=wanted))
    start, stop, _ = part.indices(len(BODY))
    assert answer.status == 206
    assert answer.headers == (ETAG, ("Content-Range", f"bytes {start}-{stop - 1}/{len(BODY)}"))
    assert answer.size == len(body)
    assert body == BODY[part]
    assert replay.misses == ()


@pytest.mark.parametrize("wanted", [f"bytes={len(BODY)}-", "bytes=-0", "bytes=99999999-"])
def test_a_range_beyond_the_end_is_not_satisfiable(store: Store, wanted: str) -> None:
    replay = Replay(store, [recorded(store, RequestKey(URL), BODY)])
    answer, _ = ask(replay, RequestKey(URL, range=wanted))
    assert answer.status == 416
    assert ("Content-Range", f"bytes */{len(BODY)}") in answer.headers


@pytest.mark.parametrize("wanted", ["bytes=0-1,3-4", "bytes=-", "bytes=9-1", "lines=1-2", "x"])
def test_a_range_of_another_form_includes_the_whole(store: Store, wanted: str) -> None:
    replay = Replay(store, [recorded(store, RequestKey(URL), BODY)])
    answer, body = ask(replay, RequestKey(URL, range=wanted))
    assert (answer.status, body == BODY) == (200, True)


def test_misses_are_listed_up_to_a_limit(store: Store) -> None:
    replay = Replay(store, [])
    for number in range(1000):
        assert ask(replay, RequestKey(f"https://h/{number}/{'x' * 30_000}"))[0].status == 403
    assert sum(asked.size for asked in replay.misses) <= LIMITS.notes_bytes
    assert len(replay.misses) + replay.unlisted == 1000
    assert replay.misses[0].url.startswith("https://h/0/")


def test_a_note_that_is_replaced_or_dropped_makes_room() -> None:
    listed = Listed[str]()
    for number in range(LIMITS.notes):
        listed.put(str(number), "first", 5)
    listed.put("more", "first", 5)
    listed.put("0", "second", 6)
    assert (len(listed.all), listed.unlisted, listed.all[0]) == (LIMITS.notes, 1, "second")
    listed.drop("0")
    listed.put("more", "first", 5)
    assert (len(listed.all), listed.unlisted) == (LIMITS.notes, 1)


def test_a_part_that_was_recorded_is_never_the_whole(store: Store) -> None:
    part = RequestKey(URL, range="bytes=0-2")
    replay = Replay(store, [recorded(store, part, b"abc", 206)])
    assert ask(replay, part)[1] == b"abc"
    assert ask(replay, RequestKey(URL))[0].status == 403
    assert ask(replay, RequestKey(URL, range="bytes=0-1"))[0].status == 403
    assert len(replay.misses) == 2


def test_a_recorded_refusal_has_no_ranges(store: Store) -> None:
    replay = Replay(store, [recorded(store, RequestKey(URL), b"gone", 404)])
    assert ask(replay, RequestKey(URL, range="bytes=0-1"))[0].status == 403
    assert len(replay.misses) == 1


@pytest.mark.parametrize("wanted", ["", "bytes=0-10"])
def test_a_damaged_body_is_never_given_to_its_end(store: Store, wanted: str) -> None:
    recording = recorded(store, RequestKey(URL), BODY)
    path = store.root / layout.blob_data(digest_of(BODY))
    path.write_bytes(BODY[:-1] + b"x")
    replay = Replay(store, [recording])
    answer = replay.answer(RequestKey(URL, range=wanted), (), "")
    given = bytearray()
    with pytest.raises(IntegrityError):
        for piece in answer.body:
            given += piece
    assert answer.size is not None
    assert len(given) < answer.size
    (error,) = replay.errors
    assert error.url == URL
    assert "install DIR --repair" in error.why


def test_a_body_that_is_missing_is_an_error_and_no_miss(store: Store) -> None:
    recording = recorded(store, RequestKey(URL), BODY)
    (store.root / layout.blob_data(digest_of(BODY))).unlink()
    replay = Replay(store, [recording])
    answer, body = ask(replay, RequestKey(URL))
    assert (answer.status, replay.misses) == (403, ())
    assert b"lacks sha256:" in body
    assert [error.url for error in replay.errors] == [URL]


def test_arguments_are_put_back_into_redirects(store: Store) -> None:
    recording = recorded(store, RequestKey(URL), b"", 302, ("Location", "/v{VERSION}/x"))
    answer, _ = ask(Replay(store, [recording], {"VERSION": "2.3.4"}), RequestKey(URL))
    assert answer.headers == (ETAG, ("Location", "/v2.3.4/x"))


@pytest.mark.parametrize("service", ["git-upload-pack", "git-receive-pack"])
def test_git_is_refused_at_once_with_the_way_round(store: Store, service: str) -> None:
    replay = Replay(store, [])
    asked = RequestKey(f"https://h/r.git/info/refs?service={service}")
    answer, body = ask(replay, asked)
    assert answer.status == 403
    assert b"ADD an archive" in body
    assert (len(replay.refused), replay.misses) == (1, ())
    assert ask(replay, RequestKey("https://h/r.git/info/refs"))[0].reason == "Not in the recording"
