"""A root file system in which engines find their configuration where it belongs."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab import debian
from lab.cache import cache_root
from lab.cleanup import removed_at_end
from lab.parts import program
from lab.resource import Resource

_PROGRAMS = (
    "buildctl",
    "buildkitd",
    "buildx",
    "containerd",
    "cripull",
    "ctr",
    "dockerd",
    "runc",
    "wharfie",
)
_PACKAGES = ("containerd", "docker-cli", "kubernetes-client", "openssl", "podman", "skopeo")
_SECONDS = 120

_numbers = itertools.count(1)


class EngineRoot(Resource):
    """A Debian with its own engines and the lab's, on loopback, with a proxy for all else.

    Each command has the files in `files`, and a fresh /run, /tmp and /var. All that it starts
    ends with it.

    Attributes:
        files: Lies over the Debian: what is written here is there.
    """

    def __init__(self, proxy: str) -> None:
        """Describes it; entering the context makes it.

        Args:
            proxy: `HOST:PORT`, where everything goes that is not meant for loopback.
        """
        super().__init__()
        self._folder = cache_root() / "engine-roots" / f"{os.getpid()}-{next(_numbers)}"
        self._proxy = f"http://{proxy}"
        self.files = self._folder / "upper"

    def _begin(self) -> None:
        self._resources.enter_context(removed_at_end("folder", str(self._folder)))
        for part in ("root", "upper/usr/local/bin", "work"):
            (self._folder / part).mkdir(parents=True)
        self._folder.joinpath("upper").chmod(0o755)
        for name in _PROGRAMS:
            shutil.copy2(program(name), self.files / "usr" / "local" / "bin" / name)

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Runs a command as root; its status is not checked."""
        system = debian.unpacked_system(*_PACKAGES)
        namespaces = ["--mount", "--pid", "--fork", "--kill-child"]
        script = Path(__file__).with_name("engine-root.sh")
        variables = {
            "HOME": "/root",
            "HTTPS_PROXY": self._proxy,
            "HTTP_PROXY": self._proxy,
            "NO_PROXY": ".example.internal",
            "OTEL_TRACES_EXPORTER": "none",
            "PATH": "/usr/local/bin:/usr/sbin:/usr/bin",
        }
        return subprocess.run(
            ["unshare", *namespaces, "sh", str(script), str(self._folder), str(system), *argv],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
