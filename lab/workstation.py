"""A workstation: this machine, connected as it is, with a Docker Engine of its own."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from airgap.errors import HostError
from lab import binfmt
from lab.cache import cache_root
from lab.cleanup import make_cgroup, process_id, removed_at_end
from lab.engine import client, programs
from lab.parts import program
from lab.resource import Resource

_PATIENCE = 60.0
"""Seconds that dockerd has for its start."""

_numbers = itertools.count(1)


class Workstation(Resource):
    """What a person has on the connected side: Docker, buildx and airgap, on this machine.

    Commands run on the machine itself, with its file system and its network. The Engine's data,
    sockets and processes are its own, so that a Docker that the machine may have is not touched.
    It has the machine's network without a rule of iptables: containers get the machine's network,
    none, or one of `docker network create --internal`. Mounts that are made after its start are
    not seen in it.

    Attributes:
        folder: A folder for whatever a test needs there; it goes with the workstation.
        environment: The variables that commands run with.
    """

    def __init__(self) -> None:
        super().__init__()
        self._name = f"airgap-lab-{os.getpid()}-w{next(_numbers)}"
        self._root = cache_root() / "workstations" / self._name
        self._dockerd: subprocess.Popen[bytes] | None = None
        self.folder = self._root / "home"
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{self._root}/docker.sock",
            "DOCKER_CONFIG": str(self._root / "config"),
            "PATH": f"{self._root}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(self._root / "cache"),
            "XDG_STATE_HOME": str(self._root / "state"),
        }

    def _begin(self) -> None:
        """Starts the Engine, which has no image yet."""
        self._make_folders()
        self._resources.enter_context(removed_at_end("cgroup", self._name))
        make_cgroup(self._name)
        self._resources.enter_context(removed_at_end("binfmt", self._name))
        binfmt.put_aside(self._name)
        self._resources.enter_context(removed_at_end("bridges", str(self._root / "data")))
        self._start()

    def _make_folders(self) -> None:
        self._resources.enter_context(removed_at_end("folder", str(self._root)))
        for part in ("bin", "cache", "cgroup", "config/cli-plugins", "data", "home", "run", "work"):
            (self._root / part).mkdir(parents=True)
        for name, source in {**programs(), "docker": client()}.items():
            (self._root / "bin" / name).symlink_to(source)
        (self._root / "config" / "cli-plugins" / "docker-buildx").symlink_to(program("buildx"))

    def _start(self) -> None:
        namespaces = ["--mount-proc", "--pid", "--fork", "--kill-child"]
        init = ["sh", str(Path(__file__).with_name("workstation-init.sh")), str(self._root)]
        dockerd = ["dockerd", "--config-file", str(self._configure_docker())]
        with self._log.open("wb") as log:
            launcher = subprocess.Popen(
                ["unshare", *namespaces, *init, *dockerd],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._resources.enter_context(launcher)
        self._resources.enter_context(removed_at_end("process", process_id(launcher.pid)))
        deadline = time.monotonic() + _PATIENCE
        while self.run(["docker", "version"], check=False).returncode != 0:
            if launcher.poll() is not None or time.monotonic() > deadline:
                message = "dockerd on the workstation does not answer"
                raise HostError(message, meaning=self.docker_log()[-2000:])
            time.sleep(0.1)

    def _configure_docker(self) -> Path:
        settings = {
            "hosts": [f"unix://{self._root}/docker.sock"],
            "data-root": f"{self._root}/data",
            "exec-root": f"{self._root}/exec",
            "pidfile": f"{self._root}/docker.pid",
            "bridge": "none",
            "iptables": False,
            "ip6tables": False,
            "ip-forward": False,
        }
        file = self._root / "daemon.json"
        file.write_text(json.dumps(settings, indent=2))
        return file

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        check: bool = True,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on the workstation.

        Args:
            argv: The command; `docker` and `airgap` are on the path.
            check: A status other than 0 is an error.
            cwd: Where it runs; `folder` if not given.
            env: Variables beside those of `environment`.
            input: What it reads.
            timeout: Seconds after which it is killed, with all that it started.

        Raises:
            AssertionError: The command failed; shows what it said.
            subprocess.TimeoutExpired: It took too long.
        """
        done = subprocess.run(
            ["timeout", "--kill-after=5", str(timeout), *argv],
            cwd=cwd or self.folder,
            env={**self.environment, **(env or {})},
            input=input,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode in (124, 137):
            raise subprocess.TimeoutExpired(list(argv), timeout, done.stdout, done.stderr)
        if check and done.returncode != 0:
            command = " ".join(str(part) for part in argv)
            message = f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}"
            raise AssertionError(message)
        return done

    @property
    def _log(self) -> Path:
        return self._root / "docker.log"

    def docker_log(self) -> str:
        """What dockerd has said."""
        return self._log.read_text()
