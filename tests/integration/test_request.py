"""What a request file asks for is shown, confirmed, fetched from public addresses, and carried."""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme

from airgap.connected.fetch_urls import fetch_requested
from airgap.connected.replay_tar import Recorded
from airgap.errors import AirgapError, NotFoundError, UpstreamError, UsageError
from airgap.oci.platform import parse_platform
from airgap.oci.reference import parse_reference
from airgap.progress import Progress
from airgap.replay.recording_store import load_recording
from airgap.replay.replay import Replay
from airgap.replay.request import RequestKey
from airgap.spec.request_file import (
    RequestedImage,
    RequestedUrl,
    RequestFile,
    add_to_request,
)
from airgap.store.store import Store
from lab.upstream import Upstream
from tests.integration.command import Outcome, airgap
from tests.integration.site import Page, Site
from tests.integration.website import website

TOKEN = "canary-83c1f0"
# Loopback stands for the Internet, and another address of it for a private network.
PRIVATE = [ip_network("127.0.0.2/32")]


def fetch(store: Store, *urls: RequestedUrl, jobs: int = 4, ca: Path | None = None) -> Recorded:
    return fetch_requested(urls, store, 1767225600, Progress(), ca=ca, jobs=jobs, refused=PRIVATE)


def replayed(recorded: Recorded, url: str, accept: str = "", part: str = "") -> tuple[int, bytes]:
    """Status and body that a build is given that asks for it."""
    (entry,) = recorded.entries
    replay = Replay(recorded.store, [load_recording(recorded.store, entry)])
    answer = replay.answer(RequestKey(url, accept, part), (), "")
    return answer.status, b"".join(answer.body)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def inside() -> Iterator[Site]:
    """A server that only this workstation can reach."""
    with Site({"/secret": Page(b"internal")}, "127.0.0.2") as site:
        yield site


def test_certificates_that_are_given_are_trusted(store: Store, tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    with website(lambda visit: visit.give(200, body=b"all"), context) as site:
        url = RequestedUrl(f"https://{site.address}/a")
        with pytest.raises(UpstreamError, match="certificate"):
            fetch(store, url)
        assert replayed(fetch(store, url, ca=file), url.url) == (200, b"all")


def test_what_is_fetched_is_replayed_with_all_its_redirects(store: Store) -> None:
    moved = Page(status=302, headers={"Location": "/there?x=1"})
    again = Page(status=307, headers={"Location": "b.txt"})
    pages = {"/here": moved, "/there?x=1": again, "/b.txt": Page(b"found"), "/c": Page(b"see")}
    with Site(pages) as site:
        wanted = RequestedUrl(f"{site.url}/here", "text/plain"), RequestedUrl(f"{site.url}/c")
        recorded = fetch(store, *wanted)
        assert [one.headers["accept"] for one in site.asked if one.path != "/c"] == [
            "text/plain"
        ] * 3
        (entry,) = recorded.entries
        assert (entry.name, entry.dockerfile, entry.platforms) == ("requested-1767225600", "", ())
        assert entry.until == ""
        assert replayed(recorded, f"{site.url}/here", "text/plain")[0] == 302
        assert replayed(recorded, f"{site.url}/there?x=1", "text/plain")[0] == 307
        assert replayed(recorded, f"{site.url}/b.txt", "text/plain") == (200, b"found")
        assert replayed(recorded, f"{site.url}/c") == (200, b"see")
        assert replayed(recorded, f"{site.url}/b.txt")[0] == 403
    for digest, size in recorded.blobs.items():
        assert store.has_blob(digest, size)


def test_a_part_is_asked_for_as_the_build_did(store: Store) -> None:
    part = Page(b"ell", 206, {"Content-Range": "bytes 1-3/5"})
    with Site({"/f": part}) as site:
        recorded = fetch(store, RequestedUrl(f"{site.url}/f", "", "bytes=1-3"))
        assert site.asked[0].headers["range"] == "bytes=1-3"
        assert replayed(recorded, f"{site.url}/f", "", "bytes=1-3") == (206, b"ell")


def test_nothing_to_fetch_is_no_recording(store: Store) -> None:
    taken = RequestedUrl("http://files.invalid/a?token=REDACTED")
    secret = RequestedUrl(f"http://files.invalid/a?token={TOKEN}")
    assert fetch(store, taken, secret, RequestedUrl("http://files.invalid/{V}")).entries == ()


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_a_private_address_is_never_asked_whatever_leads_there(
    hops: int, store: Store, inside: Site
) -> None:
    with Site({}) as site:
        ahead = [*(f"{site.url}/{hop}" for hop in range(hops)), f"{inside.url}/secret"]
        for hop, target in enumerate(ahead[1:]):
            site.pages[f"/{hop}"] = Page(status=302, headers={"Location": target})
        with pytest.raises(UsageError) as caught:
            fetch(store, RequestedUrl(ahead[0]))
    assert f"{ahead[0]}: 127.0.0.2 is no public address" in caught.value.message
    assert "take it out of the request file" in caught.value.remedy
    assert inside.asked == []


def test_a_private_address_is_not_asked_through_a_proxy(
    store: Store, inside: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Site({"/x": Page(status=302, headers={"Location": f"{inside.url}/secret"})}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(UsageError, match=r"127\.0\.0\.2 is no public address"):
            fetch(store, RequestedUrl("http://files.example/x"))
        assert [one.path for one in proxy.asked] == ["/x"]
    assert inside.asked == []


def failed(store: Store, *urls: RequestedUrl) -> AirgapError:
    with pytest.raises(AirgapError) as caught:
        fetch(store, *urls)
    return caught.value


def test_all_that_is_not_there_is_named_at_once(store: Store) -> None:
    with Site({"/a": Page(b"here"), "/gone": Page(status=410)}) as site:
        urls = [RequestedUrl(f"{site.url}/{name}") for name in ("a", "b", "c", "gone")]
        error = failed(store, *urls)
    assert isinstance(error, NotFoundError)
    assert error.message.splitlines()[1:] == [
        f"  {site.url}/b: the server answered 404",
        f"  {site.url}/c: the server answered 404",
        f"  {site.url}/gone: the server answered 410",
    ]


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (Page(status=403), "the server answered 403"),
        (Page(status=500), "the server answered 500"),
        (Page(b"half", size=8), "the connection broke"),
        (Page(status=302, headers={"Location": "/x"}), "redirects in a circle"),
        (Page(status=302), "the server answered 302"),
        (Page(status=302, headers={"Location": "ftp://a.example/"}), "the server answered 302"),
    ],
)
def test_what_cannot_be_had_is_named_with_the_reason(page: Page, why: str, store: Store) -> None:
    with Site({"/x": page}) as site:
        error = failed(store, RequestedUrl(f"{site.url}/x"), RequestedUrl(f"{site.url}/none"))
    assert isinstance(error, UpstreamError)
    assert f"{site.url}/x: " in error.message
    assert why in error.message
    assert f"{site.url}/none: the server answered 404" in error.message


def test_a_secret_in_a_redirect_is_used_and_not_kept(store: Store) -> None:
    target = f"/f?X-Amz-Signature={TOKEN}"
    moved = Page(status=302, headers={"Location": target})
    with Site({"/x": moved, target: Page(b"file")}) as site:
        recorded = fetch(store, RequestedUrl(f"{site.url}/x"))
        assert replayed(recorded, f"{site.url}/f?X-Amz-Signature=REDACTED") == (200, b"file")
    assert not has_token(store.root)


def has_token(folder: Path) -> bool:
    return any(TOKEN.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


# The whole command. A proxy on loopback stands for the Internet: its names are its own business.


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    pages = {
        "/a.tar.gz": Page(b"archive"),
        "/old": Page(status=301, headers={"Location": "http://cdn.example/new"}),
        "/new": Page(b"moved"),
    }
    with Site(pages) as site:
        monkeypatch.setenv("HTTP_PROXY", site.url)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield site


APP = RequestedImage(parse_reference("app:1"), (parse_platform("linux/arm64"),))


class Bundle:
    """Runs `airgap bundle --request` for one request file."""

    def __init__(self, folder: Path, key: Path, registries: Path) -> None:
        self.path, self.out = folder / "airgap-request.toml", folder / "out"
        self._common = ("--no-roles", "--key", key, "--registries", registries, "-o", self.out)

    def __call__(self, asked: RequestFile, *options: str | Path) -> Outcome:
        self.path.unlink(missing_ok=True)
        add_to_request(self.path, asked)
        return airgap("bundle", "--request", self.path, *self._common, *options)

    @property
    def contents(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.out / "bundle.json").read_bytes())
        return loaded


@pytest.fixture
def bundle(tmp_path: Path, key: Path, registries: Path) -> Bundle:
    return Bundle(tmp_path, key, registries)


def wanted(*paths: str) -> tuple[RequestedUrl, ...]:
    return tuple(RequestedUrl(f"http://files.example{path}") for path in paths)


def test_a_request_becomes_a_bundle(internet: Site, bundle: Bundle, key: Path) -> None:
    taken = RequestedUrl("https://files.example/x?token=REDACTED")
    port = RequestedUrl("http://files.example:8080/a.tar.gz")
    asked = RequestFile((APP,), (*wanted("/a.tar.gz", "/old"), port, taken))
    outcome = bundle(asked, "--yes")
    assert outcome.code == 0, outcome.err
    for line in (
        "app:1  linux/arm64",
        "http://files.example/a.tar.gz       not encrypted",
        "http://files.example:8080/a.tar.gz  port 8080, not encrypted",
        f"{taken.url}  a secret was taken out of it: record the build",
    ):
        assert line in outcome.err
    contents = bundle.contents
    assert [image["name"] for image in contents["images"]] == ["docker.io/library/app:1"]
    assert contents["images"][0]["platforms"] == ["linux/arm64"]
    (recording,) = contents["recordings"]
    assert recording["name"] == f"requested-{contents['serial']}"
    assert airgap("verify", bundle.out, "--trust", key.with_suffix(".pub")).code == 0
    assert not list(Path(os.environ["XDG_CACHE_HOME"]).rglob("answers-*"))
    # Two of the same bytes are carried once: the map, three bodies and that of the redirect.
    assert len(contents["replay"]) == 4


def test_urls_alone_become_a_bundle_without_images(
    internet: Site, bundle: Bundle, key: Path
) -> None:
    outcome = bundle(RequestFile((), wanted("/a.tar.gz")), "--yes")
    assert outcome.code == 0, outcome.err
    assert bundle.contents["images"] == []
    assert airgap("verify", bundle.out, "--trust", key.with_suffix(".pub")).code == 0


def test_images_alone_become_a_bundle_without_recordings(bundle: Bundle) -> None:
    outcome = bundle(RequestFile((APP,)), "--yes")
    assert outcome.code == 0, outcome.err
    assert bundle.contents["recordings"] == []


def test_requests_go_along_with_images_that_are_named(bundle: Bundle) -> None:
    outcome = bundle(RequestFile((APP,)), "--yes", "lab/single:1", "--platform", "linux/arm64")
    assert outcome.code == 0, outcome.err
    names = [image["name"] for image in bundle.contents["images"]]
    assert names == ["docker.io/lab/single:1", "docker.io/library/app:1"]


def test_without_a_terminal_nobody_can_agree(
    internet: Site, bundle: Bundle, registry: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = registry.log.stat().st_size
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        outcome = bundle(RequestFile((APP,), wanted("/a.tar.gz")))
    assert outcome.code == 2
    assert "http://files.example/a.tar.gz" in outcome.err
    assert "there is no terminal" in outcome.err
    assert "--yes" in outcome.err
    assert (internet.asked, bundle.out.exists()) == ([], False)
    assert registry.log.stat().st_size == said


@pytest.mark.parametrize(("typed", "code"), [("y", 0), ("n", 2), ("", 2)])
def test_a_person_decides(
    typed: str, code: int, internet: Site, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, terminal = os.openpty()
    with open(terminal) as stdin, open(master, "wb", buffering=0) as keyboard:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", stdin)
        keyboard.write(f"{typed}\n".encode())
        outcome = bundle(RequestFile((), wanted("/a.tar.gz")))
    assert outcome.code == code, outcome.err
    assert bool(internet.asked) == (code == 0)
    assert ("nothing was fetched" in outcome.err) == (code != 0)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "https://169.254.169.254/x", "http://localhost/", "http://[::1]:8080/"],
)
@pytest.mark.parametrize("proxied", [True, False])
def test_private_addresses_are_refused_before_anything_is_asked(
    url: str, proxied: bool, internet: Site, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not proxied:
        monkeypatch.delenv("HTTP_PROXY")
    image = RequestedImage(parse_reference("10.0.0.1:5000/x:1"), APP.platforms)
    asked = RequestFile((APP, image), (*wanted("/a.tar.gz"), RequestedUrl(url)))
    outcome = bundle(asked, "--yes")
    assert outcome.code == 2
    assert f"{url}: " in outcome.err
    assert "10.0.0.1:5000/x:1: 10.0.0.1 is no public address" in outcome.err
    assert (internet.asked, bundle.out.exists()) == ([], False)


def test_what_is_not_there_ends_it_before_images_are_fetched(
    internet: Site, bundle: Bundle
) -> None:
    outcome = bundle(RequestFile((APP,), wanted("/a.tar.gz", "/none", "/nil")), "--yes")
    assert outcome.code == 3
    assert "http://files.example/none: the server answered 404" in outcome.err
    assert "http://files.example/nil: the server answered 404" in outcome.err
    assert not (bundle.out / "images.tar").exists()


def test_the_same_command_continues_when_the_file_was_fixed(internet: Site, bundle: Bundle) -> None:
    assert bundle(RequestFile((APP,), wanted("/none")), "--yes").code == 3
    assert bundle(RequestFile((APP,), wanted("/a.tar.gz")), "--yes").code == 0


def test_a_token_in_a_request_is_neither_sent_nor_shown_nor_written(
    internet: Site, bundle: Bundle, tmp_path: Path
) -> None:
    secret = RequestedUrl(f"http://files.example/x?a=1&access_token={TOKEN}")
    outcome = bundle(RequestFile((), (*wanted("/a.tar.gz"), secret)), "--yes")
    assert outcome.code == 0, outcome.err
    assert "access_token=REDACTED  it holds a secret" in outcome.err
    bundle.path.unlink()
    assert TOKEN not in outcome.out + outcome.err
    assert not has_token(tmp_path)
    assert [one.path for one in internet.asked] == ["/a.tar.gz"]
    outcome = bundle(RequestFile((), (secret,)), "--yes")
    assert outcome.code == 2
    assert "nothing can be fetched" in outcome.err
    assert TOKEN not in outcome.out + outcome.err


def test_what_is_requested_cannot_be_locked(bundle: Bundle, tmp_path: Path) -> None:
    for options in (["--locked"], ["--lock", tmp_path / "my.lock"]):
        outcome = bundle(RequestFile((APP,)), "--yes", *options)
        assert outcome.code == 2
        assert "cannot be locked" in outcome.err


def test_a_dry_run_shows_what_is_asked_for_and_fetches_nothing(
    internet: Site, bundle: Bundle
) -> None:
    outcome = bundle(RequestFile((APP,), wanted("/a.tar.gz")), "--yes", "--dry-run")
    assert outcome.code == 0, outcome.err
    assert "http://files.example/a.tar.gz" in outcome.err
    assert internet.asked == []


def test_recordings_of_one_store_are_united(store: Store) -> None:
    with Site({"/a": Page(b"same"), "/b": Page(b"same")}) as site:
        both = fetch(store, RequestedUrl(f"{site.url}/a")).merge(
            fetch(store, RequestedUrl(f"{site.url}/b"))
        )
    assert len(both.entries) == 2
    assert len(both.blobs) == 3
    with pytest.raises(ValueError, match="different stores"):
        both.merge(Recorded((), Store(store.root / "other"), {}))
