"""Where registries are asked: mirrors, replacements, plain HTTP, CA files, a company's proxy."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from lab.publish import Image
from lab.upstream import Upstream
from tests.integration.command import Outcome, airgap
from tests.integration.conftest import APP, SINGLE, LayerMaker
from tests.integration.faults import Exchange, FaultProxy, answers

_NAME = "registry.example.test"


@dataclass(frozen=True, slots=True)
class Bundler:
    """Makes bundles of single images with a file for `--registries`."""

    key: Path
    folder: Path

    def bundle(self, image: str, config: str = "") -> Outcome:
        file = self.folder / "registries.toml"
        file.write_text(config)
        return airgap(
            "bundle", image, "--no-roles", "--platform", "linux/arm64", "--timeout", "5",
            "--retry-for", "3", "--key", self.key, "--registries", file,
            "-o", self.folder / "bundle",
        )  # fmt: skip


@pytest.fixture
def bundler(key: Path, tmp_path: Path) -> Bundler:
    return Bundler(key, tmp_path)


@pytest.fixture
def mirror(registry: Upstream) -> Iterator[FaultProxy]:
    with FaultProxy(registry.address) as server:
        yield server


def _mirrored(upstream: FaultProxy, mirror: FaultProxy) -> str:
    return f'[registry."{upstream.address}"]\nmirrors = ["{mirror.address}"]\n'


def test_a_mirror_is_asked_first_and_upstream_not_at_all(
    bundler: Bundler, proxy: FaultProxy, mirror: FaultProxy
) -> None:
    outcome = bundler.bundle(f"{proxy.address}/{APP}:1", _mirrored(proxy, mirror))
    assert outcome.code == 0, outcome.err
    assert mirror.blobs
    assert proxy.requests == []


@pytest.mark.parametrize("status", [404, 401, 503])
def test_upstream_is_asked_where_a_mirror_has_nothing_to_give(
    status: int, bundler: Bundler, proxy: FaultProxy, mirror: FaultProxy
) -> None:
    mirror.fault = answers(status, when=lambda request: True)
    outcome = bundler.bundle(f"{proxy.address}/{SINGLE}:1", _mirrored(proxy, mirror))
    assert outcome.code == 0, outcome.err
    assert proxy.blobs


def test_a_mirror_that_gives_other_bytes_for_a_digest_is_passed_over(
    bundler: Bundler, proxy: FaultProxy, mirror: FaultProxy
) -> None:
    def lies(exchange: Exchange) -> bool:
        if "sha256:" not in exchange.request_seen.path:
            return False
        exchange.answer(200, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}, b"{}")
        return True

    mirror.fault = lies
    outcome = bundler.bundle(f"{proxy.address}/{APP}:1", _mirrored(proxy, mirror))
    assert outcome.code == 0, outcome.err


def test_an_error_tells_what_mirror_and_upstream_said(
    bundler: Bundler, proxy: FaultProxy, mirror: FaultProxy
) -> None:
    mirror.fault = answers(404)
    proxy.fault = answers(429, {"Retry-After": "77"})
    outcome = bundler.bundle(f"{proxy.address}/{APP}:1", _mirrored(proxy, mirror))
    assert outcome.code == 4
    assert "77 seconds" in outcome.err
    assert f"Also asked: {mirror.address} has no manifest" in outcome.err


def test_a_replacement_with_a_path_stands_for_a_host(bundler: Bundler, registry: Upstream) -> None:
    config = f'[registry."docker.io"]\nreplace = "{registry.address}/docker.io"\n'
    outcome = bundler.bundle("lab/single:1", config)
    assert outcome.code == 0, outcome.err
    assert "lab/single:1" in outcome.out


@pytest.fixture(scope="module")
def secure(layer: LayerMaker) -> Iterator[Upstream]:
    with Upstream(writable=True, tls=True) as upstream:
        image = Image("linux/arm64", [layer("linux/arm64")])
        upstream.publisher().publish_single("plain/app", ["1"], image)
        yield upstream


def test_a_loopback_registry_may_speak_https(bundler: Bundler, secure: Upstream) -> None:
    config = f'[registry."{secure.address}"]\nca = "{secure.ca_file}"\n'
    outcome = bundler.bundle(f"{secure.address}/plain/app:1", config)
    assert outcome.code == 0, outcome.err


def test_a_certificate_that_is_not_trusted_is_named(bundler: Bundler, secure: Upstream) -> None:
    outcome = bundler.bundle(f"{secure.address}/plain/app:1")
    assert outcome.code == 4
    assert "certificate" in outcome.err
    assert "ca =" in outcome.err


def test_the_systems_trust_store_counts(
    bundler: Bundler, secure: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.ca_file))
    outcome = bundler.bundle(f"{secure.address}/plain/app:1")
    assert outcome.code == 0, outcome.err


def test_plain_http_for_another_host_goes_through_the_companys_proxy(
    bundler: Bundler, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
    config = f'[registry."{_NAME}"]\nhttp = true\n'
    outcome = bundler.bundle(f"{_NAME}/{SINGLE}:1", config)
    assert outcome.code == 0, outcome.err
    assert {request.headers["host"] for request in proxy.requests} == {_NAME}


def test_no_proxy_counts(
    bundler: Bundler, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
    monkeypatch.setenv("no_proxy", _NAME)
    outcome = bundler.bundle(f"{_NAME}/{SINGLE}:1", f'[registry."{_NAME}"]\nhttp = true\n')
    assert outcome.code == 4
    assert proxy.requests == []


def test_loopback_does_not_go_through_the_companys_proxy(
    bundler: Bundler, proxy: FaultProxy, registry: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
    assert bundler.bundle(f"{registry.address}/{SINGLE}:1").code == 0
    assert proxy.requests == []


def test_a_proxy_that_is_down_is_named(bundler: Bundler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    outcome = bundler.bundle(f"{_NAME}/{SINGLE}:1")
    assert outcome.code == 4
    assert "through the proxy" in outcome.err


@pytest.fixture
def tunnel(registry: Upstream, authority: trustme.CA) -> Iterator[FaultProxy]:
    """A company's proxy, which leads any name to an HTTPS registry with a site's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(_NAME).configure_cert(context)
    with (
        FaultProxy(registry.address, tls=context) as https,
        FaultProxy(https.address) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_https_goes_through_the_companys_proxy_with_the_ca_of_the_file(
    bundler: Bundler, tunnel: FaultProxy, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://{tunnel.address}")
    authority.cert_pem.write_to_path(str(bundler.folder / "site-ca.pem"))
    # Another program's variable must not replace the CA that was given for this very host.
    other = bundler.folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    outcome = bundler.bundle(f"{_NAME}/{SINGLE}:1", f'[registry."{_NAME}"]\nca = "site-ca.pem"\n')
    assert outcome.code == 0, outcome.err
    assert {request.path for request in tunnel.requests} == {f"{_NAME}:443"}


def test_requests_ca_bundle_counts_where_no_ca_is_given(
    bundler: Bundler, tunnel: FaultProxy, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://{tunnel.address}")
    authority.cert_pem.write_to_path(str(bundler.folder / "site-ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundler.folder / "site-ca.pem"))
    assert bundler.bundle(f"{_NAME}/{SINGLE}:1").code == 0


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ('[registry."docker.io"]\nmirror = "x"', "unknown key mirror"),
        ('[registry."docker.io"]\nca = "absent.pem"', "absent.pem"),
        ("[registry\n", "line 1"),
        ("[docker]\nmirrors = []", "unknown key docker"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(config: str, told: str, bundler: Bundler) -> None:
    outcome = bundler.bundle("app:1", config)
    assert outcome.code == 2
    assert "registries.toml" in outcome.err
    assert told in outcome.err
