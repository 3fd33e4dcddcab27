"""An isolated host: a Linux with its own root file system, Docker Engine, and no network."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from airgap.errors import HostError
from tests.lab import binfmt
from tests.lab.cache import cache_root
from tests.lab.engine import lower_folders
from tests.lab.leftovers import make_cgroup, process_id, removed_at_end
from tests.lab.medium import Medium

Profile = Literal["loopback", "blackhole"]
Suite = Literal["trixie", "bookworm"]
ImageStore = Literal["containerd", "classic"]

MOUNT_POINT = "/media/airgap"
"""Where a host mounts a medium."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DOCUMENTATION_ADDRESS = "192.0.2.1"
"""Of TEST-NET-1 (RFC 5737): nobody may have it."""

_PATIENCE = 60.0
"""Seconds that dockerd has for its start and for its end."""

_numbers = itertools.count(1)


class IsolatedHost:
    """A host of its own namespaces and root file system, ended by ending one process.

    Nothing of the building machine is visible in it: no Go, no virtual environment. Its time,
    its kernel and the kernel's table of foreign formats are the machine's.

    Args:
        profile: `loopback` has no way out at all, so that what tries fails at once. On `blackhole`
            there is a default route and packets vanish, as behind a firewall that drops.
        debian: Its Debian: `trixie` has Python 3.13, `bookworm` Python 3.11.
        image_store: Where its Docker keeps images: in containerd's store, or its classic one.
        name: Its hostname.
    """

    def __init__(
        self,
        profile: Profile = "loopback",
        *,
        debian: Suite = "trixie",
        image_store: ImageStore = "containerd",
        name: str = "",
    ) -> None:
        number = next(_numbers)
        self.profile = profile
        self.debian = debian
        self.image_store = image_store
        self.name = name or f"isolated-{number}"
        self._cgroup = f"airgap-lab-{os.getpid()}-{number}"
        self._folder = cache_root() / "hosts" / self._cgroup
        self._resources = ExitStack()
        self._init = 0
        self._dockerd: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Starts the host, without Docker.

        Raises:
            HostError: The machine lacks what a host needs.
        """
        lower = lower_folders(self.debian)
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
        if self._dockerd is not None:
            self._dockerd.wait()

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
        home = "/root" if user == "root" else f"/home/{user}"
        account = {"HOME": home, "USER": user, "LOGNAME": user, "PATH": _PATH, "LANG": "C.UTF-8"}
        variables = [f"{key}={value}" for key, value in {**account, **(env or {})}.items()]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return [
            "sh",
            str(Path(__file__).with_name("host-enter.sh")),
            self._cgroup,
            str(self._init),
            "env",
            "-i",
            *variables,
            *([] if user == "root" else become),
            *argv,
        ]

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        input: str | None = None,
        timeout: float = 300,
        user: str = "root",
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in the host, in its folder `/`.

        Args:
            argv: The command.
            check: A status other than 0 is an error.
            input: What it reads.
            timeout: Seconds after which it is killed, inside the host.
            user: Who runs it; `alice` may use Docker and nothing else.
            env: Its variables beside those of a fresh login.

        Raises:
            AssertionError: The command failed; shows what it said.
            subprocess.TimeoutExpired: It took too long.
        """
        limited = ["timeout", "--kill-after=5", str(timeout), *argv]
        done = subprocess.run(
            self.command(limited, user=user, env=env),
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout + 30,
            check=False,
        )
        if done.returncode in (124, 137):
            raise subprocess.TimeoutExpired(list(argv), timeout, done.stdout, done.stderr)
        if check and done.returncode != 0:
            message = f"{' '.join(argv)}: status {done.returncode}\n{done.stdout}{done.stderr}"
            raise AssertionError(message)
        return done

    def attach(self, medium: Medium, mount_point: str = MOUNT_POINT) -> None:
        """Plugs a sealed medium in: mounted read-only on the host."""
        self.run(["mkdir", "-p", mount_point])
        self.run(["mount", "-o", "ro,nodev,nosuid", medium.device, mount_point])

    def detach(self, mount_point: str = MOUNT_POINT) -> None:
        """Pulls a medium out."""
        self.run(["umount", mount_point])

    def start_docker(self) -> None:
        """Starts dockerd on its default socket, with its /etc/docker/daemon.json.

        Raises:
            HostError: It ended, or did not answer in time; shows the end of its log.
        """
        with self.path("/var/log/docker.log").open("ab") as log:
            self._dockerd = subprocess.Popen(
                self.command(["dockerd"]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while self.run(["docker", "version"], check=False).returncode != 0:
            if self._dockerd.poll() is not None or time.monotonic() > deadline:
                message = f"dockerd on {self.name} does not answer"
                raise HostError(message, meaning=self.docker_log()[-2000:])
            time.sleep(0.1)

    def stop_docker(self) -> None:
        """Ends dockerd as a service manager does; its containers end with it."""
        if self._dockerd is None:
            return
        self._signal_docker("TERM")
        self._dockerd.wait(timeout=_PATIENCE)
        self._dockerd = None

    def restart_docker(self) -> None:
        """Stops and starts dockerd; containers with a restart policy come back."""
        self.stop_docker()
        self.start_docker()

    def reload_docker(self) -> None:
        """Has dockerd read its daemon.json again, without a restart."""
        self._signal_docker("HUP")

    def _signal_docker(self, name: str) -> None:
        pid = self.path("/run/docker.pid").read_text().strip()
        self.run(["kill", f"-{name}", pid])

    def docker_log(self) -> str:
        """What dockerd has said."""
        return self.path("/var/log/docker.log").read_text()

    def check_isolated(self) -> None:
        """Proves that there is no way out of the host.

        Raises:
            AssertionError: There is one, or the host is not what its profile says.
        """
        links = json.loads(self.run(["ip", "-json", "link"]).stdout)
        outside = {link["ifname"] for link in links} - {"lo", "eth0", "nowhere"}
        foreign = {name for name in outside if not name.startswith(("docker", "br-", "veth"))}
        assert not foreign, f"{self.name} has the interfaces {foreign}"
        routes = json.loads(self.run(["ip", "-json", "route", "show", "default"]).stdout)
        begun = time.monotonic()
        error = self.run(["python3", "-I", "-c", _CONNECT, _DOCUMENTATION_ADDRESS]).stdout.strip()
        seconds = time.monotonic() - begun
        if self.profile == "loopback":
            assert routes == [], f"{self.name} has a default route: {routes}"
            assert error == "OSError", f"a connection to the outside ended with {error}"
            assert seconds < 1, f"{self.name} took {seconds:.1f} s to see that nothing is there"
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
