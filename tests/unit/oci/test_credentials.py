"""Credentials come from Docker's own configuration, and from real credential helpers."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from airgap.errors import CredentialsError
from airgap.oci.credentials import Credential, Credentials

HUB = "https://index.docker.io/v1/"


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person's who runs the tests."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


def configure(folder: Path, config: object) -> Credentials:
    (folder / "config.json").write_text(json.dumps(config))
    return Credentials()


def encoded(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


def install_helper(folder: Path, name: str, script: str) -> None:
    """A credential helper that notes what it is asked: `get`, and the server on its input."""
    helper = folder / "bin" / f"docker-credential-{name}"
    helper.write_text(f'#!/bin/sh\nread -r server\necho "$1 $server" >> {folder}/asked\n{script}\n')
    helper.chmod(0o755)


def answer(username: str, secret: str) -> str:
    return f"echo '{json.dumps({'Username': username, 'Secret': secret})}'"


def test_without_a_configuration_there_are_none() -> None:
    assert Credentials().find("ghcr.io") is None


def test_auths_are_kept_by_host_and_port(tmp_path: Path) -> None:
    credentials = configure(
        tmp_path,
        {"auths": {"ghcr.io": encoded("ann:a:b"), "localhost:5000": encoded("bob:é")}},
    )
    assert credentials.find("ghcr.io") == Credential("ann", "a:b")
    assert credentials.find("localhost:5000") == Credential("bob", "é")
    assert credentials.find("localhost") is None
    assert credentials.find("docker.io") is None


@pytest.mark.parametrize("key", [HUB, "docker.io", "index.docker.io", "https://docker.io"])
def test_docker_hub_has_several_names(tmp_path: Path, key: str) -> None:
    credentials = configure(tmp_path, {"auths": {key: encoded("ann:secret")}})
    assert credentials.find("docker.io") == Credential("ann", "secret")


def test_a_key_may_be_a_full_url(tmp_path: Path) -> None:
    credentials = configure(tmp_path, {"auths": {"https://a.internal/v2/": encoded("ann:x")}})
    assert credentials.find("a.internal") == Credential("ann", "x")


def test_an_identity_token_is_found(tmp_path: Path) -> None:
    entry = encoded("ann:") | {"identitytoken": "long-lived"}
    credentials = configure(tmp_path, {"auths": {"a.internal": entry}})
    assert credentials.find("a.internal") == Credential("", "", "long-lived")


@pytest.mark.parametrize("entry", [{}, encoded(":")])
def test_an_empty_entry_is_no_credential(tmp_path: Path, entry: dict[str, str]) -> None:
    assert configure(tmp_path, {"auths": {"a.internal": entry}}).find("a.internal") is None


def test_other_settings_are_no_credentials(tmp_path: Path) -> None:
    config = {"psFormat": "json", "proxies": {"default": {}}, "experimental": "enabled"}
    assert configure(tmp_path, config).find("a.internal") is None


def test_the_configuration_is_read_when_it_is_first_needed(tmp_path: Path) -> None:
    credentials = Credentials()
    configure(tmp_path, {"auths": {"a.internal": encoded("ann:x")}})
    assert credentials.find("a.internal") == Credential("ann", "x")


def test_a_helper_is_asked_for_its_hosts(tmp_path: Path) -> None:
    install_helper(tmp_path, "site", answer("ann", "secret"))
    credentials = configure(
        tmp_path,
        {"credHelpers": {"a.internal": "site"}, "auths": {"b.internal": encoded("bob:x")}},
    )
    assert credentials.find("a.internal") == Credential("ann", "secret")
    assert credentials.find("b.internal") == Credential("bob", "x")
    assert (tmp_path / "asked").read_text() == "get a.internal\n"


def test_the_store_is_asked_for_every_host(tmp_path: Path) -> None:
    install_helper(tmp_path, "all", answer("ann", "secret"))
    credentials = configure(tmp_path, {"credsStore": "all"})
    assert credentials.find("a.internal:5000") == Credential("ann", "secret")
    assert credentials.find("docker.io") == Credential("ann", "secret")
    assert (tmp_path / "asked").read_text() == f"get a.internal:5000\nget {HUB}\n"


def test_a_helper_marks_an_identity_token_by_the_user_name(tmp_path: Path) -> None:
    install_helper(tmp_path, "site", answer("<token>", "long-lived"))
    credentials = configure(tmp_path, {"credHelpers": {"a.internal": "site"}})
    assert credentials.find("a.internal") == Credential("", "", "long-lived")


@pytest.mark.parametrize(
    "script", [answer("", ""), "echo credentials not found in native keychain; exit 1"]
)
def test_auths_are_used_where_the_store_has_nothing(tmp_path: Path, script: str) -> None:
    install_helper(tmp_path, "all", script)
    credentials = configure(
        tmp_path, {"credsStore": "all", "auths": {"a.internal": encoded("ann:x")}}
    )
    assert credentials.find("a.internal") == Credential("ann", "x")
    assert credentials.find("b.internal") is None


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo the keychain is locked; exit 1", "the keychain is locked"),
        ("echo no json", "Expecting value"),
        ("echo '[]'", "list indices"),
        ("echo '{}'", "Username"),
        ("printf '\\377'; exit 1", "can't decode byte 0xff"),
    ],
)
def test_a_helper_that_fails_is_a_credentials_error(tmp_path: Path, script: str, why: str) -> None:
    install_helper(tmp_path, "broken", script)
    credentials = configure(tmp_path, {"credHelpers": {"a.internal": "broken"}})
    with pytest.raises(
        CredentialsError, match=r"credential helper for a\.internal failed"
    ) as caught:
        credentials.find("a.internal")
    assert why in caught.value.message
    assert "config.json" in caught.value.remedy


def test_a_helper_that_is_not_installed_is_a_credentials_error(tmp_path: Path) -> None:
    credentials = configure(tmp_path, {"credsStore": "absent"})
    with (
        pytest.warns(UserWarning, match="docker-credential-absent not installed"),
        pytest.raises(CredentialsError, match="docker-credential-absent not installed"),
    ):
        credentials.find("a.internal")


def test_a_helper_that_cannot_be_run_is_a_credentials_error(tmp_path: Path) -> None:
    helper = tmp_path / "bin" / "docker-credential-broken"
    helper.write_text("#!/no/such/interpreter\n")
    helper.chmod(0o755)
    credentials = configure(tmp_path, {"credsStore": "broken"})
    with pytest.raises(CredentialsError, match=r"credential helper for a\.internal failed"):
        credentials.find("a.internal")


@pytest.mark.parametrize(
    "config",
    [
        {"auths": {"a.internal": "ann:x"}},
        {"auths": {"a.internal": {"auth": "%"}}},
        {"auths": {"a.internal": {"auth": "bm8gY29sb24="}}},
        {"auths": {"a.internal": {"auth": "/zo="}}},
        {"auths": {"a.internal": {"auth": 1}}},
        {"auths": ["a.internal"]},
        ["a.internal"],
    ],
)
def test_a_broken_configuration_is_a_credentials_error_that_names_it(
    tmp_path: Path, config: object
) -> None:
    credentials = configure(tmp_path, config)
    with pytest.raises(CredentialsError, match="is not a configuration of Docker's") as caught:
        credentials.find("a.internal")
    assert str(tmp_path / "config.json") in caught.value.message
    assert "docker login" in caught.value.remedy
