"""BuildKit alone, run on this machine without Docker, with the machine's own network."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from pathlib import Path

from airgap.builder.buildx import Builder, Buildx
from airgap.builder.config import buildkitd_toml
from airgap.builder.registry_server import RegistryServer
from airgap.errors import HostError
from lab.cache import cache_root
from lab.cleanup import make_cgroup, process_id, removed_at_end
from lab.engine import TINI
from lab.parts import program
from lab.resource import Resource
from lab.upstream import Upstream

_PATIENCE = 30.0
"""Seconds that BuildKit has for its start."""

_numbers = itertools.count(1)


class BuildKit(Resource):
    """A BuildKit that takes its images from an upstream.

    RUN steps have the machine's network, unless a build gives them the proxy network.

    Attributes:
        builder: Builds with it.
        folder: A folder for whatever a user needs; it goes with BuildKit.
    """

    def __init__(self, upstream: Upstream, *, proxied: bool = False) -> None:
        """Describes a BuildKit; entering the context starts it.

        Args:
            upstream: Stands for all registries.
            proxied: All builds have the proxy network.
        """
        super().__init__()
        self._name = f"airgap-lab-{os.getpid()}-b{next(_numbers)}"
        self._root = cache_root() / "buildkits" / self._name
        self._upstream = upstream
        self.folder = self._root / "home"
        variables = {
            "BUILDX_CONFIG": str(self._root / "buildx"),
            "DOCKER_CONFIG": str(self._root / "docker"),
        }
        buildx = Buildx([str(program("buildx"))], "lab", variables)
        self._proxied = proxied
        self.builder = Builder(buildx, "127.0.0.1")

    def _begin(self) -> None:
        """Starts it, with nothing in its cache."""
        self._resources.enter_context(removed_at_end("folder", str(self._root)))
        for part in ("bin", "cgroup", "data", "docker", "home", "run", "work"):
            (self._root / part).mkdir(parents=True)
        self._resources.enter_context(removed_at_end("cgroup", self._name))
        make_cgroup(self._name)
        self._start()
        self.builder.buildx.create(self._address)

    @property
    def _address(self) -> str:
        return f"unix://{self._root}/buildkitd.sock"

    def _start(self) -> None:
        """Starts it as the workstation's Engine is started, so that nothing outlives it."""
        for name, source in {"buildkit-runc": program("runc"), "docker-init": TINI}.items():
            (self._root / "bin" / name).symlink_to(source)
        config = self._root / "buildkitd.toml"
        mirrors = [RegistryServer(self._upstream.address, http=True)]
        config.write_text(buildkitd_toml(["ghcr.io"], mirrors, proxied=self._proxied))
        namespaces = ["--mount-proc", "--pid", "--fork", "--kill-child"]
        init = ["sh", str(Path(__file__).with_name("workstation-init.sh")), str(self._root)]
        daemon = [str(program("buildkitd")), "--config", str(config)]
        daemon += ["--root", str(self._root / "data"), "--addr", self._address]
        log = self._root / "log"
        with log.open("wb") as output:
            launcher = subprocess.Popen(
                ["unshare", *namespaces, *init, *daemon],
                env={
                    **os.environ,
                    "OTEL_TRACES_EXPORTER": "none",
                    "PATH": f"{self._root}/bin:{os.environ['PATH']}",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._resources.enter_context(launcher)
        self._resources.enter_context(removed_at_end("process", process_id(launcher.pid)))
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if launcher.poll() is not None or time.monotonic() > deadline:
                raise HostError("BuildKit does not answer", meaning=log.read_text()[-2000:])
            time.sleep(0.05)

    def _answers(self) -> bool:
        command = [str(program("buildctl")), "--addr", self._address, "debug", "info"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
