"""A person's account on this host, and running commands as that person."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap import processes
from airgap.docker_config import config_folder
from airgap.errors import HostError

_SECONDS = 900


@dataclass(frozen=True, slots=True)
class User:
    """A person's account on this host."""

    name: str
    uid: int
    gid: int
    home: Path

    @classmethod
    def called(cls, name: str) -> User:
        """Return the account of that name.

        Raises:
            HostError: There is none.
        """
        try:
            entry = pwd.getpwnam(name)
        except KeyError as error:
            raise HostError(f"this host has no user {name!r}") from error
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))

    @classmethod
    def behind_this_process(cls) -> User:
        """Return who gave the command: under sudo the real person, not root."""
        if os.geteuid() == 0 and os.environ.get("SUDO_USER"):
            return cls.called(os.environ["SUDO_USER"])
        try:
            return cls.called(pwd.getpwuid(os.geteuid()).pw_name)
        except KeyError as error:
            raise HostError(f"the user with id {os.geteuid()} has no account here") from error

    def run(self, argv: Sequence[str], *, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as this user; its output is captured, its status not checked.

        Args:
            argv: The command.
            text: What it reads.

        Raises:
            HostError: The command is not on this host, may not be run as that user, or does not
                end.
        """
        if shutil.which(argv[0]) is None:
            raise HostError(f"the command {argv[0]} is not on this host")
        other = os.geteuid() != self.uid
        try:
            return processes.run(
                argv,
                input=text,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                env=self.environment,
                timeout=_SECONDS,
                # Away from root's terminal: programs in a user's home are the user's.
                start_new_session=True,
                user=self.uid if other else None,
                group=self.gid if other else None,
                extra_groups=os.getgrouplist(self.name, self.gid) if other else None,
            )
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{argv[0]} did not end in {_SECONDS} seconds") from error
        except OSError as error:
            raise HostError(
                f"cannot run {argv[0]} as {self.name}: {error.strerror}", remedy="use sudo"
            ) from error

    @property
    def environment(self) -> dict[str, str]:
        """The variables of this user's commands: the caller's own, or those of a login."""
        own = os.environ if os.geteuid() == self.uid else {}
        login = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        account = {"HOME": str(self.home), "USER": self.name, "LOGNAME": self.name}
        # BUILDX_BUILDER would hide what is selected.
        return {k: v for k, v in (own or login).items() if k != "BUILDX_BUILDER"} | account

    @property
    def docker_folder(self) -> Path:
        """The folder of this user's configuration of the docker command."""
        return config_folder(self.environment)

    @property
    def buildx_folder(self) -> Path:
        """The folder where this user's buildx keeps its instances and defaults."""
        named = self.environment.get("BUILDX_CONFIG")
        return Path(named) if named else self.docker_folder / "buildx"
