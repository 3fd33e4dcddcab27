"""Mirror and registry as other machines reach them: the real registry, with our configuration."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from airgap.builder.ephemeral_containers import registry_yml
from airgap.errors import HostError
from airgap.isolated.host.addresses import local_ip
from airgap.isolated.host.registry_probe import wants_account
from airgap.isolated.nodes import membership
from airgap.isolated.state.accounts import add_account, prepare, remove_account
from airgap.isolated.state.layout import State
from airgap.isolated.state.local_ca import issue_server_certificate
from airgap.trust.certificates import CertificateAndKey, Purpose, issue
from lab.layers import Layer
from lab.parts import program
from tests.integration.command import airgap
from tests.unit.isolated.nodes.test_node_file import GOOD

HOST = "localhost"
_PATIENCE = 20.0


@contextmanager
def registry(state: State, folder: Path, *, secured: bool) -> Iterator[str]:
    """The registry over `pushed`, with its paths in the container replaced by those here."""
    port = _free_port()
    text = registry_yml(read_only=False, secured=secured, address=f"127.0.0.1:{port}")
    text = text.replace("/etc/airgap/secrets", str(state.secrets))
    text = text.replace("/var/lib/registry", str(state.pushed))
    config = folder / f"{port}.yml"
    config.write_text(text)
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen(
        [program("registry"), "serve", config],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait(port)
            yield f"{HOST}:{port}"
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    issue_server_certificate(state, HOST)
    prepare(state)
    state.pushed.mkdir()
    return state


def _session(state: State, *account: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(state.authority / "ca.crt")
    session.auth = (account[0], account[1]) if account else None
    return session


def _crane(state: State, config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {
        **os.environ,
        "SSL_CERT_FILE": str(state.authority / "ca.crt"),
        "DOCKER_CONFIG": str(config),
    }
    command = [str(program("crane")), *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def test_accounts_count_at_once_and_only_their_passwords(state: State, tmp_path: Path) -> None:
    with registry(state, tmp_path, secured=True) as address:
        assert wants_account(address, str(state.authority / "ca.crt"))

        def status(*account: str) -> int:
            return _session(state, *account).get(f"https://{address}/v2/").status_code

        assert status("ci", "first") == 401
        add_account(state, "ci", "first")
        assert status("ci", "first") == 200
        assert status("ci", "other") == status() == status("me", "first") == 401
        add_account(state, "ci", "säcond pass:word")
        assert status("ci", "first") == 401
        assert status("ci", "säcond pass:word".encode().decode("latin-1")) == 200
        remove_account(state, "ci")
        assert status("ci", "first") == 401


def test_the_command_gives_an_account(state: State, tmp_path: Path) -> None:
    root = ("--root", state.root)
    with registry(state, tmp_path, secured=True) as address:
        made = airgap(*root, "account", "add", "ci", "--generate")
        assert made.code == 0, made.err
        password = made.out.strip()
        answer = _session(state, "ci", password).get(f"https://{address}/v2/")
        assert answer.status_code == 200
        assert airgap(*root, "account", "list").out == "ci\n"
        assert airgap(*root, "account", "list", "--json").out == '["ci"]\n'
        assert airgap(*root, "account", "remove", "ci").code == 0
        assert airgap(*root, "account", "remove", "ci").code == 3


def test_what_one_takes_the_other_serves_at_once(state: State, tmp_path: Path) -> None:
    add_account(state, "ci", "secret")
    with (
        registry(state, tmp_path, secured=False) as plain,
        registry(state, tmp_path, secured=True) as secured,
    ):
        layer = Layer().file("data", os.urandom(200_000)).write(tmp_path / "layer.tar.gz")
        docker = tmp_path / "docker"
        _checked(state, docker, "auth", "login", secured, "-u", "ci", "-p", "secret")
        made = ["append", "--oci-empty-base", "-f", str(layer), "-t"]
        _checked(state, docker, *made, f"{secured}/over/tls:1")
        digest = _checked(state, docker, "digest", f"{plain}/over/tls:1")
        assert digest == _checked(state, docker, "digest", f"{secured}/over/tls:1")
        _checked(state, docker, "validate", "--remote", f"{plain}/over/tls:1")
        _checked(
            state,
            docker,
            "append",
            "-f",
            str(layer),
            "-b",
            f"{secured}/over/tls:1",
            "-t",
            f"{plain}/over/tls:1",
        )
        moved = _checked(state, docker, "digest", f"{secured}/over/tls:1")
        assert moved != digest
        _checked(state, docker, "delete", f"{plain}/over/tls@{moved}")
        assert _crane(state, docker, "digest", f"{secured}/over/tls@{moved}").returncode != 0


def _checked(state: State, config: Path, *arguments: str) -> str:
    done = _crane(state, config, *arguments)
    assert done.returncode == 0, f"{arguments}\n{done.stderr}"
    return done.stdout.strip()


def test_whoever_trusts_the_authority_trusts_it_for_nothing_else(
    state: State, tmp_path: Path
) -> None:
    """A thief of its key could not pose as anybody but the mirror, not even to a whole host."""
    stolen = CertificateAndKey(
        *((state.authority / name).read_bytes() for name in ("ca.crt", "ca.key"))
    )
    forged = issue(stolen, "127.0.0.1", Purpose.SERVER, datetime.now(UTC), 30)
    (state.secrets / "tls.crt").write_bytes(forged.certificate)
    (state.secrets / "tls.key").write_bytes(forged.key)
    with registry(state, tmp_path, secured=True) as address:
        port = address.partition(":")[2]
        with pytest.raises(requests.exceptions.SSLError, match="subtree violation"):
            _session(state).get(f"https://127.0.0.1:{port}/v2/")
        done = _crane(state, tmp_path, "catalog", f"127.0.0.1:{port}")
        assert "not permitted" in done.stderr or "excluded" in done.stderr, done.stderr


def test_old_versions_of_tls_are_refused(state: State, tmp_path: Path) -> None:
    with registry(state, tmp_path, secured=True) as address:
        old = ["openssl", "s_client", "-connect", address, "-cipher", "ALL:@SECLEVEL=0"]

        def status(version: str) -> int:
            return subprocess.run(
                [*old, version], input=b"", capture_output=True, check=False
            ).returncode

        assert status("-tls1_2") == 0
        assert status("-tls1_1") != 0


def test_the_address_has_to_be_this_hosts() -> None:
    assert local_ip("127.0.0.1") == "127.0.0.1"
    with pytest.raises(HostError, match="no address of this host"):
        local_ip("192.0.2.10")


def test_a_node_listens_at_an_address_of_its_own_alone(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no address of this host"):
        membership.join(State(tmp_path), GOOD)
    assert not State(tmp_path).joined.exists()
