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
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


def configure(folder: Path, config: object) -> Credentials:
    (folder / "config.json").write_text(json.dumps(config))
    return Credentials()


def encoded(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


@pytest.mark.parametrize(
    "key", ["https://[::1/v1/", "https://::1:5000/v1/", "://", "https://[x]y/"]
)
def test_a_key_that_is_no_address_does_not_hide_other_hosts(tmp_path: Path, key: str) -> None:
    entries = {key: encoded("eve:x"), "https://a.internal/v1/": encoded("ann:x")}
    credentials = configure(tmp_path, {"auths": entries})
    assert credentials.find("a.internal") == Credential("ann", "x")
    assert credentials.find("b.internal") is None


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
def test_where_the_store_has_nothing_there_is_nothing(tmp_path: Path, script: str) -> None:
    install_helper(tmp_path, "all", script)
    credentials = configure(
        tmp_path, {"credsStore": "all", "auths": {"a.internal": encoded("ann:x")}}
    )
    assert credentials.find("a.internal") is None
    assert credentials.find("b.internal") is None


def test_a_helper_of_a_host_comes_before_the_store(tmp_path: Path) -> None:
    install_helper(tmp_path, "all", answer("ann", "secret"))
    install_helper(tmp_path, "one", answer("bob", "other"))
    config = {
        "credsStore": "all",
        "credHelpers": {"a.internal": "one", "b.internal": ""},
        "auths": {"b.internal": encoded("eve:x")},
    }
    credentials = configure(tmp_path, config)
    assert credentials.find("a.internal") == Credential("bob", "other")
    assert credentials.find("b.internal") == Credential("eve", "x")
    assert credentials.find("c.internal") == Credential("ann", "secret")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo the keychain is locked; exit 1", "the keychain is locked"),
        ("echo no json", "Expecting value"),
        ("echo '[]'", "it answers a list"),
        ("echo '{\"Username\": 1}'", "a int stands for a text"),
        ("printf '\\377'; exit 1", "\ufffd"),
        ("exit 3", "exit status 3"),
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
    with pytest.raises(CredentialsError, match="docker-credential-absent is not installed"):
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
        {"auths": {"a.internal": {"auth": "YW5uOng"}}},
        {"auths": {"a.internal": {"auth": "OnA="}}},
        {"auths": {"a.internal": {"username": 1}}},
        {"credsStore": 1},
        {"credHelpers": {"a.internal": ["x"]}},
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


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"username": "ann", "password": "x"}, Credential("ann", "x")),
        ({"Username": "ann", "PASSWORD": "x"}, Credential("ann", "x")),
        ({"username": "eve", "password": "y", **encoded("ann:x")}, Credential("ann", "x")),
        ({"username": "ann", "password": "x", "auth": ""}, Credential("ann", "x")),
        ({"username": "ann"}, Credential("ann", "")),
        ({"password": "x"}, None),
        ({"auth": "YW5u\nOng=\r\n"}, Credential("ann", "x")),
        (encoded("ann:x\0"), Credential("ann", "x")),
        ({"identitytoken": "long"}, Credential("", "", "long")),
        ({"registrytoken": "as-it-is"}, Credential("", "", "", "as-it-is")),
        ({"registrytoken": "t", **encoded("ann:x")}, Credential("ann", "x", "", "t")),
        (None, None),
    ],
)
def test_an_entry_is_read_in_each_of_its_forms(
    tmp_path: Path, entry: object, found: Credential | None
) -> None:
    assert configure(tmp_path, {"auths": {"a.internal": entry}}).find("a.internal") == found


@pytest.mark.parametrize("scheme", ["", "https://", "http://"])
@pytest.mark.parametrize("path", ["", "/", "/v1/", "/v2/", "/some/path"])
@pytest.mark.parametrize("host", ["a.internal", "a.internal:5000", "[::1]:5000", "127.0.0.1"])
def test_a_key_is_a_host_in_any_form(tmp_path: Path, scheme: str, path: str, host: str) -> None:
    credentials = configure(tmp_path, {"auths": {f"{scheme}{host}{path}": encoded("ann:x")}})
    assert credentials.find(host) == Credential("ann", "x")
    assert credentials.find(f"{host}1") is None
    assert credentials.find("docker.io") is None


def test_the_very_name_comes_before_other_forms(tmp_path: Path) -> None:
    auths = {"https://a.internal/v1/": encoded("old:x"), "a.internal": encoded("new:x")}
    assert configure(tmp_path, {"auths": auths}).find("a.internal") == Credential("new", "x")


@pytest.mark.parametrize("text", ["", " \n", "null", "{}", '{"auths": null}', "{} more"])
def test_a_blank_configuration_holds_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert Credentials().find("a.internal") is None


@pytest.mark.parametrize("text", ["{", "// no", "\ufeff{}", "[" * 100_000])
def test_what_is_no_json_is_a_credentials_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CredentialsError, match="is not a configuration of Docker's"):
        Credentials().find("a.internal")


def test_another_folder_is_not_replaced_by_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".docker").mkdir()
    configure(tmp_path / ".docker", {"auths": {"a.internal": encoded("ann:x")}})
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    assert Credentials().find("a.internal") is None
    monkeypatch.setenv("DOCKER_CONFIG", "")
    assert Credentials().find("a.internal") == Credential("ann", "x")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"auths": {"a.internal": encoded("env:x")}}, Credential("env", "x")),
        ({"auths": {"https://a.internal": encoded("env:x")}}, Credential("ann", "x")),
        ({"auths": {"a.internal": {"username": "u", "password": "p"}}}, Credential("ann", "x")),
        ({"auths": {"a.internal": encoded("env:x")}, "credsStore": "s"}, Credential("ann", "x")),
        ({"auths": {"a.internal": {"auth": "%"}}}, Credential("ann", "x")),
        ([], Credential("ann", "x")),
    ],
)
def test_the_variable_comes_first_if_it_is_as_the_docker_command_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: object, found: Credential
) -> None:
    credentials = configure(tmp_path, {"auths": {"a.internal": encoded("ann:x")}})
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps(given))
    assert credentials.find("a.internal") == found
