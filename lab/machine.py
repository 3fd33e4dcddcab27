"""A machine that carries a Docker Engine: what tests do with one, whatever it is made of."""

from __future__ import annotations

import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from airgap.errors import HostError
from lab.medium import Medium

MOUNT_POINT = "/media/airgap"
"""Where a machine mounts a medium."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DOCKER_LOG = "/var/log/docker.log"
_MOUNTED = ["-o", "ro,nodev,nosuid"]


class Machine(ABC):
    """A Linux of its own, in which commands run.

    Attributes:
        name: Its hostname.
        patience: Seconds that dockerd has for its start and for its end.
    """

    name: str
    patience = 60.0
    _dockerd: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(
        self, argv: Sequence[str], *, user: str = "root", env: Mapping[str, str] | None = None
    ) -> list[str]:
        """What runs `argv` in the machine when the building machine runs it."""

    @abstractmethod
    def _plug_in(self, medium: Medium) -> str:
        """Makes a medium's device known to the machine, and returns its path there."""

    def _login(self, argv: Sequence[str], user: str, env: Mapping[str, str] | None) -> list[str]:
        """Gives a command what a fresh login has: an account and its variables."""
        home = "/root" if user == "root" else f"/home/{user}"
        account = {"HOME": home, "USER": user, "LOGNAME": user, "PATH": _PATH, "LANG": "C.UTF-8"}
        variables = [f"{key}={value}" for key, value in {**account, **(env or {})}.items()]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return ["env", "--chdir=/", "-i", *variables, *([] if user == "root" else become), *argv]

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
        """Runs a command in the machine, in its folder `/`.

        Args:
            argv: The command.
            check: A status other than 0 is an error.
            input: What it reads.
            timeout: Seconds after which it is killed, inside the machine.
            user: Who runs it; `alice` may use Docker and nothing else.
            env: Its variables beside those of a fresh login.

        Raises:
            AssertionError: The command failed; shows what it said.
            subprocess.TimeoutExpired: It took too long.
        """
        limited = ["timeout", "--kill-after=5", str(timeout), *argv]
        done = subprocess.run(
            self.command(limited, user=user, env=env),
            input=input or "",
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

    def write(self, path: str, data: bytes) -> None:
        """Writes a file of the machine, in a folder that is there."""
        command = self.command(["dd", "status=none", f"of={path}"])
        subprocess.run(command, input=data, check=True)

    def attach(self, medium: Medium, mount_point: str = MOUNT_POINT) -> None:
        """Plugs a sealed medium in: mounted read-only."""
        device = self._plug_in(medium)
        self.run(["mkdir", "-p", mount_point])
        self.run(["mount", *_MOUNTED, device, mount_point])

    def detach(self, mount_point: str = MOUNT_POINT) -> None:
        """Pulls a medium out."""
        self.run(["umount", mount_point])

    def start_docker(self) -> None:
        """Starts dockerd on its default socket, with its /etc/docker/daemon.json.

        Raises:
            HostError: It ended, or did not answer in time; shows the end of its log.
        """
        self._dockerd = subprocess.Popen(
            self.command(["sh", "-c", f"exec dockerd >>{_DOCKER_LOG} 2>&1"]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + self.patience
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
        self._dockerd.wait(timeout=self.patience)
        self._dockerd = None

    def restart_docker(self) -> None:
        """Stops and starts dockerd; containers with a restart policy come back."""
        self.stop_docker()
        self.start_docker()

    def reload_docker(self) -> None:
        """Has dockerd read its daemon.json again, without a restart."""
        self._signal_docker("HUP")

    def _signal_docker(self, name: str) -> None:
        pid = self.run(["cat", "/run/docker.pid"]).stdout.strip()
        self.run(["kill", f"-{name}", pid])

    def _wait_for_docker_end(self) -> None:
        """Waits for the dockerd of a machine that has ended."""
        if self._dockerd is not None:
            self._dockerd.wait()

    def docker_log(self) -> str:
        """What dockerd has said."""
        return self.run(["cat", _DOCKER_LOG]).stdout
