"""No command and no container of an isolated host asks another host, though there is a way out.

The host has a default route, for IPv4 and IPv6, and a name server. Every packet on its only link
to the outside is looked at, from before Docker starts until all is taken back.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import click
import pytest

from airgap.cli.main import cli
from airgap.oci.digest import digest_of
from lab import full_run
from lab.host import IsolatedHost
from lab.packet_capture import OUTSIDE, OUTSIDE_IPV6, PacketCapture
from tests import forge
from tests.contract import parse_json
from tests.e2e.conftest import Carried, started, visit

pytestmark = pytest.mark.timeout(1800)  # nearly all commands there are

ADDRESS = "198.51.100.2"
"""Of the host itself, on the link that is watched."""

NODE = "192.0.2.20"
APP = "127.0.0.1:5000/demo/app"
SECOND = "/srv/second"
IDLE = 5.0
"""Seconds in which containers that were left alone might begin to ask."""

CONNECTED = {"bundle", "init", "keygen", "rehearse", "scan", "update"}
"""The verbs that do their work on a workstation; all others are watched here."""

_FILE = "http://files.example.com/file"
_RECORDED = f"FROM alpine\nRUN wget -qO /file {_FILE}\n"
_NAME = "UDP 198.51.100.1 port 53 for example.com"
"""What the host's name server is asked."""

_ATTEMPTS = {
    f"echo | nc -w 1 {OUTSIDE} 80": f"TCP {OUTSIDE} port 80",
    f"echo | nc -w 1 {OUTSIDE_IPV6} 80": f"TCP {OUTSIDE_IPV6} port 80",
    f"ping -c 1 -W 1 {OUTSIDE}": f"IP protocol 1 {OUTSIDE}",
    "nslookup example.com": _NAME,
}
"""What a program of an image may try, and how it is seen where nothing hinders it."""

_BUILDX = ["docker", "buildx", "build", "--progress", "plain"]
_BOTH = ["--platform", "linux/amd64,linux/arm64"]
_TO_NOWHERE = ["--output", "type=cacheonly"]


@dataclass(frozen=True, slots=True)
class Watched:
    """A host, and what leaves it.

    Attributes:
        host: The host.
        way_out: What leaves it.
        verbs: Those of `airgap` that were run while it was watched.
    """

    host: IsolatedHost
    way_out: PacketCapture
    verbs: set[str] = field(default_factory=set)

    def run(
        self,
        *argv: str,
        status: int = 0,
        user: str = "root",
        timeout: float = 300,
        input: str | None = None,
    ) -> str:
        """Runs a command, which must end with this status and ask nobody; returns its output."""
        done = self.host.run(argv, check=False, user=user, timeout=timeout, input=input)
        assert done.returncode == status, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        self.asks_nobody(" ".join(argv))
        for program in (["airgap"], full_run.TOOL):
            if [*argv[: len(program)]] == program:
                self.verbs.update({argv[len(program)]} & _all_verbs())
        return done.stdout

    def asks_nobody(self, what: str) -> None:
        left = self.way_out.left()
        assert not left, f"{what} asks {', '.join(left)}"

    def context(self, name: str, dockerfile: str) -> str:
        """A folder of the host with nothing but a Dockerfile."""
        folder = self.host.path(f"/srv/{name}")
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text(dockerfile)
        return f"/srv/{name}"


def _all_verbs() -> set[str]:
    return {*cli.list_commands(click.Context(cli))}


@pytest.fixture(scope="module")
def watched(carried: Carried) -> Iterator[Watched]:
    """A host that is watched since before Docker started; nothing is installed."""
    with IsolatedHost("blackhole") as host, PacketCapture(host) as way_out:
        host.check_isolated()
        assert f"TCP {OUTSIDE} port 443" in way_out.left()  # that was check_isolated itself
        visit(host, carried)
        watched = Watched(host, way_out)
        watched.asks_nobody("Docker, while it starts,")
        _second_bundle(host)
        yield watched


def _second_bundle(host: IsolatedHost) -> None:
    """One with a recording, signed by a key of its own."""
    key = forge.new_key("second")
    recorded = forge.recorded("app", {_FILE: b"a file\n"}, dockerfile=digest_of(_RECORDED.encode()))
    image = forge.indexed("docker.io/site/new:1")
    forge.make_bundle(host.path(SECOND), key, name="second", images=[image], recordings=[recorded])
    host.path("/srv/second.pub").write_bytes(key.public.pem())


def test_what_asks_others_is_seen(watched: Watched) -> None:
    """The control: programs of the host, and of containers."""
    host, way_out = watched.host, watched.way_out
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 80), timeout=1)"
    for name, seen in {
        OUTSIDE: f"TCP {OUTSIDE} port 80",
        OUTSIDE_IPV6: f"TCP {OUTSIDE_IPV6} port 80",
        "example.com": _NAME,
    }.items():
        host.run(["python3", "-I", "-c", connect, name], check=False)
        assert way_out.left() == [seen]
    host.run(["docker", "load", "-i", f"{full_run.ON_MEDIUM}/images.tar"], timeout=300)
    watched.asks_nobody("docker load")
    for attempt, expected in _ATTEMPTS.items():
        networks = ["host"] if OUTSIDE_IPV6 in attempt else ["host", "bridge"]
        for network in networks:
            run = ["docker", "run", "--rm", "--network", network, "alpine", "sh", "-c", attempt]
            host.run(run, check=False)
            assert expected in way_out.left(), f"{network}: {attempt}"
    host.run(["docker", "image", "prune", "--all", "--force"])
    watched.asks_nobody("docker image prune")


def test_a_host_is_set_up_used_and_left(watched: Watched) -> None:
    """One after the other, as what comes later needs what came before."""
    _set_up(watched)
    _build(watched)
    _build_from_a_recording(watched)
    _look_after(watched)
    _live_through_a_restart(watched)
    _serve_others(watched)
    _take_back(watched)
    _nothing_was_forgotten(watched)


def _set_up(watched: Watched) -> None:
    watched.run(*full_run.TOOL, "--version")
    watched.run(*full_run.TOOL, "inspect", full_run.ON_MEDIUM)
    watched.run(*full_run.TOOL, "trust", "add", "/root/site.pub")
    watched.run(*full_run.TOOL, "verify", full_run.ON_MEDIUM)
    watched.run(*full_run.TOOL, "install", full_run.ON_MEDIUM, timeout=600)
    watched.run("airgap", "install", full_run.ON_MEDIUM, "--json")
    watched.run("airgap", "trust", "add", "/srv/second.pub")
    watched.run("airgap", "trust", "list")
    watched.run("airgap", "install", SECOND)


def _build(watched: Watched) -> None:
    two = watched.context("two", "FROM alpine\nRUN uname -m > /machine\n")
    watched.run(*_BUILDX, *_BOTH, "-t", APP, "--push", two)
    watched.run("docker", "buildx", "imagetools", "inspect", APP)
    watched.run("docker", "run", "--rm", "--platform", "linux/arm64", APP, "uname", "-m")
    _pull(watched)
    absent = watched.context("absent", "FROM docker.io/site/absent:1\n")
    watched.run(*_BUILDX, *_TO_NOWHERE, absent, status=1)
    elsewhere = watched.context("elsewhere", "FROM registry.example.com/site/absent:1\n")
    watched.run(*_BUILDX, *_TO_NOWHERE, elsewhere, status=1)
    fetched = watched.context("fetched", f"FROM scratch\nADD {_FILE} /\n")
    watched.run(*_BUILDX, *_TO_NOWHERE, fetched, status=1)
    watched.run("airgap", "env")
    watched.run("airgap", "load", "busybox", "alpine")
    watched.run("airgap", "load", "--platform", "linux/arm64", "alpine")
    watched.run("airgap", "enable", user="alice")
    watched.run(*_BUILDX, *_TO_NOWHERE, "--no-cache", two, user="alice")
    watched.run("airgap", "status", user="alice")


def _pull(watched: Watched) -> None:
    """Docker's own command gets the image from the mirror, and asks for the registry's name.

    dockerd compares the addresses of each registry with the networks whose registries need no TLS
    (`isSecureIndex` in its `daemon/pkg/registry/config.go`).
    """
    watched.host.run(["docker", "pull", "busybox"])
    name = _NAME.replace("example.com", "registry-1.docker.io")
    assert watched.way_out.left() == [name]


def _build_from_a_recording(watched: Watched) -> None:
    recorded = watched.context("recorded", _RECORDED)
    watched.run("airgap", "build", *_TO_NOWHERE, recorded)
    watched.run("airgap", "build", *_TO_NOWHERE, "--no-cache", recorded)
    # Not even a step that tries reaches anything, on a host that has a way out.
    tries = "; ".join(f"({attempt}) && echo REACHED" for attempt in _ATTEMPTS)
    text = f"FROM alpine AS tries\nRUN ({tries}; true) > /said 2>&1\n"
    context = watched.context("tries", text + "FROM scratch\nCOPY --from=tries /said /\n")
    to_folder = ["--output", "type=local,dest=/srv/said"]
    request = ["--request", "/srv/request.toml"]
    watched.run("airgap", "build", "--recording", "app", *request, *to_folder, context)
    assert "REACHED" not in watched.host.path("/srv/said/said").read_text()
    lacking = watched.context("lacking", "FROM absent\nADD https://files.example.com/x /\n")
    watched.run("airgap", "build", "--recording", "app", *request, lacking, status=3)
    with started(watched.host, ["airgap", "serve", "--recording", "app"]) as serve:
        assert serve.stdout is not None
        assert select.select([serve.stdout], [], [], 60)[0], "airgap serve says nothing"
        assert "serving the recording app" in serve.stdout.readline()
        build = f'eval "$(airgap env)" && docker buildx build --no-cache {recorded}'
        watched.run("sh", "-c", f"{build} {' '.join(_TO_NOWHERE)}")
        watched.host.run(["pkill", "-INT", "-f", "airga[p].pyz serve"])
        serve.communicate(timeout=30)
    watched.asks_nobody("airgap serve")
    watched.verbs.add("serve")


def _look_after(watched: Watched) -> None:
    watched.run("airgap", "status", "--deep")
    watched.run("airgap", "status", "--json")
    watched.run("airgap", "doctor", "--deep")
    watched.run("docker", "rm", "--force", "airgap-mirror", "airgap-buildkitd")
    watched.run("airgap", "doctor", status=9)
    watched.run("airgap", "doctor", "--fix")
    watched.run("airgap", "install", SECOND, "--repair")
    watched.run("airgap", "log")
    watched.run("airgap", "help", "install")
    watched.run("airgap", "schema", "status")
    watched.run("airgap", "version")
    watched.run("airgap", "specs", status=2)  # only a workstation has them
    for engine in ("buildkit", "containerd", "docker", "k3s", "podman", "rke2"):
        watched.run("airgap", "mirrors", "--for", engine)
    watched.run("airgap", "rollback")
    watched.run("airgap", "install", SECOND)
    watched.run("airgap", "prune", "--dry-run")
    watched.run("airgap", "prune", "--keep", "1")


def _live_through_a_restart(watched: Watched) -> None:
    watched.host.restart_docker()
    time.sleep(IDLE)
    running = watched.run("docker", "ps", "--format", "{{.Names}}").split()
    assert {"airgap-mirror", "airgap-registry", "airgap-buildkitd", "airgap-replay"} <= {*running}
    watched.run("airgap", "status")


def _serve_others(watched: Watched) -> None:
    watched.run("airgap", "install", full_run.ON_MEDIUM, "--listen", ADDRESS)
    watched.run("airgap", "account", "add", "ci", "--password-stdin", input="correct horse\n")
    watched.run("airgap", "account", "list")
    login = ["--username", "ci", "--password-stdin"]
    watched.run("docker", "login", f"{ADDRESS}:5000", *login, input="correct horse")
    two = watched.context("two", "FROM alpine\nRUN uname -m > /machine\n")
    watched.run(*_BUILDX, *_BOTH, "-t", f"{ADDRESS}:5000/demo/app", "--push", two)
    watched.run("airgap", "mirrors", "--for", "containerd", "--elsewhere")
    watched.run("airgap", "status")
    _name_a_node(watched)
    watched.run("airgap", "account", "remove", "ci")
    watched.run("airgap", "install", full_run.ON_MEDIUM, "--listen", "none")


def _name_a_node(watched: Watched) -> None:
    """The one other host that is asked is that which the operator names."""
    unreachable = ["unreachable", NODE]  # so that buildx need not wait each time
    watched.host.run(["ip", "route", "add", *unreachable])
    watched.run("airgap", "node", "add", "arm", f"tcp://{NODE}:1234", "--output", "/srv/arm.node")
    watched.host.run(["ip", "route", "del", *unreachable])
    listed = watched.host.run(["airgap", "node", "list", "--json"])
    assert parse_json("node list", listed.stdout)[0]["reachable"] is False
    assert watched.way_out.left() == [f"TCP {NODE} port 1234"]
    watched.host.run(["ip", "route", "add", *unreachable])
    watched.run("airgap", "node", "remove", "arm")


def _take_back(watched: Watched) -> None:
    watched.run("airgap", "enable", "--undo", user="alice")
    watched.run("airgap", "trust", "remove", "second")
    watched.run("airgap", "completion", "bash")
    watched.run("airgap", "uninstall")
    watched.run(*full_run.TOOL, "uninstall", "--purge", "--purge-pushed", input="y\n")


def _nothing_was_forgotten(watched: Watched) -> None:
    assert watched.verbs == _all_verbs() - CONNECTED
