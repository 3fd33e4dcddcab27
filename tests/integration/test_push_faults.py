"""Pushing while the registry, what stands before it, or the medium misbehaves."""

from __future__ import annotations

import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airgap.errors import ExitCode
from lab.parts import program
from lab.run import run
from lab.upstream import Upstream, Version
from tests import forge
from tests.integration.command import Outcome, airgap, started
from tests.integration.faults import Exchange, Fault, FaultProxy, Request, flipped
from tests.integration.tokens import Tokens

_LARGE = 6 << 20
_BLOBS = 2 + 4
"""Configs and layers of the first two images."""
_WRONG = 0.2
"""The part of all requests that goes wrong."""
_SHARED = 4
"""Those of the second that the third has too."""
_IMAGES = ("docker.io/lab/large:1", "ghcr.io/lab/small:1", "ghcr.io/lab/again:1")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images: with a large layer, and two that are one. Its key lies beside it."""
    folder, key = tmp_path_factory.mktemp("pushed") / "bundle", forge.new_key()
    images = [
        forge.single(_IMAGES[0], texts=["large"], size=_LARGE),
        forge.indexed(_IMAGES[1], texts=["small"]),
        forge.indexed(_IMAGES[2], texts=["small"]),
    ]
    forge.make_bundle(folder, key, images=images)
    folder.with_name("site.pub").write_bytes(key.public.pem())
    return folder


class Site:
    """A registry, what stands before it, and a host that pushes through that."""

    def __init__(self, upstream: Upstream, proxy: FaultProxy, bundle: Path, folder: Path) -> None:
        self.upstream, self.proxy, self.bundle, self._folder = upstream, proxy, bundle, folder

    def arguments(self) -> list[str | Path]:
        return [
            "--root", self._folder / "state", "install", self.bundle, "--only", "push",
            "--trust", self.bundle.with_name("site.pub"), "--registry", self.proxy.address,
        ]  # fmt: skip

    def push(self, fault: Fault | None = None) -> Outcome:
        self.proxy.fault = fault
        return airgap(*self.arguments())

    def check_whole(self) -> None:
        """All images are there, which crane fetches and checks."""
        for image in _IMAGES:
            run([program("crane"), "validate", "--remote", f"{self.upstream.address}/{image}"])

    def tags(self) -> list[Path]:
        return list(self.upstream.storage.rglob("_manifests/tags/*"))

    def sent(self, method: str) -> list[Request]:
        return [request for request in self.proxy.requests if request.method == method]


StartSite = Callable[..., Site]


@pytest.fixture
def site(bundle: Path, tmp_path: Path) -> Iterator[StartSite]:
    """Starts a registry of a version of distribution."""
    open_now: list[Upstream | FaultProxy] = []

    def start(version: Version = "3.1") -> Site:
        upstream = Upstream(writable=True, version=version)
        open_now.append(upstream.__enter__())
        proxy = FaultProxy(upstream.address)
        open_now.append(proxy.__enter__())
        return Site(upstream, proxy, bundle, tmp_path)

    yield start
    for one in reversed(open_now):
        one.__exit__(None, None, None)


def once(
    when: Callable[[Request], bool], then: Callable[[Exchange], object], times: int = 1
) -> Fault:
    """A fault: the first `times` such requests go wrong in this way."""
    left = iter(range(times))
    lock = threading.Lock()

    def fault(exchange: Exchange) -> bool:
        with lock:
            wrong = when(exchange.request_seen) and next(left, None) is not None
        if wrong:
            then(exchange)
        return wrong

    return fault


def is_large(request: Request) -> bool:
    return request.method == "PATCH" and int(request.headers["content-length"]) > 1 << 20


def _busy(exchange: Exchange) -> None:
    exchange.rfile.read(_length(exchange))
    exchange.answer(503, {"Retry-After": "0"})


def _half(exchange: Exchange) -> None:
    exchange.pass_on_part(_length(exchange) // 2)


def _lost(exchange: Exchange) -> None:
    """The registry does it, and its answer does not come."""
    exchange.fetched()
    exchange.reset()


def _length(exchange: Exchange) -> int:
    return int(exchange.request_seen.headers.get("content-length", 0))


_WAYS: tuple[Callable[[Exchange], None], ...] = (Exchange.reset, _busy, _half, _lost)


def test_a_broken_upload_continues_from_where_the_registry_says(site: StartSite) -> None:
    here = site("3.1")
    outcome = here.push(once(is_large, lambda exchange: exchange.pass_on_part(2 << 20), 2))
    assert outcome.code == 0, outcome.err
    here.check_whole()
    ranges = [one.headers.get("content-range", "") for one in here.sent("PATCH")]
    starts = [int(text.partition("-")[0]) for text in ranges if text]
    assert len(starts) == 2
    assert starts == sorted(starts)
    assert starts[0] > 1 << 20
    assert starts[1] > 3 << 20


def test_a_registry_that_cannot_say_gets_the_blob_again(site: StartSite) -> None:
    here = site("2.8")  # it gives an upload up whose connection broke
    outcome = here.push(once(is_large, lambda exchange: exchange.pass_on_part(2 << 20)))
    assert outcome.code == 0, outcome.err
    here.check_whole()
    sizes = [int(one.headers["content-length"]) for one in here.sent("PATCH")]
    assert len([size for size in sizes if size > _LARGE]) == 2


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("version", ["2.8", "3.1"])
def test_whatever_goes_wrong_now_and_then_all_arrives(
    site: StartSite, version: Version, seed: int
) -> None:
    seeded, lock, wrong = random.Random(seed), threading.Lock(), []

    def now_and_then(exchange: Exchange) -> bool:
        with lock:
            way = seeded.choice(_WAYS) if seeded.random() < _WRONG else None
        if way is None:
            return False
        wrong.append(way)
        way(exchange)
        return True

    here = site(version)
    outcome = here.push(now_and_then)
    assert outcome.code == 0, outcome.err
    assert wrong
    here.check_whole()


def test_an_answer_that_is_lost_is_not_asked_for_twice(site: StartSite) -> None:
    here = site()
    finishes = once(lambda request: request.method == "PUT" and request.is_blob, _lost)
    outcome = here.push(finishes)
    assert outcome.code == 0, outcome.err
    here.check_whole()
    assert len(here.sent("PATCH")) == _BLOBS
    assert f"pushed {_BLOBS} blobs" in outcome.err


def test_blobs_that_a_registry_keeps_elsewhere_are_there(site: StartSite) -> None:
    def redirects(exchange: Exchange) -> bool:
        request = exchange.request_seen
        if request.method != "HEAD" or not request.is_blob:
            return False
        answer = exchange.fetched()
        status = 307 if answer.status == 200 else answer.status
        exchange.answer(status, {"Location": "http://storage.example/"})
        return True

    here = site()
    assert here.push().code == 0
    tag = next(iter(here.tags()))
    shutil.rmtree(tag)
    outcome = here.push(redirects)
    assert outcome.code == 0, outcome.err
    assert "pushed 0 blobs" in outcome.err
    here.check_whole()


def test_where_nothing_is_mounted_it_is_sent_again(site: StartSite) -> None:
    here = site()
    refuses = once(lambda request: "mount=" in request.path, lambda one: one.answer(400), 99)
    outcome = here.push(refuses)
    assert outcome.code == 0, outcome.err
    assert f"pushed {_BLOBS + _SHARED} blobs" in outcome.err
    here.check_whole()


@pytest.mark.parametrize("status", [429, 503])
def test_a_registry_that_wants_to_be_left_alone_is(site: StartSite, status: int) -> None:
    def busy(exchange: Exchange) -> None:
        exchange.answer(status, {"Retry-After": "1"})

    here = site()
    begun = time.monotonic()
    outcome = here.push(once(lambda request: request.method == "POST", busy, 3))
    assert outcome.code == 0, outcome.err
    assert time.monotonic() - begun > 1
    here.check_whole()


def test_bytes_that_change_on_the_way_are_never_finished(site: StartSite) -> None:
    def spoil(exchange: Exchange) -> None:
        answer = exchange.fetched(change=flipped)
        exchange.answer(answer.status, answer.headers, answer.body)

    here = site()
    outcome = here.push(once(is_large, spoil, 99))
    assert outcome.code == ExitCode.INTEGRITY
    assert "DIGEST_INVALID" in outcome.err
    assert here.tags() == []
    assert here.push().code == 0
    here.check_whole()


def test_a_damaged_medium_is_told_and_nothing_wrong_is_finished(
    site: StartSite, bundle: Path, tmp_path: Path
) -> None:
    here = site()
    shutil.copytree(bundle, tmp_path / "copy" / "bundle")
    shutil.copy(bundle.with_name("site.pub"), tmp_path / "copy")
    here.bundle = tmp_path / "copy" / "bundle"
    tar = here.bundle / "images.tar"
    data = bytearray(tar.read_bytes())
    data[len(data) // 2] ^= 1
    tar.write_bytes(data)
    outcome = here.push()
    assert outcome.code == ExitCode.INTEGRITY
    assert "images.tar is damaged" in outcome.err
    assert here.tags() == []
    here.bundle = bundle
    assert here.push().code == 0
    here.check_whole()


def test_uploads_are_not_sent_to_another_server(site: StartSite) -> None:
    def elsewhere(exchange: Exchange) -> None:
        exchange.answer(202, {"Location": "http://elsewhere.example/v2/x"})

    here = site()
    outcome = here.push(once(lambda request: request.method == "POST", elsewhere, 99))
    assert outcome.code == ExitCode.UPSTREAM
    assert "sends uploads to elsewhere.example" in outcome.err


def test_what_was_finished_before_an_interruption_is_not_sent_again(
    site: StartSite, tool: Path
) -> None:
    here = site()
    reached, go_on = threading.Event(), threading.Event()

    def stands_still(exchange: Exchange) -> None:
        reached.set()
        go_on.wait(20)
        exchange.reset()

    here.proxy.fault = once(is_large, stands_still)
    with started(tool, *here.arguments()) as process:
        assert reached.wait(20)
        time.sleep(1)  # the small ones come through beside it
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        go_on.set()
        assert process.returncode == ExitCode.INTERRUPTED, err
    assert here.tags() == []
    here.proxy.requests.clear()
    outcome = here.push()
    assert outcome.code == 0
    found = re.search(r"pushed (\d+) blobs .* (\d+) were there already", outcome.err)
    assert found is not None
    assert [int(count) for count in found.groups()] == [1, _BLOBS - 1 + _SHARED]
    here.check_whole()


def test_a_registry_with_tokens_is_asked_for_the_rights_to_push_and_to_mount(
    bundle: Path, site: StartSite
) -> None:
    here = site()
    tokens = Tokens(pushing=True)
    outcome = here.push(tokens)
    assert outcome.code == 0, outcome.err
    here.check_whole()
    assert f"; {_SHARED} were mounted" in outcome.err
    small, again = (f"repository:{name.partition(':')[0]}" for name in _IMAGES[1:])
    assert f"{again}:pull,push {small}:pull" in tokens.scopes


def test_tags_come_last(site: StartSite) -> None:
    here = site()
    assert here.push().code == 0
    put = [request.is_by_tag for request in here.sent("PUT")]
    assert sorted(put) == put
    assert sum(put) == len(_IMAGES)


def test_an_upload_that_is_too_large_for_what_stands_between_is_told(site: StartSite) -> None:
    def too_large(exchange: Exchange) -> None:
        exchange.rfile.read(int(exchange.request_seen.headers["content-length"]))
        exchange.answer(413)

    outcome = site().push(once(is_large, too_large))
    assert outcome.code == ExitCode.UPSTREAM
    assert "client_max_body_size" in outcome.err


def test_a_registry_that_states_no_digests_is_believed_by_its_bytes(site: StartSite) -> None:
    def says_less(exchange: Exchange) -> bool:
        if not exchange.request_seen.is_manifest:
            return False
        answer = exchange.fetched()
        kept = {k: v for k, v in answer.headers.items() if k != "Docker-Content-Digest"}
        exchange.answer(answer.status, kept, answer.body)
        return True

    here = site()
    outcome = here.push(says_less)
    assert outcome.code == 0, outcome.err
    assert here.push(says_less).out.splitlines()[-1].startswith("nothing to change")
