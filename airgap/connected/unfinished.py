"""What an interrupted run has done, kept inside the bundle's folder until it is finished.

DIR/.unfinished/plan.json   the request, its resolved digests, serial and times
DIR/.unfinished/journal     how much of each blob is in its place on disk, for good; journal.py
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap import __version__
from airgap.bundle.checksums import CHECKSUMS_NAME
from airgap.bundle.contents import canonical, is_qualified, is_time
from airgap.disk import write_whole
from airgap.errors import AirgapError, HostError, SpaceError, UsageError, is_full
from airgap.limits import LIMITS
from airgap.oci.digest import is_digest
from airgap.spec.bundle_spec import Request

_FOLDER = ".unfinished"


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
        volume_bytes: The most that a volume may have, or 0.
    """

    def __init__(self, output: Path, request: Request, expires: str, volume_bytes: int = 0) -> None:
        self.output = output
        self._folder = output / _FOLDER
        # Another version may lay out the same request otherwise.
        plain = _plain(request) | {
            "expires": expires,
            "tool": __version__,
            "volume_bytes": volume_bytes,
        }
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
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                return self._known(file.read(LIMITS.contents_bytes))
        if (self.output / CHECKSUMS_NAME).exists():
            # Of a run that was killed when nothing was left to do but this.
            shutil.rmtree(self._folder, ignore_errors=True)
            raise self._taken("holds a finished bundle")
        if any(entry.name != _FOLDER for entry in self.output.iterdir()):
            raise self._taken("is not empty")
        return None

    def _known(self, data: bytes) -> Started:
        try:
            known = json.loads(data)
            request = known.pop("request")
            started = Started(**known)
            sound = _is_sound(started)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self._taken("holds an unfinished bundle that cannot be read") from error
        if not sound:
            raise self._taken("holds an unfinished bundle that cannot be read")
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
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            folder = os.open(self._folder, flags)
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

    @property
    def journal_path(self) -> Path:
        """Where the journal of the blobs is."""
        return self._folder / "journal"

    def remove(self) -> None:
        """The bundle is finished. A plan without its journal would have all fetched again."""
        (self._folder / "plan.json").unlink()
        shutil.rmtree(self._folder)

    def _taken(self, why: str) -> UsageError:
        return UsageError(
            f"{self.output} {why}",
            remedy="give the folder of this very plan, an empty one, or a new one with -o",
        )


def not_written(path: Path, error: OSError) -> AirgapError:
    """The error for an output folder that cannot be written to."""
    if is_full(error):
        return SpaceError(
            f"the disk of {path} is full",
            meaning="What was fetched is kept.",
            remedy="make room and give the same command again",
        )
    if error.errno == errno.EFBIG:
        return HostError(
            f"cannot write to {path}: {error.strerror}",
            meaning="The file system there holds no files of that size.",
            remedy="cut them: --volume-size 4GiB, into another folder",
        )
    return HostError(
        f"cannot write to {path}: {error.strerror}", remedy="choose another folder with -o"
    )


def _is_sound(started: Started) -> bool:
    """Whether what a file says is of the form that a run writes."""
    return (
        type(started.serial) is int
        and is_time(started.created)
        and all(is_qualified(name) and is_digest(it) for name, it in started.digests.items())
    )


def _plain(request: Request) -> dict[str, Any]:
    """A request as JSON, for comparing; but for recordings, which every run makes anew.

    Their build arguments, which may be secret, shall not be on the medium.
    """
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
