"""An upstream that is down, slow, refuses or lies: the right exit code, and nothing half done."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.publish import OCI, Image
from lab.upstream import Upstream
from tests.integration.command import Outcome, airgap
from tests.integration.conftest import APP, SINGLE, LayerMaker
from tests.integration.faults import (
    Exchange,
    Fault,
    FaultProxy,
    Request,
    answers,
    breaks_off,
    changes,
    flipped,
)

Bundle = Callable[..., Outcome]
_HTML = b"<!doctype html><title>Log in</title>"


@pytest.fixture
def bundle(key: Path, tmp_path: Path) -> Bundle:
    def make(*arguments: str) -> Outcome:
        patience = ("--timeout", "5", "--retry-for", "4")
        common = ("--no-roles", *patience, "--key", key, "-o", tmp_path / "bundle")
        return airgap("bundle", *common, *arguments)

    return make


def is_blob(request: Request) -> bool:
    return request.is_blob


def is_manifest(request: Request) -> bool:
    return request.is_manifest


def is_child(request: Request) -> bool:
    return request.is_manifest and not request.is_by_tag


@pytest.mark.parametrize("image", ["docker.io/library/absent:1", f"{APP}:absent"])
def test_an_unknown_image_or_tag_is_exit_3(
    image: str, registry: Upstream, bundle: Bundle, tmp_path: Path
) -> None:
    outcome = bundle(f"{registry.address}/{image}")
    assert outcome.code == 3
    assert image.partition(":")[0] in outcome.err
    assert "check name and tag" in outcome.err
    assert not (tmp_path / "bundle").exists()


def test_a_platform_that_the_index_lacks_is_exit_3_and_says_what_there_is(
    registry: Upstream, bundle: Bundle, tmp_path: Path
) -> None:
    outcome = bundle(f"{registry.address}/{APP}:1", "--platform", "linux/s390x")
    assert outcome.code == 3
    assert "is not made for linux/s390x" in outcome.err
    assert "It has linux/amd64, linux/arm64, linux/arm/v7." in outcome.err
    assert not (tmp_path / "bundle").exists()


def test_an_image_without_an_index_for_another_platform_is_exit_3(
    registry: Upstream, bundle: Bundle
) -> None:
    outcome = bundle(f"{registry.address}/{SINGLE}:1", "--platform", "linux/amd64")
    assert outcome.code == 3
    assert "linux/arm64" in outcome.err


def test_an_upstream_that_is_down_is_exit_4(bundle: Bundle, tmp_path: Path) -> None:
    outcome = bundle("127.0.0.1:1/app:1")
    assert outcome.code == 4
    assert "127.0.0.1:1 cannot be reached (Connection refused)" in outcome.err
    assert not (tmp_path / "bundle").exists()


def test_a_name_that_does_not_exist_is_exit_4(bundle: Bundle) -> None:
    outcome = bundle("registry.invalid/app:1")
    assert outcome.code == 4
    assert "registry.invalid cannot be reached" in outcome.err


def test_an_upstream_that_is_slow_is_given_up(proxy: FaultProxy, bundle: Bundle) -> None:
    def sleeps(exchange: Exchange) -> bool:
        time.sleep(3)
        exchange.close_connection = True
        return True

    proxy.fault = sleeps
    begun = time.monotonic()
    outcome = bundle(f"{proxy.address}/{APP}:1", "--timeout", "0.3")
    assert outcome.code == 4
    assert "timed out" in outcome.err
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (401, 5, "docker login"),
        (403, 5, "docker login"),
        (404, 3, "has no manifest"),
        (429, 4, "answered 429"),
        (500, 4, "x answered 500"),
        (418, 4, "answered 418"),
    ],
)
def test_a_refusal_has_its_exit_code(
    status: int, code: int, told: str, proxy: FaultProxy, bundle: Bundle, tmp_path: Path
) -> None:
    proxy.fault = answers(status)
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == code
    assert told in outcome.err
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("wait", "told"),
    [
        ("30", "try again in 30 seconds"),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "try again after Wed, 21 Oct"),
    ],
)
def test_a_rate_limit_is_shown(wait: str, told: str, proxy: FaultProxy, bundle: Bundle) -> None:
    limits = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600"}
    proxy.fault = answers(429, {"Retry-After": wait, **limits})
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 4
    assert told in outcome.err
    assert "0 of 100 requests remain in 360 min" in outcome.err


def test_an_error_that_passes_is_not_noticed(proxy: FaultProxy, bundle: Bundle) -> None:
    proxy.fault = _once(answers(503, when=lambda request: True))
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 0, outcome.err


def test_html_instead_of_a_manifest_is_exit_4(proxy: FaultProxy, bundle: Bundle) -> None:
    proxy.fault = answers(200, {"Content-Type": "text/html"}, _HTML)
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 4
    assert "text/html" in outcome.err
    assert "login page" in outcome.err


def test_html_instead_of_a_blob_is_exit_4(proxy: FaultProxy, bundle: Bundle) -> None:
    proxy.fault = answers(200, {"Content-Type": "text/html"}, _HTML, when=is_blob)
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 4
    assert "text/html" in outcome.err


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("when", [is_blob, is_manifest])
def test_a_body_that_always_breaks_off_is_exit_4(
    when: Callable[[Request], bool], stated: bool, proxy: FaultProxy, bundle: Bundle
) -> None:
    proxy.fault = breaks_off(when, stated=stated)
    outcome = bundle(f"{proxy.address}/{APP}:1")
    if when is is_manifest and not stated:  # nothing says that there should be more
        assert outcome.code in (4, 6)
        return
    assert outcome.code == 4
    assert "the connection broke" in outcome.err


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("name", [APP, SINGLE])
def test_bodies_that_break_off_now_and_then_are_fetched_again(
    name: str, stated: bool, proxy: FaultProxy, bundle: Bundle, key: Path, tmp_path: Path
) -> None:
    proxy.fault = breaks_off(is_blob, times=3, stated=stated)
    outcome = bundle(f"{proxy.address}/{name}:1", "--platform", "linux/arm64")
    assert outcome.code == 0, outcome.err
    assert airgap("verify", tmp_path / "bundle", "--trust", key.with_suffix(".pub")).code == 0


def test_a_manifest_that_breaks_off_is_fetched_again(proxy: FaultProxy, bundle: Bundle) -> None:
    proxy.fault = breaks_off(is_manifest, times=2)
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    "fault",
    [changes(is_blob, flipped), changes(is_child, flipped)],
    ids=["blob", "manifest"],
)
def test_other_bytes_than_the_digest_says_are_exit_6(
    fault: Fault, proxy: FaultProxy, bundle: Bundle, tmp_path: Path
) -> None:
    proxy.fault = fault
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 6
    assert "sha256:" in outcome.err
    assert not (tmp_path / "bundle" / "SHA256SUMS").exists()


def test_bytes_after_the_end_of_a_blob_are_not_taken(
    proxy: FaultProxy, bundle: Bundle, key: Path, tmp_path: Path
) -> None:
    proxy.fault = changes(is_blob, lambda body: body + b"more", stated=False)
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 0, outcome.err
    assert airgap("verify", tmp_path / "bundle", "--trust", key.with_suffix(".pub")).code == 0


def test_a_blob_of_another_size_is_exit_4(proxy: FaultProxy, bundle: Bundle) -> None:
    proxy.fault = changes(is_blob, lambda body: body + b"more")
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 4
    assert "which has" in outcome.err


def test_a_tag_that_is_no_index_is_told_to_be_broken(proxy: FaultProxy, bundle: Bundle) -> None:
    proxy.fault = answers(200, {"Content-Type": OCI.index}, b'{"manifests": 7}')
    assert bundle(f"{proxy.address}/{APP}:1").code == 6


def test_an_index_that_states_a_wrong_size_is_exit_6(
    registry: Upstream, bundle: Bundle, layer: LayerMaker
) -> None:
    publisher = registry.publisher()
    child = publisher.push_image("plain/size", Image("linux/amd64", [layer("size")]))
    index = {"schemaVersion": 2, "mediaType": OCI.index, "manifests": [child | {"size": 7}]}
    publisher.push_manifest("plain/size", "1", index)
    outcome = bundle(f"{registry.address}/plain/size:1", "--platform", "linux/amd64")
    assert outcome.code == 6
    assert "wrong size" in outcome.err


def test_a_redirect_loop_ends(proxy: FaultProxy, bundle: Bundle) -> None:
    def loops(exchange: Exchange) -> bool:
        exchange.answer(307, {"Location": exchange.request_seen.path})
        return True

    proxy.fault = loops
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 4
    assert "redirects" in outcome.err


def test_a_redirect_to_nowhere_is_exit_4(proxy: FaultProxy, bundle: Bundle) -> None:
    proxy.fault = answers(307, {"Location": "file:///etc/passwd"})
    assert bundle(f"{proxy.address}/{APP}:1").code == 4


@pytest.mark.parametrize("place", ["http://a..b/", "http://[::1/", f"http://{'a' * 70}.b/"])
def test_a_redirect_to_an_address_that_is_not_one_is_exit_4(
    place: str, proxy: FaultProxy, bundle: Bundle
) -> None:
    proxy.fault = answers(307, {"Location": place})
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 4
    assert "redirects to an address that is not one" in outcome.err


def test_the_body_of_a_redirect_is_not_read(proxy: FaultProxy, bundle: Bundle) -> None:
    def endless(exchange: Exchange) -> bool:
        if not exchange.request_seen.path.startswith("/v2/"):
            return False
        exchange.begin(307, {"Location": "/elsewhere"}, 1 << 40)
        while not exchange.hung_up():
            exchange.wfile.write(bytes(1 << 16))
        return True

    proxy.fault = endless
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 3
    assert "404" in outcome.err or "has no manifest" in outcome.err


def test_who_cannot_be_reached_after_a_redirect_is_named(proxy: FaultProxy, bundle: Bundle) -> None:
    proxy.fault = answers(307, {"Location": "http://127.0.0.1:1/blob?secret=1"}, when=is_blob)
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 4
    assert f"127.0.0.1:1, where {proxy.address} sends to, cannot be reached" in outcome.err
    assert "secret" not in outcome.err


@pytest.mark.parametrize(
    "planted",
    [
        {"serial": "1"},
        {"created": "yesterday"},
        {"digests": {"docker.io/library/a:1": "../../etc"}},
        {"digests": []},
    ],
)
def test_a_plan_that_no_run_has_written_is_refused(
    planted: dict[str, object], proxy: FaultProxy, bundle: Bundle, tmp_path: Path
) -> None:
    name = f"{proxy.address}/{APP}:1"
    proxy.fault = answers(500, when=is_blob)
    assert bundle(name).code == 4
    path = tmp_path / "bundle/.unfinished/plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | planted))
    outcome = bundle(name)
    assert outcome.code == 2
    assert "cannot be read" in outcome.err


def test_a_link_that_lies_in_the_folder_is_not_followed(
    proxy: FaultProxy, bundle: Bundle, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    (tmp_path / "bundle/.unfinished").mkdir(parents=True)
    (tmp_path / "bundle/.unfinished/.plan.json.new").symlink_to(precious)
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert outcome.code == 0, outcome.err
    assert precious.read_text() == "as it was"


def test_a_run_that_continues_says_so(proxy: FaultProxy, bundle: Bundle) -> None:
    proxy.fault = answers(500, when=is_blob)
    bundle(f"{proxy.address}/{APP}:1")
    proxy.fault = None
    outcome = bundle(f"{proxy.address}/{APP}:1")
    assert "continuing the bundle of 20" in outcome.err


def test_what_was_finished_before_a_failure_is_not_fetched_again(
    proxy: FaultProxy, bundle: Bundle, key: Path, tmp_path: Path
) -> None:
    name = f"{proxy.address}/{APP}:1"
    proxy.fault = _after(6, answers(500, when=is_blob))
    assert bundle(name).code == 4
    served = Counter(request.target for request in proxy.requests if request.is_blob)
    proxy.fault = None
    proxy.requests.clear()
    outcome = bundle(name)
    assert outcome.code == 0, outcome.err
    assert 0 < len(proxy.blobs) < len(served)
    assert airgap("verify", tmp_path / "bundle", "--trust", key.with_suffix(".pub")).code == 0


def test_a_journal_without_its_tar_is_not_believed(
    proxy: FaultProxy, bundle: Bundle, key: Path, tmp_path: Path
) -> None:
    name, out = f"{proxy.address}/{APP}:1", tmp_path / "bundle"
    proxy.fault = _after(6, answers(500, when=is_blob))
    assert bundle(name).code == 4
    (out / "images.tar").unlink()
    proxy.fault = None
    assert bundle(name).code == 0
    assert airgap("verify", out, "--trust", key.with_suffix(".pub")).code == 0


def test_a_broken_plan_of_an_unfinished_bundle_is_exit_2(
    proxy: FaultProxy, bundle: Bundle, tmp_path: Path
) -> None:
    name = f"{proxy.address}/{APP}:1"
    proxy.fault = answers(500, when=is_blob)
    assert bundle(name).code == 4
    (tmp_path / "bundle/.unfinished/plan.json").write_text(json.dumps([]))
    outcome = bundle(name)
    assert outcome.code == 2
    assert "cannot be read" in outcome.err


def _once(fault: Fault) -> Fault:
    """The fault for the first request that it is for."""
    left = [True]

    def limited(exchange: Exchange) -> bool:
        if not left:
            return False
        wrong = fault(exchange)
        if wrong:
            left.clear()
        return wrong

    return limited


def _after(count: int, fault: Fault) -> Fault:
    """The fault once so many blobs were asked for."""

    def later(exchange: Exchange) -> bool:
        blobs = exchange.server.proxy.blobs
        return len(blobs) > count and fault(exchange)

    return later
