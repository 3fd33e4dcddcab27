from __future__ import annotations

import stat
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from airgap.builder.ephemeral_containers import registry_yml
from airgap.errors import NotFoundError, UsageError
from airgap.isolated.host.addresses import parse_listen
from airgap.isolated.services import containers
from airgap.isolated.state import accounts, local_ca
from airgap.isolated.state.layout import State
from airgap.isolated.state.settings import HostSettings
from airgap.trust.certificates import is_authority_of, is_for
from tests import forge
from tests.unit.isolated.services.test_site_registry import CHOSEN, work_with

ADDRESS = "192.0.2.10"
LISTENING = HostSettings(listen=ADDRESS)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (ADDRESS, ADDRESS),
        ("2001:DB8::0:10", "2001:db8::10"),
        ("[2001:db8::10]", "2001:db8::10"),
        ("Mirror.Example.internal", "mirror.example.internal"),
        ("none", ""),
    ],
)
def test_an_address_is_an_ip_or_a_name(text: str, kept: str) -> None:
    assert parse_listen(text) == kept


@pytest.mark.parametrize(
    "text",
    ["", "0.0.0.0", "::", "127.0.0.1", "a b", "-x", "x/y", "192.0.2.10:5000", "a\nb"],  # noqa: S104
)
def test_what_others_cannot_use_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--listen"):
        parse_listen(text)


def test_settings_without_the_key_still_load(tmp_path: Path) -> None:
    state = State(tmp_path)
    (tmp_path / "settings.json").write_text('{"mirror_port": 1, "site_registries": []}')
    assert state.settings() == HostSettings(mirror_port=1)
    state.save_settings(LISTENING)
    assert state.settings() == LISTENING


def test_a_certificate_is_made_for_the_address_and_again_in_time(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert local_ca.certificate_problem(state, ADDRESS) == "there is no certificate yet"
    local_ca.issue_server_certificate(state, ADDRESS)
    assert local_ca.certificate_problem(state, ADDRESS) == ""
    served, vouching = state.secrets / "tls.crt", state.authority / "ca.crt"
    for key in (state.secrets / "tls.key", state.authority / "ca.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert is_for(served.read_bytes(), ADDRESS)
    both = served.read_bytes(), vouching.read_bytes()
    in_time = datetime.now(UTC) + timedelta(days=59)
    assert local_ca.check_certificate(*both, ADDRESS, in_time) == ""
    later = local_ca.check_certificate(*both, ADDRESS, in_time + timedelta(days=2))
    assert later.startswith("its certificate ends on 20")
    # A new certificate needs no new CA: others trust that one.
    local_ca.issue_server_certificate(state, ADDRESS)
    assert vouching.read_bytes() == both[1]
    assert served.read_bytes() != both[0]


def test_another_address_needs_another_authority(tmp_path: Path) -> None:
    state = State(tmp_path)
    local_ca.issue_server_certificate(state, ADDRESS)
    assert "not by a CA for mirror.lan" in local_ca.certificate_problem(state, "mirror.lan")
    local_ca.issue_server_certificate(state, "mirror.lan")
    assert local_ca.certificate_problem(state, "mirror.lan") == ""
    assert is_authority_of((state.authority / "ca.crt").read_bytes(), "mirror.lan")


def test_builders_know_what_is_served_to_others(tmp_path: Path) -> None:
    settings = replace(CHOSEN, listen=ADDRESS)
    work = work_with(tmp_path, forge.single("ghcr.io/org/app:1"), settings=settings)
    sections = tomllib.loads(containers.config_text(work, containers.REPLAYER))["registry"]
    assert sections[f"{ADDRESS}:5000"] == {"http": False, "ca": ["/etc/airgap/ca/ca.crt"]}
    assert sections["127.0.0.1:5000"] == {"http": True}
    assert "mirrors" in sections["ghcr.io"]


def test_addresses_of_ipv6_are_bracketed(tmp_path: Path) -> None:
    settings = HostSettings(listen="2001:db8::10", registry_port=6000)
    servers = list(containers.listening(work_with(tmp_path, settings=settings)).values())
    assert [server.address for server in servers] == ["[2001:db8::10]:5001", "[2001:db8::10]:6000"]


def test_a_mirror_of_somebody_else_is_not_served_again(tmp_path: Path) -> None:
    work = work_with(tmp_path, settings=replace(CHOSEN, listen=ADDRESS))
    assert [server.address for server in containers.listening(work).values()] == [f"{ADDRESS}:5000"]


def test_the_registry_for_others_has_tls_and_accounts() -> None:
    config = yaml.safe_load(registry_yml(read_only=True, secured=True))
    assert set(config["http"]["tls"]) == {"certificate", "key", "minimumtls"}
    assert config["auth"]["htpasswd"]["path"] == "/etc/airgap/secrets/htpasswd"
    assert config["storage"]["maintenance"]["readonly"]["enabled"] is True
    assert "auth" not in yaml.safe_load(registry_yml(read_only=True))


def test_accounts_are_added_replaced_and_removed(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert accounts.accounts(state) == {}
    accounts.add_account(state, "ci", "first")
    before = accounts.accounts(state)["ci"]
    accounts.add_account(state, "ci", "second")
    accounts.add_account(state, "me", "x" * 72)
    assert accounts.accounts(state)["ci"] != before
    assert stat.S_IMODE((state.secrets / "htpasswd").stat().st_mode) == 0o600
    accounts.remove_account(state, "ci")
    assert list(accounts.accounts(state)) == ["me"]
    with pytest.raises(NotFoundError):
        accounts.remove_account(state, "ci")


@pytest.mark.parametrize("name", ["", "a:b", "a b", "-a", "a\nroot", "x" * 65])
def test_names_that_would_break_the_file_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        accounts.add_account(State(tmp_path), name, "x")


@pytest.mark.parametrize("password", ["", "x" * 73, "a\0b"])
def test_passwords_of_which_a_part_would_not_count_are_refused(
    password: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="1 to 72 bytes"):
        accounts.add_account(State(tmp_path), "ci", password)
