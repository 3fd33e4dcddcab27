"""The upstream: a real registry on loopback, which stands for Docker Hub and the others."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Literal

import requests
import trustme

from airgap.errors import HostError
from lab.cache import cache_root
from lab.cleanup import process_id, removed_at_end
from lab.debian import BOOKWORM, unpacked
from lab.parts import program
from lab.publish import Publisher
from lab.resource import Resource
from lab.run import run

Version = Literal["2.8", "3.1"]

_PATIENCE = 20.0
"""Seconds that the registry has for its start."""

_numbers = itertools.count(1)


class Upstream(Resource):
    """A registry that serves a storage folder on a free port of loopback.

    Attributes:
        address: `127.0.0.1:PORT`.
        ca_file: The CA behind its certificate, if it speaks HTTPS.
        log: The file with what it says, a line for each request.
    """

    def __init__(
        self,
        storage: Path | None = None,
        *,
        writable: bool = False,
        tls: bool = False,
        htpasswd: tuple[str, str] | None = None,
        version: Version = "3.1",
        sparse: bool = False,
    ) -> None:
        """Describes a registry; entering the context starts it.

        Args:
            storage: What it serves, e.g. `images.storage()`; nothing at all if not given.
            writable: It takes pushes: into a private copy, so that `storage` never changes.
            tls: It speaks HTTPS, with a certificate for `localhost` and `127.0.0.1`.
            htpasswd: User and password that it asks for.
            version: Of distribution: that of the lab's parts, or Debian 12's.
            sparse: It takes indexes that name what it has not; 2.8 cannot.
        """
        super().__init__()
        self._folder = cache_root() / "upstreams" / f"{os.getpid()}-{next(_numbers)}"
        self._storage = storage
        self._writable = writable or storage is None
        self._account = htpasswd
        self._tls = tls
        self._version, self._sparse = version, sparse
        self.address = f"127.0.0.1:{free_port()}"
        self.ca_file: Path | None = self._folder / "ca.pem" if tls else None
        self.log = self._folder / "log"

    @property
    def storage(self) -> Path:
        """The folder that it really serves."""
        if not self._writable and self._storage is not None:
            return self._storage
        return self._folder / "storage"

    @property
    def url(self) -> str:
        """Its whole address, with the scheme."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    def registries(self) -> str:
        """A file for `airgap bundle --registries`, by which this stands for the public ones."""
        sections = (
            f'[registry."{host}"]\nreplace = "{self.address}/{host}"\n'
            for host in ("docker.io", "ghcr.io")
        )
        return "\n".join(sections)

    def _begin(self) -> None:
        """Starts it and waits until it answers."""
        self._resources.enter_context(removed_at_end("folder", str(self._folder)))
        self._folder.mkdir(parents=True)
        config = self._folder / "config.yml"
        config.write_text(json.dumps(self._configuration()))  # JSON is YAML
        self._start(config)

    def session(self) -> requests.Session:
        """A session that has what this registry asks for."""
        session = requests.Session()
        session.trust_env = False
        session.auth = self._account
        session.verify = str(self.ca_file) if self.ca_file else True
        return session

    def publisher(self) -> Publisher:
        """What pushes further images to it, if it is writable."""
        return Publisher(self.url, self.session())

    def _configuration(self) -> dict[str, Any]:
        """Its configuration; the keys are in distribution's configuration.md."""
        if self._writable:
            self._copy_storage()
        http: dict[str, Any] = {"addr": self.address}
        if self._tls:
            http["tls"] = self._certificate()
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
                "maintenance": {
                    "readonly": {"enabled": not self._writable},
                    "uploadpurging": {"enabled": False},
                },
            },
            "http": http,
        }
        if self._sparse:
            config["validation"] = {"manifests": {"indexes": {"platforms": "none"}}}
        if self._account:
            config["auth"] = {"htpasswd": {"realm": "lab", "path": str(self._password_file())}}
        return config

    def _copy_storage(self) -> None:
        """Makes a copy that shares the blobs: the registry replaces files, never changes them."""
        if self._storage is None:
            self.storage.mkdir()
        else:
            run(["cp", "--archive", "--link", self._storage, self.storage])

    def _certificate(self) -> dict[str, str]:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        certificate, key = self._folder / "cert.pem", self._folder / "key.pem"
        authority.cert_pem.write_to_path(self._folder / "ca.pem")
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return {"certificate": str(certificate), "key": str(key)}

    def _password_file(self) -> Path:
        assert self._account is not None
        user, password = self._account
        file = self._folder / "htpasswd"
        file.write_text(run(["htpasswd", "-niB", user], stdin=password))
        return file

    def _start(self, config: Path) -> None:
        with self.log.open("wb") as log:
            registry = subprocess.Popen(
                [_program(self._version), "serve", config],
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._resources.enter_context(registry)
        self._resources.enter_context(removed_at_end("process", process_id(registry.pid)))
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if registry.poll() is not None or time.monotonic() > deadline:
                message = f"the registry on {self.address} does not answer"
                raise HostError(message, meaning=self.log.read_text()[-2000:])
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with self.session() as session:
                return session.get(f"{self.url}/v2/", timeout=5).ok
        except requests.ConnectionError:
            return False


def _program(version: Version) -> Path:
    if version == "2.8":
        return unpacked("docker-registry", suite=BOOKWORM) / "usr" / "bin" / "docker-registry"
    return program("registry")


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
