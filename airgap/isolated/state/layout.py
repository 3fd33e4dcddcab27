"""What the isolated host keeps on disk, below one folder (`/var/lib/airgap`).

mirror/      storage of the mirror: what bundles included
replay/      storage of what recordings need, in the same form
pushed/      storage of the registry: what people push
authority/   ca.crt and ca.key: what signs this host, and for its nodes
secrets/     tls.crt, tls.key, htpasswd: of mirror and registry as other machines reach them
nodes/       NAME/: each node of the builder, and what it is reached with
joined/      what the host said whose builder this one is a node of
bundles/     NAME-SERIAL/: contents, SHA256SUMS and signature of each bundle
receipts/    a file for each install and uninstall; see `airgap.isolated.state.receipts`
config/      configuration of the containers, and authorities behind registries
replaced/    files of the host as they were before install changed them
settings.json, changes, lock
airgap.log   what commands did; see `airgap.log`
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from airgap.canonical import canonical
from airgap.disk import read_regular
from airgap.errors import HostError
from airgap.isolated.host.files import not_writable, write_file
from airgap.isolated.state.settings import HostSettings
from airgap.ownership import changeable_by_others, open_locked
from airgap.store.store import Store

_LOCK_BYTES = 200


class State:
    """The folder of all state.

    Args:
        root: The folder; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mirror = Store(root / "mirror")
        self.replay = Store(root / "replay")
        self.pushed = root / "pushed"
        self.bundles = root / "bundles"
        self.receipts = root / "receipts"
        self.config = root / "config"
        self.replaced = root / "replaced"
        self.authority = root / "authority"
        self.secrets = root / "secrets"
        self.nodes = root / "nodes"
        self.joined = root / "joined"
        self._lock = root / "lock"

    @property
    def scratch(self) -> Path:
        """A folder for short-lived programs: this one, or the home of who may not write here."""
        return self.root if self.writable else Path.home()

    @property
    def writable(self) -> bool:
        """Whether the folder is there and this user may change it."""
        return os.access(self.root, os.W_OK)

    @contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """Only one command changes this host at a time.

        Users who may not write here change nothing but what is theirs, and hold no lock.

        Args:
            command: What to tell the others, `airgap install`.

        Raises:
            HostError: Another one holds the lock, or the folder cannot be written to.
        """
        if self.root.exists() and not self.writable:
            yield
            return
        try:
            self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
            check_safe(self.root)
            file = open_locked(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HostError(
                f"this host is being changed by {self._holder() or 'another command'}",
                remedy="wait until it has ended",
            ) from error
        except OSError as error:
            raise not_writable(self.root, error) from error
        with os.fdopen(file, "r+") as lock:
            lock.truncate(0)
            lock.write(f"{command}, process {os.getpid()}")
            lock.flush()
            try:
                yield
            finally:
                lock.truncate(0)

    def _holder(self) -> str:
        """Return what the command that holds the lock said of itself."""
        with suppress(OSError):
            return read_regular(self._lock, _LOCK_BYTES).decode("ascii", "replace")
        return ""

    def check_writable(self) -> None:
        """Check that this user can change the state, before a command changes other things.

        Raises:
            HostError: They may not.
        """
        if self.root.exists() and not self.writable:
            raise not_writable(self.root, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))

    def settings(self) -> HostSettings:
        """Return the settings of the last install, or the defaults.

        Raises:
            HostError: The file is damaged.
        """
        path = self.root / "settings.json"
        try:
            document = json.loads(path.read_bytes())
            document["site_registries"] = tuple(document["site_registries"])
            return HostSettings(**document)
        except FileNotFoundError:
            return HostSettings()
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise HostError(
                f"{path} cannot be read: {error}", remedy="delete it and install again"
            ) from error

    def save_settings(self, settings: HostSettings) -> None:
        """Keep the settings for later commands."""
        write_file(self.root / "settings.json", canonical(asdict(settings)))


def check_safe(root: Path) -> None:
    """Nobody but root and this user may change the folder, or put another in its place.

    Raises:
        HostError: Somebody can, or it cannot be told.
    """
    try:
        part = changeable_by_others(root)
    except OSError as error:
        raise HostError(f"cannot look at {root}: {error.strerror}") from error
    if part is not None:
        raise HostError(
            f"other users can change {part}",
            meaning=f"What airgap keeps in {root} decides what it does to this host.",
            remedy="choose another folder with --root DIR",
        )
