"""Registries that redirect: to their storage, to another registry, and to where they should not."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from airgap.oci.platform import parse_platform
from airgap.oci.reference import parse_reference
from airgap.spec.request_file import RequestedImage, RequestFile, add_to_request
from lab.upstream import Upstream
from tests.integration.command import Outcome, airgap
from tests.integration.conftest import SINGLE
from tests.integration.faults import Exchange, Fault, FaultProxy, Request
from tests.integration.tokens import Tokens

_ACCOUNT = ("robot", "s3cret pass:word")
_BASIC = "Basic " + base64.b64encode(":".join(_ACCOUNT).encode()).decode()
_NAME = "registry.example.test"


@dataclass(frozen=True, slots=True)
class Bundler:
    """Makes bundles of an image with a file for `--registries`, and an account for one host."""

    key: Path
    folder: Path
    options: list[str | Path] = field(default_factory=list)

    def log_in(self, host: str) -> None:
        auth = base64.b64encode(":".join(_ACCOUNT).encode()).decode()
        (self.folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))

    def request(self, image: str) -> None:
        """Have a request file, as an isolated host writes it, ask for an image."""
        wanted = RequestedImage(parse_reference(image), (parse_platform("linux/arm64"),))
        file = self.folder / "airgap-request.toml"
        add_to_request(file, RequestFile((wanted,)))
        self.options.extend(["--request", file, "--yes"])

    def bundle(self, *images: str | Path, config: str = "") -> Outcome:
        file = self.folder / "registries.toml"
        file.write_text(config)
        return airgap(
            "bundle", *images, "--no-roles", "--timeout", "5",
            "--retry-for", "0", "--key", self.key, "--registries", file,
            "-o", self.folder / "bundle", *self.options,
        )  # fmt: skip


@pytest.fixture
def bundler(key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundler:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return Bundler(key, tmp_path)


@pytest.fixture
def elsewhere(registry: Upstream) -> Iterator[FaultProxy]:
    with FaultProxy(registry.address) as server:
        yield server


def wants_basic(then: Fault) -> Fault:
    """A fault: the account, and then what `then` does."""

    def fault(exchange: Exchange) -> bool:
        if exchange.request_seen.headers.get("authorization") != _BASIC:
            exchange.answer(401, {"WWW-Authenticate": 'Basic realm="lab"'})
            return True
        return then(exchange)

    return fault


def sends(
    to: Callable[[Request], str], when: Callable[[Request], bool], status: int = 307
) -> Fault:
    """A fault: such requests are redirected."""

    def fault(exchange: Exchange) -> bool:
        request = exchange.request_seen
        if when(request):
            exchange.answer(status, {"Location": to(request)})
        return when(request)

    return fault


def asks(challenge: str) -> Fault:
    """A fault: a challenge to whatever is not asked of its token server."""

    def fault(exchange: Exchange) -> bool:
        if exchange.request_seen.path.startswith("/token"):
            exchange.answer(200, {}, b'{"token": "anybodys"}')
        elif exchange.request_seen.headers.get("authorization") == "Bearer anybodys":
            return False
        else:
            exchange.answer(401, {"WWW-Authenticate": challenge})
        return True

    return fault


@pytest.mark.parametrize(
    ("challenge", "code"),
    [
        ('Bearer realm="http://{there}/token",service="x"', 0),
        ('Bearer realm="/token",scope="repository:a:pull"', 0),
        ('Basic realm="x", Bearer realm="http://{there}/token"', 0),
        ('Basic realm="x"', 5),
        ('Negotiate, Basic realm="x"', 5),
        ("", 5),
    ],
)
@pytest.mark.parametrize("status", [302, 307])
def test_no_other_server_gets_the_account_of_a_registry(
    status: int,
    challenge: str,
    code: int,
    bundler: Bundler,
    proxy: FaultProxy,
    elsewhere: FaultProxy,
) -> None:
    storage = f"http://{elsewhere.address}"
    proxy.fault = wants_basic(
        sends(lambda one: f"{storage}{one.path}", lambda one: one.is_blob, status)
    )
    elsewhere.fault = asks(challenge.format(there=elsewhere.address))
    bundler.log_in(proxy.address)
    outcome = bundler.bundle(f"{proxy.address}/{SINGLE}:1")
    assert outcome.code == code, outcome.err
    assert elsewhere.requests
    sent = {one.headers.get("authorization", "") for one in elsewhere.requests}
    assert sent <= {"", "Bearer anybodys"}
    if code:
        assert f"{elsewhere.address}, where {proxy.address} sends to, refuses" in outcome.err


def test_no_other_server_gets_the_account_over_several_redirects(
    bundler: Bundler, proxy: FaultProxy, elsewhere: FaultProxy, registry: Upstream
) -> None:
    with FaultProxy(registry.address) as third:
        proxy.fault = wants_basic(
            sends(lambda one: f"http://{third.address}{one.path}", lambda one: one.is_blob)
        )
        third.fault = sends(lambda one: f"http://{elsewhere.address}{one.path}", lambda one: True)
        elsewhere.fault = asks(f'Bearer realm="http://{third.address}/token"')
        bundler.log_in(proxy.address)
        bundler.bundle(f"{proxy.address}/{SINGLE}:1")
        assert elsewhere.requests
        assert third.requests
        told = [one.headers.get("authorization") for one in elsewhere.requests + third.requests]
        assert _BASIC not in told


def test_a_registry_behind_a_gateway_gets_a_token_of_its_own(
    bundler: Bundler, proxy: FaultProxy, elsewhere: FaultProxy
) -> None:
    """As lscr.io is before ghcr.io: every request is redirected."""
    proxy.fault = sends(lambda one: f"http://{elsewhere.address}{one.path}", lambda one: True)
    elsewhere.fault = tokens = Tokens()
    bundler.log_in(proxy.address)
    outcome = bundler.bundle(f"{proxy.address}/{SINGLE}:1")
    assert outcome.code == 0, outcome.err
    assert tokens.scopes == [f"repository:{SINGLE}:pull"]
    assert {one.path for one in elsewhere.requests} >= {f"/v2/{SINGLE}/manifests/1"}


def test_a_token_of_the_gateway_is_not_one_for_the_registry(
    bundler: Bundler, proxy: FaultProxy, elsewhere: FaultProxy
) -> None:
    gateway, tokens = Tokens(_ACCOUNT), Tokens(uses=2)

    def fault(exchange: Exchange) -> bool:
        if gateway(exchange):
            return True
        address = f"http://{elsewhere.address}{exchange.request_seen.path}"
        exchange.answer(302, {"Location": address})
        return True

    proxy.fault, elsewhere.fault = fault, tokens
    bundler.log_in(proxy.address)
    outcome = bundler.bundle(f"{proxy.address}/{SINGLE}:1")
    assert outcome.code == 0, outcome.err
    assert tokens.given > 1  # they expire, and are renewed
    told = {one.headers.get("authorization", "") for one in elsewhere.requests}
    assert _BASIC not in told


class Secure:
    """A registry and its storage over TLS, each with a CA of its own."""

    def __init__(self, registry: Upstream, folder: Path) -> None:
        self.cas = {name: trustme.CA() for name in ("registry", "storage")}
        self.files = {name: folder / f"{name}.pem" for name in self.cas}
        servers = []
        for name, authority in self.cas.items():
            authority.cert_pem.write_to_path(str(self.files[name]))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            servers.append(FaultProxy(registry.address, tls=context))
        self.registry, self.storage = servers


@pytest.fixture
def secure(registry: Upstream, tmp_path: Path) -> Iterator[Secure]:
    site = Secure(registry, tmp_path)
    with site.registry, site.storage:
        yield site


def _moved_blobs(site: Secure) -> Fault:
    address = f"https://{site.storage.address}"
    return sends(lambda one: f"{address}{one.path}", lambda one: one.is_blob)


def test_a_ca_file_is_trusted_beside_the_systems(
    bundler: Bundler, secure: Secure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.files["storage"]))
    secure.registry.fault = _moved_blobs(secure)
    config = f'[registry."{secure.registry.address}"]\nca = "{secure.files["registry"]}"\n'
    outcome = bundler.bundle(f"{secure.registry.address}/{SINGLE}:1", config=config)
    assert outcome.code == 0, outcome.err
    assert secure.storage.blobs


def test_a_section_for_where_a_registry_sends_to_counts(bundler: Bundler, secure: Secure) -> None:
    secure.registry.fault = _moved_blobs(secure)
    config = f'[registry."{secure.registry.address}"]\nca = "{secure.files["registry"]}"\n'
    outcome = bundler.bundle(f"{secure.registry.address}/{SINGLE}:1", config=config)
    assert outcome.code == 4
    advised = f'[registry."{secure.storage.address}"] ca ='
    assert advised in outcome.err
    config += f'[registry."{secure.storage.address}"]\nca = "{secure.files["storage"]}"\n'
    outcome = bundler.bundle(f"{secure.registry.address}/{SINGLE}:1", config=config)
    assert outcome.code == 0, outcome.err


def test_a_section_for_the_token_server_counts(bundler: Bundler, secure: Secure) -> None:
    tokens = Tokens(realm=f"https://{secure.storage.address}/token")
    secure.registry.fault = secure.storage.fault = tokens
    config = f'[registry."{secure.registry.address}"]\nca = "{secure.files["registry"]}"\n'
    assert bundler.bundle(f"{secure.registry.address}/{SINGLE}:1", config=config).code == 4
    config += f'[registry."{secure.storage.address}"]\nca = "{secure.files["storage"]}"\n'
    outcome = bundler.bundle(f"{secure.registry.address}/{SINGLE}:1", config=config)
    assert outcome.code == 0, outcome.err


def test_one_ca_file_may_hold_both(bundler: Bundler, secure: Secure) -> None:
    secure.registry.fault = _moved_blobs(secure)
    both = bundler.folder / "both.pem"
    both.write_text("".join(path.read_text() for path in secure.files.values()))
    config = f'[registry."{secure.registry.address}"]\nca = "{both}"\n'
    assert bundler.bundle(f"{secure.registry.address}/{SINGLE}:1", config=config).code == 0


def test_a_ca_of_one_host_is_not_one_for_another(bundler: Bundler, secure: Secure) -> None:
    config = f'[registry."other.example.test"]\nca = "{secure.files["registry"]}"\n'
    outcome = bundler.bundle(f"{secure.registry.address}/{SINGLE}:1", config=config)
    assert outcome.code == 4
    assert "is not trusted" in outcome.err


def test_a_ca_file_without_a_certificate_is_named(bundler: Bundler, secure: Secure) -> None:
    empty = bundler.folder / "empty.pem"
    empty.write_text("none\n")
    config = f'[registry."{secure.registry.address}"]\nca = "{empty}"\n'
    outcome = bundler.bundle(f"{secure.registry.address}/{SINGLE}:1", config=config)
    assert outcome.code == 2
    assert f"{empty} holds no certificate" in outcome.err


@pytest.fixture
def public(
    registry: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultProxy]:
    """A registry with a public name and certificate, reached through a company's proxy."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(_NAME).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "public.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with (
        FaultProxy(registry.address, tls=context) as https,
        FaultProxy(https.address) as tunnel,
    ):
        monkeypatch.setenv("https_proxy", f"http://{tunnel.address}")
        monkeypatch.setenv("http_proxy", f"http://{tunnel.address}")
        yield https


_LOOPBACK = ("127.0.0.1", "127.1", "localhost", "x.localhost", "[::1]", "0.0.0.0", "2130706433")  # noqa: S104


@pytest.mark.parametrize("host", _LOOPBACK)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_registry_elsewhere_sends_nobody_to_this_machine(
    scheme: str, host: str, bundler: Bundler, public: FaultProxy, elsewhere: FaultProxy
) -> None:
    port = elsewhere.address.rpartition(":")[2]
    public.fault = sends(lambda one: f"{scheme}://{host}:{port}{one.path}", lambda one: True)
    outcome = bundler.bundle(f"{_NAME}/{SINGLE}:1")
    assert outcome.code == 4
    assert "which is this machine" in outcome.err
    assert elsewhere.requests == []


def test_a_token_server_elsewhere_is_not_this_machine(
    bundler: Bundler, public: FaultProxy, elsewhere: FaultProxy
) -> None:
    public.fault = asks(f'Bearer realm="https://{elsewhere.address}/token"')
    outcome = bundler.bundle(f"{_NAME}/{SINGLE}:1")
    assert outcome.code == 4
    assert "which is this machine" in outcome.err
    assert elsewhere.requests == []


@pytest.mark.parametrize("address", ["10.9.8.7", "169.254.169.254", "192.168.1.1", "[fd00::1]"])
@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["bundle", "dry-run"])
@pytest.mark.parametrize("leads", ["redirect", "token"])
def test_what_a_request_file_asks_for_leads_to_no_private_address(
    leads: str, options: list[str], address: str, bundler: Bundler, public: FaultProxy
) -> None:
    if leads == "redirect":
        public.fault = sends(lambda one: f"https://{address}{one.path}", lambda one: True)
    else:
        public.fault = asks(f'Bearer realm="https://{address}/token"')
    bundler.request(f"{_NAME}/{SINGLE}:1")
    outcome = bundler.bundle(*options)
    assert outcome.code == 2, outcome.err
    assert "is no public address" in outcome.err


def test_what_a_request_file_asks_for_is_fetched_where_all_is_public(
    bundler: Bundler, public: FaultProxy
) -> None:
    public.fault = Tokens(realm=f"https://{_NAME}/token")
    bundler.request(f"{_NAME}/{SINGLE}:1")
    outcome = bundler.bundle()
    assert outcome.code == 0, outcome.err
