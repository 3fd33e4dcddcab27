"""Two hosts and a cable: one builds for the builder of the other, by TCP with TLS and by ssh."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from airgap.errors import ExitCode
from lab import full_run
from lab.host import IsolatedHost
from lab.parts import program
from tests.contract import parse_json
from tests.e2e.conftest import Carried, visit

NODE_PORT = 1234
PASSWORD = "correct horse"
BOTH = ["--platform", "linux/amd64,linux/arm64"]
DOCKERFILE = "FROM alpine\nRUN uname -m > /machine\n"
SSH = ("openssh-client", "openssh-server")


@dataclass(frozen=True, slots=True)
class Site:
    """Two servers that are set up.

    Attributes:
        first: Whose builder it is; what it serves is served to the other one, too.
        second: Builds for linux/arm64.
        address: Of the first one.
        node_address: Of the second one.
    """

    first: IsolatedHost
    second: IsolatedHost
    address: str
    node_address: str

    @property
    def app(self) -> str:
        return f"{self.address}:5000/site/app"

    @property
    def endpoint(self) -> str:
        return f"tcp://{self.node_address}:{NODE_PORT}"

    def node(self, *arguments: str) -> str:
        """What `airgap node` says on the first host."""
        return self.first.run(["airgap", "node", *arguments]).stdout

    def bring(self, name: str = "arm") -> str:
        """Carries the node's file to the second host, which joins with it."""
        self.second.write("/root/given.node", self.first.path(f"/{name}.node").read_bytes())
        return self.second.run(["airgap", "node", "join", "/root/given.node"]).stdout

    def status(self, host: IsolatedHost) -> dict[str, dict[str, object]]:
        done = host.run(["airgap", "status", "--json"], check=False)
        found: dict[str, dict[str, object]] = parse_json("status", done.stdout)["steps"]
        return found

    def build(self, *options: str, user: str = "root", check: bool = True) -> str:
        home = "/root" if user == "root" else f"/home/{user}"
        command = ["docker", "buildx", "build", "--builder", "airgap", "--no-cache"]
        done = self.first.run([*command, *options, f"{home}/app"], user=user, check=check)
        return done.stdout + done.stderr

    def built(self, host: IsolatedHost) -> set[str]:
        """What a host's builder has built, as its own history says."""
        command = ["docker", "exec", "airgap-buildkitd", "buildctl", "debug", "histories"]
        return set(host.run([*command, "--format", "{{.Record.Ref}}"]).stdout.split())


@pytest.fixture(scope="module")
def site(carried: Carried) -> Iterator[Site]:
    with IsolatedHost(packages=SSH) as first, IsolatedHost(packages=SSH) as second:
        address, node_address = first.connect(second, "203.0.113")
        for host in (first, second):
            host.check_isolated()
            visit(host, carried)
        full_run.install(first, "--listen", address)
        full_run.install(second)
        first.run(["airgap", "account", "add", "ci", "--password-stdin"], input=PASSWORD)
        first.run(["airgap", "enable"], user="alice")
        for user, home in (("root", "/root"), ("alice", "/home/alice")):
            login = ["docker", "login", f"{address}:5000", "--username", "ci", "--password-stdin"]
            first.run(login, input=PASSWORD, user=user)
            first.path(f"{home}/app").mkdir()
            first.path(f"{home}/app/Dockerfile").write_text(DOCKERFILE)
        shutil.copy2(program("crane"), first.path("/usr/local/bin/crane"))
        yield Site(first, second, address, node_address)


def _is_one_index(site: Site) -> None:
    """By crane, which is told of nothing: the host itself trusts the CA."""
    config = json.loads(site.first.run(["crane", "manifest", site.app]).stdout)
    platforms = {one["platform"]["architecture"] for one in config["manifests"]}
    assert {"amd64", "arm64"} <= platforms
    for machine, architecture in (("x86_64", "amd64"), ("aarch64", "arm64")):
        export = ["crane", "export", "--platform", f"linux/{architecture}", site.app, "/x.tar"]
        site.first.run(export)
        said = site.first.run(["tar", "-xOf", "/x.tar", "machine"]).stdout
        assert said.strip() == machine


def test_before_it_joins_the_node_is_named_as_unreachable(site: Site) -> None:
    said = site.node("add", "arm", site.endpoint)
    assert "arm builds for linux/arm64" in said
    assert site.first.path("/arm.node").stat().st_mode & 0o777 == 0o600
    (listed,) = parse_json("node list", site.node("list", "--json"))
    assert listed["reachable"] is False
    nodes = site.status(site.first)["nodes"]
    assert nodes["ok"] is False
    assert "arm cannot be reached" in str(nodes["detail"])
    # What this host builds by itself continues.
    site.build("--platform", "linux/amd64", "-t", f"{site.app}:own", "--push")


def test_with_its_file_the_second_host_joins_by_mutual_tls(site: Site) -> None:
    said = site.bring()
    assert f"listens at {site.node_address}:{NODE_PORT}" in said
    (listed,) = parse_json("node list", site.node("list", "--json"))
    assert listed["reachable"] is True
    for host in (site.first, site.second):
        assert site.status(host)["nodes"]["ok"] is True
    assert site.second.run(["airgap", "status"]).returncode == 0


def test_both_push_what_becomes_one_index(site: Site) -> None:
    before = site.built(site.second)
    site.build(*BOTH, "-t", site.app, "--push")
    assert len(site.built(site.second) - before) == 1
    _is_one_index(site)


def test_the_platform_of_the_host_itself_does_not_trouble_the_node(site: Site) -> None:
    before = site.built(site.second)
    site.build("-t", f"{site.app}:own", "--push")
    site.build("--platform", "linux/amd64", "-t", "local", "--load")
    assert site.built(site.second) == before
    site.build("--platform", "linux/arm64", "-t", "arm", "--load")
    assert len(site.built(site.second) - before) == 1


def test_who_has_no_certificate_is_refused(site: Site) -> None:
    connect = ["openssl", "s_client", "-tls1_2", "-connect", f"{site.node_address}:{NODE_PORT}"]
    folder = "/var/lib/airgap/nodes/arm"
    known = ["-CAfile", f"{folder}/ca.crt", "-verify_return_error"]
    own = ["-cert", f"{folder}/client.crt", "-key", f"{folder}/client.key"]
    assert site.first.run([*connect, *known, *own], check=False).returncode == 0
    assert site.first.run([*connect, *known], check=False).returncode != 0
    # The certificate of the registry is by another CA, and is no client's.
    other = ["-cert", "/var/lib/airgap/secrets/tls.crt", "-key", "/var/lib/airgap/secrets/tls.key"]
    assert site.first.run([*connect, *known, *other], check=False).returncode != 0


def test_the_key_is_for_those_who_may_use_docker(site: Site) -> None:
    key = "/var/lib/airgap/nodes/arm/client.key"
    stat = site.first.run(["stat", "--format", "%a %U:%G", key]).stdout.strip()
    assert stat == "640 root:docker"
    site.first.run(["airgap", "enable"], user="alice")
    before = site.built(site.second)
    site.build(*BOTH, "-t", site.app, "--push", user="alice")
    assert len(site.built(site.second) - before) == 1
    site.first.run(["airgap", "status"], user="alice")
    site.second.run(["airgap", "enable"], user="alice")
    site.second.run(["airgap", "status"], user="alice")


def test_an_install_continues_as_before(site: Site) -> None:
    for host in (site.first, site.second):
        said = host.run(["airgap", "install", full_run.ON_MEDIUM], timeout=600).stdout
        assert "nothing to change" in said
        assert "and pushed to 127.0.0.1:5000" in said


def test_a_certificate_that_ended_is_named_and_renewed(site: Site) -> None:
    site.node("renew", "arm", "--days", "1")
    (listed,) = parse_json("node list", site.node("list", "--json"))
    assert listed["reachable"] is False  # the node has the old one
    site.bring()
    (listed,) = parse_json("node list", site.node("list", "--json"))
    assert listed["reachable"] is True
    _ended(site)
    nodes = site.status(site.first)["nodes"]
    assert "the certificate of arm ended on" in str(nodes["detail"])
    assert "failed" in site.build(*BOTH, check=False).lower()
    site.node("renew", "arm")
    site.bring()
    assert site.status(site.first)["nodes"]["ok"] is True


def _ended(site: Site) -> None:
    """A node whose certificates are over: made by openssl, as nothing else makes such."""
    folder = "/var/lib/airgap/nodes/arm"
    site.first.run(
        [
            *["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            *["-nodes", "-subj", "/CN=over", "-keyout", f"{folder}/client.key"],
            *["-out", f"{folder}/client.crt", "-not_before", "20200101000000Z"],
            *["-not_after", "20200102000000Z"],
        ]
    )


def test_a_file_that_is_not_one_is_refused(site: Site) -> None:
    for data in (b"", b"{}", b"[" * 100_000, b"\0" * 70_000):
        site.second.write("/root/bad.node", data)
        done = site.second.run(["airgap", "node", "join", "/root/bad.node"], check=False)
        assert done.returncode == ExitCode.USAGE
        assert "cannot be used" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_node_that_is_taken_back_is_built_for_here_again(site: Site) -> None:
    site.node("remove", "arm")
    assert site.node("list") == ""
    site.second.run(["airgap", "node", "leave"])
    assert site.status(site.second).get("nodes") is None
    before = site.built(site.second)
    site.build(*BOTH, "-t", site.app, "--push")
    assert site.built(site.second) == before
    _is_one_index(site)
    assert not site.first.path("/var/lib/airgap/nodes/arm").exists()
    assert not site.second.path("/var/lib/airgap/joined").exists()


def test_by_ssh_nothing_listens_on_the_node(site: Site) -> None:
    site.second.run(["mkdir", "-p", "/run/sshd"])
    site.second.run(["/usr/sbin/sshd", "-o", "UsePAM=no"])  # which knows no account of the lab
    site.first.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519"])
    site.first.path("/root/.ssh/config").write_text("StrictHostKeyChecking accept-new\n")
    key = site.first.path("/root/.ssh/id_ed25519.pub").read_bytes()
    site.second.run(["install", "-d", "-m", "0700", "-o", "alice", "/home/alice/.ssh"])
    site.second.write("/home/alice/.ssh/authorized_keys", key)
    said = site.node("add", "arm", f"ssh://alice@{site.node_address}")
    assert "airgap node join arm.node" in said
    site.bring()  # so that it trusts the registry
    (listed,) = parse_json("node list", site.node("list", "--json"))
    assert listed["reachable"] is True, listed
    assert listed["until"] is None
    before = site.built(site.second)
    site.build(*BOTH, "-t", site.app, "--push")
    assert len(site.built(site.second) - before) == 1
    _is_one_index(site)
    connect = f"import socket; socket.create_connection(('{site.node_address}', {NODE_PORT}))"
    refused = site.first.run(["python3", "-I", "-c", connect], check=False)
    assert "ConnectionRefusedError" in refused.stderr


def test_uninstall_takes_all_of_it_back(site: Site) -> None:
    for host in (site.first, site.second):
        host.run(["airgap", "uninstall", "--purge"])
        assert not host.path("/etc/docker/certs.d").exists()
        assert not list(host.path("/etc/ssl/certs").glob("airgap*"))
        assert not list(host.path("/var/lib/airgap").glob("*/ca.crt"))
    assert "airgap-arm" not in site.first.run(["docker", "context", "ls"]).stdout
