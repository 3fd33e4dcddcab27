"""Mirror and registry for other machines: with TLS by the host's CA, and accounts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from airgap.errors import ExitCode
from lab import full_run
from lab.host import IsolatedHost
from lab.parts import program
from tests.e2e.conftest import Carried, visit

ADDRESS = "192.0.2.10"
MIRROR, REGISTRY = f"{ADDRESS}:5001", f"{ADDRESS}:5000"
CA = "/var/lib/airgap/authority/ca.crt"
APP = f"{REGISTRY}/site/app"
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def host(carried: Carried) -> Iterator[IsolatedHost]:
    """Listens at an address of its own, where the account `ci` may do everything."""
    with IsolatedHost() as host:
        host.check_isolated()
        host.run(["ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1"])
        host.run(["ip", "address", "add", f"{ADDRESS}/24", "dev", "lan0"])
        for end in ("lan0", "lan1"):
            host.run(["ip", "link", "set", end, "up"])
        visit(host, carried)
        full_run.install(host, "--listen", ADDRESS)
        add = ["airgap", "account", "add", "ci", "--password-stdin"]
        host.run(add, input=f"{PASSWORD}\n")
        shutil.copy2(program("crane"), host.path("/usr/local/bin/crane"))
        yield host


def crane(host: IsolatedHost, *arguments: str) -> str:
    """What crane says, which trusts the host's CA and nobody else."""
    done = host.run(["crane", *arguments], env={"SSL_CERT_FILE": CA}, check=False)
    return done.stdout + done.stderr


def login(host: IsolatedHost, password: str = PASSWORD) -> int:
    command = ["docker", "login", REGISTRY, "--username", "ci", "--password-stdin"]
    return host.run(command, input=password, check=False).returncode


def test_openssl_finds_a_certificate_of_the_hosts_authority(host: IsolatedHost) -> None:
    for address in (MIRROR, REGISTRY):
        command = ["openssl", "s_client", "-connect", address, "-CAfile", CA]
        checks = ["-verify_ip", ADDRESS, "-verify_return_error"]
        done = host.run([*command, *checks], input="")
        assert "Verification: OK" in done.stdout
        assert "BEGIN CERTIFICATE" in done.stdout


def test_without_an_account_nothing_is_served(host: IsolatedHost) -> None:
    for name in (f"{MIRROR}/docker.io/library/alpine", APP):
        assert "UNAUTHORIZED" in crane(host, "digest", name)
    assert login(host, "wrong") != 0


def test_an_account_pulls_from_the_mirror_and_cannot_change_it(host: IsolatedHost) -> None:
    crane(host, "auth", "login", MIRROR, "-u", "ci", "-p", PASSWORD)
    crane(host, "auth", "login", REGISTRY, "-u", "ci", "-p", PASSWORD)
    alpine = f"{MIRROR}/docker.io/library/alpine"
    assert crane(host, "digest", alpine).startswith("sha256:")
    assert "error" in crane(host, "tag", alpine, "mine").lower()
    assert "error" in crane(host, "push", "/nothing", alpine).lower()


def test_a_build_for_two_platforms_is_pushed_with_an_account(host: IsolatedHost) -> None:
    assert login(host) == 0
    host.path("/root/app").mkdir()
    host.path("/root/app/Dockerfile").write_text("FROM alpine\nRUN uname -m > /machine\n")
    build = ["docker", "buildx", "build", "--platform", "linux/amd64,linux/arm64"]
    host.run([*build, "-t", APP, "--push", "/root/app"])
    inspect = ["docker", "buildx", "imagetools", "inspect", APP]  # by buildx itself, not a builder
    platforms = host.run(inspect).stdout
    assert "linux/arm64" in platforms
    assert "linux/amd64" in platforms
    # The same storage: what was pushed there is seen on loopback at once, and the other way.
    local = host.run(["crane", "digest", "--insecure", "127.0.0.1:5000/site/app"]).stdout
    assert local.strip() == crane(host, "digest", APP).strip()
    host.run(["docker", "pull", "--platform", "linux/amd64", APP])


def test_other_machines_are_told_how_to_reach_the_mirror(host: IsolatedHost) -> None:
    said = host.run(["airgap", "mirrors", "--for", "containerd", "--elsewhere"]).stdout
    assert f"https://{MIRROR}/v2/docker.io" in said
    assert "127.0.0.1" not in said


def test_a_builder_of_ones_own_knows_the_authority(host: IsolatedHost) -> None:
    login(host)
    host.run(["docker", "buildx", "create", "--name", "own", "--bootstrap"])
    try:
        build = ["docker", "buildx", "build", "--builder", "own", "--platform", "linux/amd64"]
        host.run([*build, "-t", f"{APP}:own", "--push", "/root/app"])
    finally:
        host.run(["docker", "buildx", "rm", "own"])


def test_an_account_that_was_removed_is_refused_at_once(host: IsolatedHost) -> None:
    assert login(host) == 0
    assert host.run(["airgap", "account", "list"]).stdout == "ci\n"
    host.run(["airgap", "account", "remove", "ci"])
    assert login(host) != 0
    made_up = host.run(["airgap", "account", "add", "ci", "--generate"]).stdout.strip()
    assert login(host, made_up) == 0
    host.run(["airgap", "account", "add", "ci", "--password-stdin"], input=PASSWORD)


def test_keys_and_hashes_are_for_root_alone(host: IsolatedHost) -> None:
    for file in ("authority/ca.key", "secrets/tls.key", "secrets/htpasswd"):
        done = host.run(["cat", f"/var/lib/airgap/{file}"], user="alice", check=False)
        assert "Permission denied" in done.stderr
    host.run(["airgap", "status"])
    host.run(["airgap", "enable"], user="alice")
    host.run(["airgap", "status"], user="alice")


def test_an_address_that_is_not_this_hosts_is_refused(host: IsolatedHost) -> None:
    command = ["airgap", "install", full_run.ON_MEDIUM, "--listen"]
    done = host.run([*command, "192.0.2.99"], check=False)
    assert done.returncode == ExitCode.HOST
    assert "192.0.2.99 is no address of this host" in done.stderr


def test_it_ends_when_that_is_asked_for(host: IsolatedHost) -> None:
    host.run(["airgap", "install", full_run.ON_MEDIUM, "--listen", "none"])
    names = host.run(["docker", "ps", "--format", "{{.Names}}"]).stdout.split()
    assert not [name for name in names if name.endswith("-tls")]
    assert not host.path("/etc/docker/certs.d").exists()
    assert not list(host.path("/etc/ssl/certs").glob("airgap*"))
    host.run(["airgap", "status"])
    host.run(["airgap", "install", full_run.ON_MEDIUM, "--listen", ADDRESS])
    assert login(host) == 0  # accounts were kept
    host.run(["airgap", "uninstall", "--purge"])
    assert not host.path("/etc/docker/certs.d").exists()
    assert not host.path("/var/lib/airgap/authority").exists()
