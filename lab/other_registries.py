"""Registries that others have written, on loopback: crane's, olareg, zot and Gitea."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import requests
import trustme

from airgap.errors import HostError
from lab.cache import cache_root, cached
from lab.cleanup import process_id, removed_at_end
from lab.parts import GO_MODULES, PARTS, program
from lab.resource import Resource
from lab.run import run
from lab.upstream import free_port

ACCOUNT = ("robot", "s3cret-pass:word")

_PATIENCE = 60.0
"""Seconds that a registry has for its start."""

_numbers = itertools.count(1)


class OtherRegistry(Resource):
    """A registry that serves an empty folder on a free port of loopback.

    Attributes:
        address: `127.0.0.1:PORT`.
        ca_file: The CA of its certificate, if it speaks HTTPS.
        account: User and password that it asks for, if it asks for them.
    """

    kind: ClassVar[str]

    def __init__(self, *, private: bool = False, tls: bool = False) -> None:
        """Describe a registry; entering the context starts it.

        Args:
            private: It asks for an account.
            tls: It speaks HTTPS, with a certificate for `127.0.0.1`.
        """
        super().__init__()
        self._folder = cache_root() / "registries" / f"{os.getpid()}-{next(_numbers)}"
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        self.account = ACCOUNT if private else None
        self.ca_file = self._folder / "ca.pem" if tls else None

    @abstractmethod
    def _command(self) -> list[str | Path]:
        """What serves; configuration is written here."""

    def _prepare(self) -> None:
        """What is done once the registry answers."""

    def _begin(self) -> None:
        self._resources.enter_context(removed_at_end("folder", str(self._folder)))
        self._folder.mkdir(parents=True)
        if self.ca_file:
            self._certify()
        log = self._folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command(),
                env={**os.environ, "HOME": str(self._folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._resources.enter_context(process)
        self._resources.enter_context(removed_at_end("process", process_id(process.pid)))
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"{self.kind} on {self.address} does not answer"
                raise HostError(message, meaning=log.read_text()[-2000:])
            time.sleep(0.05)
        self._prepare()

    def _certify(self) -> None:
        """Write `ca.pem`, `cert.pem` and `key.pem`."""
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(str(self._folder / "ca.pem"))
        issued.cert_chain_pems[0].write_to_path(str(self._folder / "cert.pem"))
        issued.private_key_pem.write_to_path(str(self._folder / "key.pem"))

    def _answers(self) -> bool:
        scheme = "https" if self.ca_file else "http"
        try:
            with requests.Session() as session:
                session.trust_env = False
                url = f"{scheme}://{self.address}/v2/"
                answer = session.get(url, timeout=5, verify=str(self.ca_file or "") or True)
        except requests.ConnectionError:
            return False
        return answer.status_code in (requests.codes.ok, requests.codes.unauthorized)


class CraneRegistry(OtherRegistry):
    """`crane registry serve`."""

    kind = "crane"

    def _command(self) -> list[str | Path]:
        return [program("crane"), "registry", "serve", "--address", self.address]


class Olareg(OtherRegistry):
    """olareg, which keeps OCI layouts."""

    kind = "olareg"

    def _command(self) -> list[str | Path]:
        address = ["--addr", "127.0.0.1", "--port", str(self._port)]
        return [program("olareg"), "serve", *address, "--dir", self._folder / "data"]


class Zot(OtherRegistry):
    """zot, without its extensions."""

    kind = "zot"

    def _command(self) -> list[str | Path]:
        http: dict[str, object] = {"address": "127.0.0.1", "port": str(self._port)}
        if self.ca_file:
            folder = self._folder
            http["tls"] = {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
        if self.account:
            user, password = self.account
            file = self._folder / "htpasswd"
            file.write_text(run(["htpasswd", "-niB", user], stdin=password))
            http["auth"] = {"htpasswd": {"path": str(file)}}
        storage = {"rootDirectory": str(self._folder / "data"), "gc": False}
        config = self._folder / "config.json"
        config.write_text(json.dumps({"storage": storage, "http": http, "log": {"level": "error"}}))
        return [program("zot"), "serve", config]


class Gitea(OtherRegistry):
    """Gitea, whose packages of the owner `robot` are a registry.

    It has an account in any case: only packages of somebody can be pushed.
    """

    kind = "gitea"

    def __init__(self, *, private: bool = False) -> None:
        super().__init__(private=True)
        self._private = private

    def _command(self) -> list[str | Path]:
        sections: dict[str, dict[str, object]] = {
            "server": {
                "HTTP_ADDR": "127.0.0.1",
                "HTTP_PORT": self._port,
                "ROOT_URL": f"http://{self.address}/",
                "STATIC_ROOT_PATH": _gitea_files(),
                "OFFLINE_MODE": "true",
                "DISABLE_SSH": "true",
            },
            "database": {"DB_TYPE": "sqlite3", "PATH": self._folder / "gitea.db"},
            "security": {"INSTALL_LOCK": "true", "SECRET_KEY": "lab"},
            "service": {"REQUIRE_SIGNIN_VIEW": str(self._private).lower()},
            "indexer": {"ISSUE_INDEXER_TYPE": "db"},
            "cron": {"ENABLED": "false"},
            "log": {"LEVEL": "Error"},
        }
        lines = ["I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true", f"WORK_PATH = {self._folder}"]
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
        (self._folder / "app.ini").write_text("\n".join(lines) + "\n")
        return [*self._gitea(), "web"]

    def _prepare(self) -> None:
        user, password = ACCOUNT
        who = ["--username", user, "--password", password, "--email", "robot@example.com"]
        create = ["admin", "user", "create", *who, "--must-change-password=false"]
        run([*self._gitea(), *create])

    def _gitea(self) -> list[str | Path]:
        return [
            program("gitea"), "--config", self._folder / "app.ini", "--work-path", self._folder,
        ]  # fmt: skip


def _gitea_files() -> Path:
    """The files that Gitea reads at its start, from its module."""
    family, module = GO_MODULES / "gitea", PARTS["gitea"].module

    def make(folder: Path) -> None:
        run(["go", "mod", "download", module], cwd=family)
        source = Path(run(["go", "list", "-m", "-f", "{{.Dir}}", module], cwd=family).strip())
        shutil.copytree(source / "options" / "locale", folder / "options" / "locale")
        for name in ("templates", "public"):  # of its website, which nobody visits
            (folder / name).mkdir()
        for path in (folder / "options").rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)

    return cached("gitea files", [(family / "go.mod").read_text()], make)
