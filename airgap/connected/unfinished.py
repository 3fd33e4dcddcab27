"""What an interrupted run has done, kept inside the bundle's folder until it is finished.

DIR/.unfinished/plan.json   the request, its resolved digests, serial and times
DIR/.unfinished/journal     a line for each blob that is in its place on disk, for good
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap import __version__
from airgap.bundle.checksums import CHECKSUMS_NAME
from airgap.bundle.contents import canonical
from airgap.errors import AirgapError, HostError, SpaceError, UsageError, is_full
from airgap.oci.digest import is_digest
from airgap.spec.bundle_spec import Request

_FOLDER = ".unfinished"
_RECORD_BYTES = len(f"sha256:{'0' * 64}\n")


@dataclass(frozen=True, slots=True)
class Started:
    """What a first run fixed and later runs keep.

    Attributes:
        serial: Of the bundle.
        created: Of the bundle.
        digests: Fully qualified name to the digest that its tag had.
    """

    serial: int
    created: str
    digests: Mapping[str, str]


class Unfinished:
    """The unfinished state in one output folder.

    Args:
        output: The bundle's folder.
        request: What this run asks for.
        expires: When hosts shall refuse the bundle, or empty.
    """

    def __init__(self, output: Path, request: Request, expires: str) -> None:
        self.output = output
        self._folder = output / _FOLDER
        # Another version may lay out the same request otherwise.
        plain = _plain(request) | {"expires": expires, "tool": __version__}
        self._request = json.loads(canonical(plain))

    def load(self) -> Started | None:
        """What an earlier run of the same request has fixed; None for a fresh folder.

        Raises:
            UsageError: The folder holds something else.
            HostError: It cannot be read.
        """
        try:
            return self._load()
        except OSError as error:
            raise HostError(f"cannot read {self.output}: {error.strerror}") from error

    def _load(self) -> Started | None:
        if not self.output.exists():
            return None
        if not self.output.is_dir():
            raise self._taken("is not a folder")
        path = self._folder / "plan.json"
        if path.exists():
            return self._known(path.read_bytes())
        if (self.output / CHECKSUMS_NAME).exists():
            raise self._taken("holds a finished bundle")
        if any(entry.name != _FOLDER for entry in self.output.iterdir()):
            raise self._taken("is not empty")
        return None

    def _known(self, data: bytes) -> Started:
        try:
            known = json.loads(data)
            request = known.pop("request")
            started = Started(**known)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._taken("holds an unfinished bundle that cannot be read") from error
        if request != self._request:
            raise self._taken("holds an unfinished bundle of another plan")
        return started

    @contextmanager
    def begun(self, started: Started) -> Iterator[None]:
        """Holds the folder for this run alone, so that the next one of the same request goes on.

        Raises:
            HostError: The folder cannot be written to, or another run is at it.
            UsageError: Another run was, since `load`.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise not_written(self.output, error) from error
        try:
            self._hold(folder)
            if self.load() not in (None, started):
                raise self._taken("holds an unfinished bundle of another run")
            self._save(started)
            yield
        finally:
            os.close(folder)

    def _hold(self, folder: int) -> None:
        """The kernel lets go of it when the process ends, however it does."""
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HostError(
                f"another run is writing to {self.output}",
                remedy="wait until it ends, or give another folder with -o",
            ) from error
        except OSError as error:
            raise not_written(self.output, error) from error

    def _save(self, started: Started) -> None:
        document = {
            "request": self._request,
            "serial": started.serial,
            "created": started.created,
            "digests": dict(started.digests),
        }
        try:
            write_whole(self._folder / "plan.json", canonical(document))
        except OSError as error:
            raise not_written(self.output, error) from error

    def journal(self, tar: int, tar_bytes: int, blobs: int) -> Journal:
        """The journal for the tar that is open as `tar`.

        Args:
            tar: File descriptor.
            tar_bytes: What its size is once anything was written.
            blobs: How many are to be fetched in all.

        Raises:
            SpaceError: There is no room for it.
            HostError: It cannot be written to.
        """
        path = self._folder / "journal"
        try:
            if os.fstat(tar).st_size != tar_bytes:  # new, or not the one that was written to
                path.unlink(missing_ok=True)
            return Journal(path, tar, blobs)
        except OSError as error:
            raise not_written(path, error) from error

    def remove(self) -> None:
        """The bundle is finished."""
        shutil.rmtree(self._folder)

    def _taken(self, why: str) -> UsageError:
        return UsageError(
            f"{self.output} {why}",
            remedy="give the folder of this very plan, an empty one, or a new one with -o",
        )


class Journal:
    """Which blobs are in their place. A line is written only after the tar was synced.

    The file has all its room from the start, so that it can be written on a full disk.

    Args:
        path: The journal.
        tar: File descriptor of the tar.
        blobs: How many lines there can be.
    """

    def __init__(self, path: Path, tar: int, blobs: int) -> None:
        self._path, self._tar = path, tar
        self._pending: list[str] = []
        self._lock, self._syncing = threading.Lock(), threading.Lock()
        with path.open("ab+") as file:
            file.write(b"\n" * (blobs * _RECORD_BYTES - file.tell()))
            file.seek(0)
            lines = file.read().decode(errors="replace").splitlines()
        self.finished = frozenset(line for line in lines if is_digest(line))
        self._lines = len(self.finished)

    def add(self, digest: str) -> None:
        """A blob was written and its digest holds. Of many callers one syncs for all."""
        with self._lock:
            self._pending.append(digest)
        self._sync(wait=False)

    def flush(self) -> None:
        """Makes all that was added last, whatever happens next."""
        self._sync(wait=True)

    def _sync(self, *, wait: bool) -> None:
        while self._pending and self._syncing.acquire(blocking=wait):
            try:
                with self._lock:
                    digests, self._pending = self._pending, []
                self._write(digests)
            finally:
                self._syncing.release()

    def _write(self, digests: list[str]) -> None:
        os.fdatasync(self._tar)
        with self._path.open("rb+") as file:
            file.seek(self._lines * _RECORD_BYTES)
            file.writelines(f"{digest}\n".encode() for digest in digests)
            file.flush()
            os.fdatasync(file.fileno())
        self._lines += len(digests)


def not_written(path: Path, error: OSError) -> AirgapError:
    """The error for an output folder that cannot be written to."""
    if is_full(error):
        return SpaceError(
            f"the disk of {path} is full",
            meaning="The blobs that were finished are kept.",
            remedy="make room and give the same command again",
        )
    too_large = "FAT32 holds files of up to 4 GiB." if error.errno == errno.EFBIG else ""
    return HostError(
        f"cannot write to {path}: {error.strerror}",
        meaning=too_large,
        remedy="choose another folder with -o",
    )


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file so that it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _plain(request: Request) -> dict[str, Any]:
    """A request as JSON, for comparing."""
    return {
        "name": request.name,
        "host_platforms": [str(platform) for platform in request.host_platforms],
        "images": [
            {
                "name": str(image.reference),
                "platforms": [str(platform) for platform in image.platforms],
                "roles": list(image.roles),
            }
            for image in request.images
        ],
    }
