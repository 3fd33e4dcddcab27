"""What the isolated host keeps on disk, below one folder (`/var/lib/airgap`).

mirror/      storage of the mirror: what bundles brought
replay/      storage of what recordings need, in the same form
pushed/      storage of the registry: what people push
authority/   ca.crt and ca.key: what vouches for this host, and for its nodes
secrets/     tls.crt, tls.key, htpasswd: of mirror and registry as other machines reach them
nodes/       NAME/: each node of the builder, and what it is reached with
joined/      what the host said whose builder this one is a node of
bundles/     NAME-SERIAL/: contents, SHA256SUMS and signature of each bundle
receipts/    a file for each install and uninstall; see `airgap.isolated.receipts`
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
from dataclasses import asdict, dataclass
from pathlib import Path

from airgap.bundle.contents import canonical
from airgap.disk import read_regular, write_whole
from airgap.errors import HostError, SpaceError, is_full
from airgap.ownership import changeable_by_others, open_locked
from airgap.store.store import Store

_LOCK_BYTES = 200


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What the operator chose at install.

    Attributes:
        mirror_port: Where the mirror listens.
        registry_port: Where the registry for pushed images listens.
        site_registries: Registries of the site that the builder may reach: `HOST[:PORT]`.
        listen: An address of this host, IP or name, at which other machines reach mirror and
            registry too, with TLS and accounts; empty for none.
        registry_mirror: `HOST[:PORT][/PREFIX]` of somebody's registry that holds the mirror;
            empty where this host does.
        registry_mirror_ca: A PEM file with the authority that vouches for that registry; empty
            for those that this host knows.
        rewrite_indexes: It gets indexes that name only what is carried.
        docker_mirror: dockerd is told of the mirror.
    """

    mirror_port: int = 5001
    registry_port: int = 5000
    site_registries: tuple[str, ...] = ()
    listen: str = ""
    registry_mirror: str = ""
    registry_mirror_ca: str = ""
    rewrite_indexes: bool = False
    docker_mirror: bool = True

    @property
    def mirror(self) -> str:
        """The mirror's address for this host."""
        return f"127.0.0.1:{self.mirror_port}"

    @property
    def registry(self) -> str:
        """The registry's address for this host."""
        return f"127.0.0.1:{self.registry_port}"


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
        """What the command that holds the lock said of itself."""
        with suppress(OSError):
            return read_regular(self._lock, _LOCK_BYTES).decode("ascii", "replace")
        return ""

    def check_writable(self) -> None:
        """This user may change the state, so that a command does not change other things first.

        Raises:
            HostError: They may not.
        """
        if self.root.exists() and not self.writable:
            raise not_writable(self.root, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))

    def settings(self) -> HostSettings:
        """The settings of the last install, or the defaults.

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
        """Keeps the settings for later commands."""
        write_file(self.root / "settings.json", canonical(asdict(settings)))


class Changes:
    """What install changed outside of the state folder, so that uninstall takes back just that.

    A line is written before its change is made: after a kill there may be a line too many, never
    one too few.
    """

    def __init__(self, state: State) -> None:
        self._path = state.root / "changes"
        self._state = state

    def add(self, step: str, what: str) -> None:
        """A step is about to make a change.

        Users other than the state's own change only what is theirs, and note nothing.
        """
        if what in self.of(step) or not self._state.writable:
            return
        self._write([*self._lines(), [step, what]])

    def make_folder(self, step: str, folder: Path) -> None:
        """Makes a folder of the host, with those above it; what was there before is not noted."""
        for path in reversed([folder, *folder.parents]):
            if not path.exists():
                self.add(step, f"{path}/")
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            raise not_writable(folder, error) from error

    def remove_folders(self, step: str) -> None:
        """Removes the folders that a step made, but those where others have put something."""
        for text in reversed(self.of(step)):
            if text.endswith("/"):
                with suppress(OSError):
                    Path(text).rmdir()

    def of(self, step: str) -> list[str]:
        """All that a step changed, oldest first; the folders that it made end with a slash."""
        return [what for known, what in self._lines() if known == step]

    def drop(self, step: str, what: str) -> None:
        """One change was taken back. Users other than the state's own note nothing."""
        if what in self.of(step) and self._state.writable:
            self._write([line for line in self._lines() if line != [step, what]])

    def forget(self, step: str) -> None:
        """The step has taken everything back."""
        self._write([line for line in self._lines() if line[0] != step])

    def _lines(self) -> list[list[str]]:
        try:
            lines = [json.loads(line) for line in self._path.read_text().splitlines()]
            return [[str(step), str(what)] for step, what in lines]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise HostError(f"{self._path} cannot be read: {error}") from error

    def _write(self, lines: list[list[str]]) -> None:
        if lines:
            write_file(self._path, b"".join(canonical(line) for line in lines))
        else:
            self._path.unlink(missing_ok=True)


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file of this host, and the folders to it, as `write_whole` does.

    Raises:
        HostError: It cannot be written.
        SpaceError: The disk is full.
    """
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_whole(path, data, mode)
    except OSError as error:
        raise not_writable(path, error) from error


def not_writable(path: Path, error: OSError) -> HostError | SpaceError:
    """The error for a file or folder of this host that cannot be written to."""
    if is_full(error):
        return SpaceError(
            f"the disk of {path} is full", remedy="make room and give the same command again"
        )
    denied = error.errno in (errno.EACCES, errno.EPERM)
    return HostError(
        f"cannot write to {path}: {error.strerror}",
        remedy="use sudo, or choose another folder with --root" if denied else "",
    )


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
