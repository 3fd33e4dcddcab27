"""Anonymous, basic and bearer-token flows, with credentials as Docker keeps them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.publish import Image
from lab.upstream import Upstream
from tests.integration.command import Outcome, airgap
from tests.integration.conftest import APP, OLD, SINGLE, LayerMaker
from tests.integration.faults import Exchange, FaultProxy
from tests.integration.tokens import Tokens

_ACCOUNT = ("robot", "s3cret pass:word")
_BASIC = "Basic " + base64.b64encode(":".join(_ACCOUNT).encode()).decode()


@pytest.fixture(scope="module")
def private(layer: LayerMaker) -> Iterator[Upstream]:
    """A registry that asks for a user and a password."""
    with Upstream(writable=True, htpasswd=_ACCOUNT) as upstream:
        image = Image("linux/arm64", [layer("linux/arm64")])
        upstream.publisher().publish("plain/app", ["1"], [image])
        yield upstream


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's config.json, to be written by the test."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder / "config.json"


def _log_in(config: Path, host: str, account: tuple[str, str] = _ACCOUNT) -> None:
    """What `docker login` writes."""
    auth = base64.b64encode(":".join(account).encode()).decode()
    config.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def _bundle(key: Path, out: Path, *images: str) -> Outcome:
    platform = ("--platform", "linux/arm64")
    return airgap("bundle", *images, "--no-roles", *platform, "--key", key, "-o", out)


def test_a_password_of_dockers_config_is_used(
    private: Upstream, docker_config: Path, key: Path, tmp_path: Path
) -> None:
    _log_in(docker_config, private.address)
    outcome = _bundle(key, tmp_path / "bundle", f"{private.address}/plain/app:1")
    assert outcome.code == 0, outcome.err


def test_a_wrong_password_is_exit_5_and_writes_nothing(
    private: Upstream, docker_config: Path, key: Path, tmp_path: Path
) -> None:
    _log_in(docker_config, private.address, ("robot", "wrong"))
    outcome = _bundle(key, tmp_path / "bundle", f"{private.address}/plain/app:1")
    assert outcome.code == 5
    assert f"docker login {private.address}" in outcome.err
    assert not (tmp_path / "bundle").exists()


def test_no_password_is_exit_5(
    private: Upstream, docker_config: Path, key: Path, tmp_path: Path
) -> None:
    assert not docker_config.exists()
    outcome = _bundle(key, tmp_path / "bundle", f"{private.address}/plain/app:1")
    assert outcome.code == 5


def test_a_credential_helper_is_asked(
    private: Upstream,
    docker_config: Path,
    key: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user, password = _ACCOUNT
    answer = json.dumps({"ServerURL": "", "Username": user, "Secret": password})
    helper = docker_config.with_name("docker-credential-lab")
    helper.write_text(f"#!/bin/sh\ncat > {tmp_path}/asked\necho '{answer}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    docker_config.write_text(json.dumps({"credHelpers": {private.address: "lab"}}))
    outcome = _bundle(key, tmp_path / "bundle", f"{private.address}/plain/app:1")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "asked").read_text().strip() == private.address


def test_tokens_are_asked_for_without_an_account(
    proxy: FaultProxy, docker_config: Path, key: Path, tmp_path: Path
) -> None:
    proxy.fault = tokens = Tokens()
    names = [f"{proxy.address}/{repository}:1" for repository in (APP, OLD)]
    outcome = _bundle(key, tmp_path / "bundle", *names)
    assert outcome.code == 0, outcome.err
    # One for each repository, in any order: they are used again for every manifest and blob.
    scopes = [f"repository:{repository}:pull" for repository in (APP, OLD)]
    assert sorted(tokens.scopes) == sorted(scopes)


def test_tokens_are_asked_for_with_the_account(
    proxy: FaultProxy, docker_config: Path, key: Path, tmp_path: Path
) -> None:
    proxy.fault = Tokens(_ACCOUNT)
    name = f"{proxy.address}/{SINGLE}:1"
    assert _bundle(key, tmp_path / "bundle", name).code == 5
    _log_in(docker_config, proxy.address)
    outcome = _bundle(key, tmp_path / "bundle", name)
    assert outcome.code == 0, outcome.err


def test_the_password_goes_to_the_token_server_alone(
    proxy: FaultProxy, docker_config: Path, key: Path, tmp_path: Path
) -> None:
    proxy.fault = Tokens(_ACCOUNT)
    _log_in(docker_config, proxy.address)
    _bundle(key, tmp_path / "bundle", f"{proxy.address}/{SINGLE}:1")
    told = {
        request.path.partition("?")[0]
        for request in proxy.requests
        if request.headers.get("authorization") == _BASIC
    }
    assert told == {"/token"}


@pytest.mark.parametrize("uses", [1, 2, 3])
def test_tokens_that_expire_half_way_are_renewed(
    uses: int, proxy: FaultProxy, docker_config: Path, key: Path, tmp_path: Path
) -> None:
    proxy.fault = tokens = Tokens(uses=uses)
    name = f"{proxy.address}/{SINGLE}:1"
    outcome = _bundle(key, tmp_path / "bundle", name)
    assert outcome.code == 0, outcome.err
    assert tokens.given > 1


def test_a_redirect_to_another_server_goes_without_the_header(
    proxy: FaultProxy, registry: Upstream, docker_config: Path, key: Path, tmp_path: Path
) -> None:
    tokens = Tokens()
    with FaultProxy(registry.address) as storage:

        def redirects(exchange: Exchange) -> bool:
            if tokens(exchange):
                return True
            request = exchange.request_seen
            if request.is_blob:
                exchange.answer(307, {"Location": f"http://{storage.address}{request.path}"})
            return request.is_blob

        proxy.fault = redirects
        outcome = _bundle(key, tmp_path / "bundle", f"{proxy.address}/{SINGLE}:1")
        assert outcome.code == 0, outcome.err
        assert storage.blobs
        assert not any("authorization" in request.headers for request in storage.requests)
        assert all("authorization" in one.headers for one in proxy.requests if one.is_blob)


def test_a_redirect_within_a_server_keeps_the_header_whatever_netrc_says(
    proxy: FaultProxy,
    docker_config: Path,
    key: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine registry.example.test login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
    registries = tmp_path / "registries.toml"
    registries.write_text('[registry."registry.example.test"]\nhttp = true\n')
    _log_in(docker_config, "registry.example.test")

    def asks_and_redirects(exchange: Exchange) -> bool:
        request = exchange.request_seen
        if request.headers.get("authorization") != _BASIC:
            exchange.answer(401, {"WWW-Authenticate": 'Basic realm="lab"'})
            return True
        if request.is_blob and "moved" not in request.path:
            exchange.answer(307, {"Location": f"{request.path}?moved"})
            return True
        return False

    proxy.fault = asks_and_redirects
    outcome = airgap(
        "bundle", f"registry.example.test/{SINGLE}:1", "--no-roles", "--platform", "linux/arm64",
        "--registries", registries, "--key", key, "-o", tmp_path / "bundle",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
