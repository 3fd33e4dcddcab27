"""What registries that cannot be had here answer to a push, imitated before a real one.

The answers are those of the documentation, the sources and the issues of GitLab, Harbor, Amazon
ECR, Google Artifact Registry and Docker Hub.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from airgap.errors import ExitCode
from lab.parts import program
from lab.run import run
from lab.upstream import Upstream
from tests import forge
from tests.integration.command import Outcome, airgap
from tests.integration.faults import Exchange, Fault, FaultProxy, Request

_LARGE = 3 << 20
_NAMES = ("docker.io/lab/large:1", "ghcr.io/lab/small:1")
_REPOSITORIES = ("docker.io/lab/large", "ghcr.io/lab/small")

When = Callable[[Request], bool]


class Here:
    """A registry, what stands before it, and a host that pushes through that."""

    def __init__(self, upstream: Upstream, proxy: FaultProxy, folder: Path) -> None:
        self.upstream, self.proxy, self._folder = upstream, proxy, folder
        self._key = forge.new_key()
        (folder / "site.pub").write_bytes(self._key.public.pem())
        self.old, self.new = self._bundle(1), self._bundle(2)

    def _bundle(self, serial: int) -> Path:
        folder = self._folder / f"bundle{serial}"
        images = [
            forge.single(_NAMES[0], texts=[f"large{serial}"], size=_LARGE),
            forge.indexed(_NAMES[1], texts=[f"small{serial}"]),
        ]
        forge.make_bundle(folder, self._key, images=images, serial=serial)
        return folder

    def push(
        self, fault: Fault | None = None, bundle: Path | None = None, options: Sequence[str] = ()
    ) -> Outcome:
        self.proxy.fault, self.proxy.requests = fault, []
        return airgap(
            "--root", self._folder / "state", "install", bundle or self.old, "--only", "push",
            "--trust", self._folder / "site.pub",
            *(options or ("--registry", self.proxy.address)),
        )  # fmt: skip

    def check_whole(self) -> None:
        for name in _NAMES:
            run([program("crane"), "validate", "--remote", f"{self.upstream.address}/{name}"])

    def tags(self) -> list[Path]:
        return list(self.upstream.storage.rglob("_manifests/tags/*"))


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    with Upstream(writable=True) as upstream, FaultProxy(upstream.address) as proxy:
        yield Here(upstream, proxy, tmp_path)


def refuses(status: int, code: str, message: str, *, when: When) -> Fault:
    """A fault: an error in the form of the distribution spec to such requests."""
    body = json.dumps({"errors": [{"code": code, "message": message}]} if code else {}).encode()

    def fault(exchange: Exchange) -> bool:
        wrong = when(exchange.request_seen)
        if wrong:
            exchange.rfile.read(int(exchange.request_seen.headers.get("content-length", 0)))
            head = exchange.request_seen.method == "HEAD"
            exchange.answer(status, {"Content-Type": "application/json"}, b"" if head else body)
        return wrong

    return fault


def is_tag(request: Request) -> bool:
    return request.method == "PUT" and request.is_by_tag


def is_chunk(request: Request) -> bool:
    return request.method == "PATCH"


@pytest.mark.parametrize(
    ("status", "code", "message", "told"),
    [
        (403, "DENIED", "exceeds the configured upper limit of 10.0 GiB", "a quota"),
        (413, "", "", "more room"),
        (413, "DENIED", "quota of project mirror is used up", "more room"),
        (507, "", "", "storage is full"),
        (403, "DENIED", "blocked by policy \x1b[31mX", "ask who runs"),
        (405, "UNSUPPORTED", "this is a cache", "takes no pushes"),
    ],
)
def test_a_registry_that_takes_nothing_says_why_in_its_own_words(
    status: int, code: str, message: str, told: str, here: Here
) -> None:
    refusal = refuses(status, code, message, when=lambda request: request.method == "POST")
    outcome = here.push(refusal)
    assert outcome.code == ExitCode.UPSTREAM
    assert f"{status} {code}".rstrip() in outcome.err
    assert message.partition("\x1b")[0] in outcome.err
    assert told in outcome.err
    assert "\x1b" not in outcome.err
    assert "no credentials" not in outcome.err
    assert len(here.proxy.requests) < 20  # it was not tried again
    assert not here.tags()


def test_a_registry_that_wants_an_account_is_told_from_one_that_forbids(here: Here) -> None:
    message, posts = "authentication required", lambda request: request.method == "POST"
    outcome = here.push(refuses(401, "UNAUTHORIZED", message, when=posts))
    assert outcome.code == ExitCode.CREDENTIALS
    assert message in outcome.err
    assert f"docker login {here.proxy.address}" in outcome.err


@pytest.mark.parametrize(
    ("status", "code"),
    [(412, "DENIED"), (400, "TAG_INVALID"), (409, "CONFLICT"), (403, "DENIED"), (422, "")],
)
def test_a_tag_that_may_not_be_moved_is_named(status: int, code: str, here: Here) -> None:
    assert here.push().code == 0
    before = run([program("crane"), "digest", f"{here.upstream.address}/{_NAMES[0]}"]).strip()
    message = "configured as 'immutable' by rule 7"
    outcome = here.push(refuses(status, code, message, when=is_tag), here.new)
    assert outcome.code == ExitCode.UPSTREAM
    assert "does not let the tag" in outcome.err
    assert any(f"{repository}:1" in outcome.err for repository in _REPOSITORIES)
    assert str(status) in outcome.err
    assert not code or message in outcome.err
    assert "immutable in" in outcome.err
    assert "docker login" not in outcome.err
    after = run([program("crane"), "digest", f"{here.upstream.address}/{_NAMES[0]}"]).strip()
    assert before == after
    assert here.push(None, here.new).code == 0  # with the rule changed, the same command ends it


def test_a_tag_that_is_new_and_refused_is_named_too(here: Here) -> None:
    outcome = here.push(refuses(400, "TAG_INVALID", "must match ^v", when=is_tag))
    assert outcome.code == ExitCode.UPSTREAM
    assert "does not take the tag" in outcome.err
    assert "must match ^v" in outcome.err


def test_repositories_that_a_registry_does_not_make_are_all_named_first(here: Here) -> None:
    unknown = "The repository with name does not exist"
    lacks = refuses(404, "NAME_UNKNOWN", unknown, when=lambda one: one.method != "GET")
    outcome = here.push(lacks)
    assert outcome.code == ExitCode.UPSTREAM
    for repository in _REPOSITORIES:
        assert repository in outcome.err
    assert "lacks 2 repositories" in outcome.err
    assert not [one for one in here.proxy.requests if one.method in ("PATCH", "PUT")]
    made = refuses(
        404, "NAME_UNKNOWN", unknown, when=lambda one: "ghcr.io" in one.path and one.method != "GET"
    )
    outcome = here.push(made)
    assert "lacks 1 repositories" in outcome.err
    assert _REPOSITORIES[1] in outcome.err
    assert _REPOSITORIES[0] not in outcome.err
    assert here.push().code == 0
    here.check_whole()


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "UNSUPPORTED"), (404, ""), (405, ""), (415, "UNSUPPORTED"), (416, ""), (501, "")],
)
def test_a_registry_without_chunks_gets_each_blob_in_one_request(
    status: int, code: str, here: Here
) -> None:
    outcome = here.push(refuses(status, code, "chunked uploads", when=is_chunk))
    assert outcome.code == 0, outcome.err
    here.check_whole()


def broken_once(then: Fault) -> Fault:
    """A fault: the first large chunk breaks half-way; `then` sees every later request."""
    lock, left = threading.Lock(), [1]

    def fault(exchange: Exchange) -> bool:
        large = (
            is_chunk(exchange.request_seen)
            and int(exchange.request_seen.headers["content-length"]) > 1 << 20
        )
        with lock:
            breaks = large and bool(left)
            if breaks:
                left.pop()
        if breaks:
            exchange.pass_on_part(_LARGE // 2)
            return True
        return then(exchange)

    return fault


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "UNSUPPORTED"),
        (400, "BLOB_UPLOAD_INVALID"),
        (404, ""),
        (405, ""),
        (409, ""),
        (413, ""),
        (416, ""),
        (416, "RANGE_INVALID"),
        (422, "X"),
    ],
)
def test_a_registry_that_takes_no_resumed_chunk_gets_the_blob_again(
    status: int, code: str, here: Here
) -> None:
    resumed = refuses(
        status, code, "", when=lambda one: is_chunk(one) and "content-range" in one.headers
    )
    outcome = here.push(broken_once(resumed))
    assert outcome.code == 0, outcome.err
    assert sum("content-range" in one.headers for one in here.proxy.requests if is_chunk(one)) == 1
    here.check_whole()


@pytest.mark.parametrize("status", [405, 501])
def test_a_registry_without_head_is_asked_with_get(status: int, here: Here) -> None:
    no_head = refuses(status, "", "", when=lambda request: request.method == "HEAD")
    assert here.push(no_head).code == 0
    here.check_whole()
    outcome = here.push(no_head)
    assert outcome.code == 0, outcome.err
    assert "pushed" not in outcome.err


def too_deep(exchange: Exchange) -> bool:
    """As GitLab answers: below a project, a path may have two names."""
    path = exchange.request_seen.path.removeprefix("/v2/")
    repository = re.split("/(?:blobs|manifests)/", path)[0]
    if repository.count("/") <= 3:
        return False
    body = b'{"errors": [{"code": "DENIED", "message": "requested access is denied"}]}'
    exchange.rfile.read(int(exchange.request_seen.headers.get("content-length", 0)))
    exchange.answer(403, {}, b"" if exchange.request_seen.method == "HEAD" else body)
    return True


def test_a_registry_that_limits_depth_gets_paths_without_upstream_hosts(here: Here) -> None:
    project = f"{here.proxy.address}/group/project"
    outcome = here.push(too_deep, options=["--registry", project])
    assert outcome.code == ExitCode.UPSTREAM
    assert "requested access is denied" in outcome.err
    assert "--registry-layout flat" in outcome.err
    flat = ["--registry", project, "--registry-layout", "flat"]
    outcome = here.push(too_deep, options=flat)
    assert outcome.code == 0, outcome.err
    for name in _NAMES:
        path = name.partition("/")[2]
        there = f"{here.upstream.address}/group/project/{path}"
        run([program("crane"), "validate", "--remote", there])
    # The layout is kept, as the registry is; a newer bundle moves the tags there.
    outcome = here.push(too_deep, here.new, options=["--registry", project])
    assert outcome.code == 0, outcome.err
    assert here.tags()
    assert not list(here.upstream.storage.rglob("repositories/group/project/docker.io"))
