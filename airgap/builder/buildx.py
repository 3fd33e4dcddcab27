"""buildx, and the BuildKit behind it."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from airgap import processes
from airgap.errors import HostError


@dataclass(frozen=True, slots=True)
class Buildx:
    """A way to call buildx.

    Attributes:
        command: What calls it: `docker buildx`, or the path of its program.
        builder: The instance that builds.
        environment: Variables beside those of this process.
    """

    command: Sequence[str]
    builder: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def create(self, endpoint: str) -> None:
        """Make the instance, for a BuildKit that runs already.

        Raises:
            HostError: buildx refuses.
        """
        arguments = ["--name", self.builder, "--driver", "remote", endpoint]
        self._checked([*self.command, "create", *arguments])

    def output(self, arguments: Sequence[str]) -> str:
        """Return what a buildx command prints, on either stream.

        Raises:
            HostError: It fails, or there is no buildx.
        """
        verb, *rest = arguments
        return self._checked([*self.command, verb, "--builder", self.builder, *rest])

    def build(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        shown: Callable[[str], str],
    ) -> int:
        """Run `buildx build`, which says on standard error what it does.

        Args:
            arguments: What follows `build`.
            environment: Further variables.
            shown: Gives each line as it is to be shown. On a terminal, where lines are painted
                over, they stay as they are.

        Returns:
            Its exit status.

        Raises:
            HostError: There is no buildx.
        """
        argv = [*self.command, "build", "--builder", self.builder, *arguments]
        if sys.stderr.isatty():
            return self._run(argv, environment).returncode
        with (
            _started(argv),
            subprocess.Popen(
                argv,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=self._environment(environment),
            ) as process,
        ):
            try:
                for line in process.stderr or ():
                    sys.stderr.write(shown(line))
                    sys.stderr.flush()
            except BaseException:
                process.terminate()
                raise
        processes.ended(argv, process.returncode)
        return process.returncode

    def _checked(self, argv: Sequence[str]) -> str:
        done = self._run(argv, capture=True)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()[-20:]
            raise HostError(f"{' '.join(argv[:3])} failed", meaning="\n  ".join(said))
        return done.stdout + done.stderr

    def _run(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        capture: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        with _started(argv):
            return processes.run(
                argv,
                stdin=subprocess.DEVNULL if capture else None,
                capture_output=capture,
                text=True,
                check=False,
                env=self._environment(environment or {}),
            )

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, **self.environment, **more}


@contextmanager
def _started(argv: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        raise HostError(
            f"cannot run {argv[0]}: {error.strerror}",
            remedy="on an isolated host, airgap status shows what lacks",
        ) from error


@dataclass(frozen=True, slots=True)
class Builder:
    """A BuildKit that runs.

    Attributes:
        buildx: Builds with it.
        address: Of this host, as BuildKit reaches it: where servers are to listen.
        started: What tells this start of it from all others; empty if nothing does.
    """

    buildx: Buildx
    address: str
    started: str = ""

    @property
    def token(self) -> str:
        """The part of the paths of servers that only builds on this builder know.

        They may have steps in common, so that they need the same one; see `source_policy`.
        """
        if not self.started:
            return secrets.token_hex(16)
        return hashlib.sha256(f"path {self.started}".encode()).hexdigest()[:32]
