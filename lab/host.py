"""An isolated host: a Linux with its own root file system, Docker Engine, and no network."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from airgap.errors import HostError
from lab import binfmt
from lab.cache import cache_root
from lab.cleanup import make_cgroup, process_id, removed_at_end
from lab.engine import lower_folders
from lab.machine import Machine
from lab.medium import Medium
from lab.run import run

Profile = Literal["loopback", "blackhole"]
Suite = Literal["trixie", "bookworm"]
ImageStore = Literal["containerd", "classic"]

_DOCUMENTATION_ADDRESS = "192.0.2.1"
"""Of TEST-NET-1 (RFC 5737): nobody may have it."""

_numbers = itertools.count(1)


class IsolatedHost(Machine):
    """A host of its own namespaces and root file system, ended by ending one process.

    Nothing of the building machine is visible in it: no Go, no virtual environment. Its time,
    its kernel and the kernel's table of foreign formats are the machine's.

    Args:
        profile: `loopback` has no way out at all, so that what tries fails at once. On `blackhole`
            there is a default route and packets vanish, as behind a firewall that drops.
        debian: Its Debian: `trixie` has Python 3.13, `bookworm` Python 3.11.
        image_store: Where its Docker keeps images: in containerd's store, or its classic one.
        name: Its hostname.
        packages: Of Debian, beside those that all hosts have.
    """

    def __init__(
        self,
        profile: Profile = "loopback",
        *,
        debian: Suite = "trixie",
        image_store: ImageStore = "containerd",
        name: str = "",
        packages: Sequence[str] = (),
    ) -> None:
        number = next(_numbers)
        self.profile = profile
        self.debian = debian
        self.image_store = image_store
        self.name = name or f"isolated-{number}"
        self._packages = packages
        self._lan = ""
        self._cgroup = f"airgap-lab-{os.getpid()}-{number}"
        self._folder = cache_root() / "hosts" / self._cgroup
        self._resources = ExitStack()
        self._init = 0

    def __enter__(self) -> Self:
        """Starts the host, without Docker.

        Raises:
            HostError: The machine lacks what a host needs.
        """
        lower = lower_folders(self.debian, self._packages)
        try:
            self._make_folders()
            self._make_cgroup()
            self._put_binfmt_aside()
            self._start(lower)
            self._configure_docker()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends every process of the host and removes all it had."""
        self._end()

    def _end(self) -> None:
        self._resources.close()
        self._wait_for_docker_end()

    def _make_folders(self) -> None:
        self._resources.enter_context(removed_at_end("folder", str(self._folder)))
        for part in ("root", "upper", "work", "data/docker", "data/containerd", "data/airgap"):
            (self._folder / part).mkdir(parents=True)
        (self._folder / "upper").chmod(0o755)

    def _make_cgroup(self) -> None:
        self._resources.enter_context(removed_at_end("cgroup", self._cgroup))
        make_cgroup(self._cgroup)

    def _put_binfmt_aside(self) -> None:
        self._resources.enter_context(removed_at_end("binfmt", self._cgroup))
        binfmt.put_aside(self._cgroup)

    def _start(self, lower: Sequence[Path]) -> None:
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"]
        script = Path(__file__).with_name("host-init.sh")
        layers = ":".join(str(folder) for folder in lower)
        begun = ["sh", str(script), self.name, str(self._folder), layers, self.profile]
        launcher = subprocess.Popen(
            ["unshare", *namespaces, *begun],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._resources.enter_context(launcher)
        self._resources.enter_context(removed_at_end("process", process_id(launcher.pid)))
        assert launcher.stdout is not None
        assert launcher.stderr is not None
        if launcher.stdout.readline() != "ready\n":
            message = f"the isolated host {self.name} did not start"
            raise HostError(message, meaning=launcher.stderr.read().strip())
        children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
        self._init = int(children)
        self._resources.enter_context(removed_at_end("process", process_id(self._init)))

    def _configure_docker(self) -> None:
        settings = {"features": {"containerd-snapshotter": self.image_store == "containerd"}}
        daemon = self.path("/etc/docker/daemon.json")
        daemon.parent.mkdir(parents=True, exist_ok=True)
        daemon.write_text(json.dumps(settings, indent=2))

    def path(self, inside: str) -> Path:
        """The path, on the building machine, of a file of the host; only while the host lives.

        Symbolic links that are absolute lead out of the host: take paths without them.
        """
        return Path(f"/proc/{self._init}/root") / inside.lstrip("/")

    def command(
        self, argv: Sequence[str], *, user: str = "root", env: Mapping[str, str] | None = None
    ) -> list[str]:
        """What runs `argv` in the host when the building machine runs it."""
        enter = Path(__file__).with_name("host-enter.sh")
        return ["sh", str(enter), self._cgroup, str(self._init), *self._login(argv, user, env)]

    @property
    def network_namespace(self) -> list[str]:
        """What runs a command of the building machine in the host's network."""
        return ["nsenter", f"--net=/proc/{self._init}/ns/net"]

    def connect(self, other: IsolatedHost, network: str) -> tuple[str, str]:
        """Lays a cable to another host: each reaches the other by it, and nothing else.

        Args:
            other: A host that runs and has no such cable yet.
            network: The first three bytes of their addresses, such as `203.0.113`.

        Returns:
            The addresses of both.
        """
        ends = {host: f"lan{host._init}" for host in (self, other)}
        cable = ["ip", "link", "add", ends[self], "type", "veth", "peer", "name", ends[other]]
        run(cable)
        addresses: list[str] = []
        for host, end in ends.items():
            run(["ip", "link", "set", end, "netns", str(host._init)])
            addresses.append(f"{network}.{10 * (len(addresses) + 1)}")
            host.run(["ip", "address", "add", f"{addresses[-1]}/24", "dev", end])
            host.run(["ip", "link", "set", end, "up"])
            host._lan = end
        return addresses[0], addresses[1]

    def _plug_in(self, medium: Medium) -> str:
        return medium.device  # hosts see the devices of the building machine

    def check_isolated(self) -> None:
        """Proves that there is no way out of the host.

        Raises:
            AssertionError: There is one, or the host is not what its profile says.
        """
        links = json.loads(self.run(["ip", "-json", "link"]).stdout)
        outside = {link["ifname"] for link in links} - {"lo", "eth0", "nowhere", self._lan}
        foreign = {name for name in outside if not name.startswith(("docker", "br-", "veth"))}
        assert not foreign, f"{self.name} has the interfaces {foreign}"
        routes = json.loads(self.run(["ip", "-json", "route", "show", "default"]).stdout)
        error = self.run(["python3", "-I", "-c", _CONNECT, _DOCUMENTATION_ADDRESS]).stdout.strip()
        if self.profile == "loopback":
            assert routes == [], f"{self.name} has a default route: {routes}"
            assert error == "OSError", f"a connection to the outside ended with {error}"
        else:
            assert [route["gateway"] for route in routes] == ["198.51.100.1"], f"{routes}"
            assert error == "TimeoutError", f"a connection to the outside ended with {error}"


_CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 443), timeout=2)
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""
