"""What an interrupted run has done, kept inside the bundle's folder until it is finished.

DIR/.unfinished/plan.json   the name of what was fixed: digests, serial and time; checkpoint_seal.py
DIR/.unfinished/journal     how much of each blob is in its place on disk, for good; journal.py

Whoever made the medium may have written both. So what was fixed is kept on the workstation, and
the bytes that the journal claims are hashed before they count.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airgap import __version__
from airgap.bundle.checksums import CHECKSUMS_NAME
from airgap.bundle.contents import is_qualified
from airgap.bundle.media import Media
from airgap.canonical import canonical, format_time, is_time
from airgap.connected import checkpoint_seal
from airgap.connected.output import open_folder, write_file
from airgap.errors import (
    AirgapError,
    HostError,
    IntegrityError,
    UsageError,
    cannot_write,
)
from airgap.oci.digest import is_digest
from airgap.spec.bundle_spec import Request

_FOLDER = ".unfinished"
_PLAN = f"{_FOLDER}/plan.json"
_PLAN_BYTES = 1024
# How a file system says that it has no locks.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class Checkpoint:
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
        expires: When hosts must refuse the bundle, or empty.
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
        self._name = ""

    def load(self) -> Checkpoint | None:
        """Return what an earlier run of the same request has fixed; None for a fresh folder.

        Raises:
            UsageError: The folder holds something else.
            HostError: It cannot be read.
        """
        try:
            return self._load()
        except OSError as error:
            raise HostError(f"cannot read {self.output}: {error.strerror}") from error

    def _load(self) -> Checkpoint | None:
        if not self.output.exists():
            return None
        if not self.output.is_dir():
            raise self._taken("is not a folder")
        media = Media([self.output], finished=False)
        if media.holds(_PLAN):
            return self._known(media)
        if (self.output / CHECKSUMS_NAME).exists():
            # Of a run that was killed when nothing was left to do but this.
            shutil.rmtree(self._folder, ignore_errors=True)
            raise self._taken("holds a finished bundle")
        if any(entry.name != _FOLDER for entry in self.output.iterdir()):
            raise self._taken("is not empty")
        return None

    def _known(self, media: Media) -> Checkpoint:
        try:
            named = json.loads(media.read(_PLAN, _PLAN_BYTES))
        except (ValueError, RecursionError, IntegrityError) as error:
            raise self._taken("holds an unfinished bundle that cannot be read") from error
        if not isinstance(named, dict) or list(named) != ["begun"]:
            raise self._taken("holds an unfinished bundle that cannot be read")
        self._name = str(named["begun"])
        known = checkpoint_seal.read(self._name)
        if known is None:
            raise self._taken("holds an unfinished bundle that was not begun here, or is too old")
        if known.pop("request", None) != self._request:
            raise self._taken("holds an unfinished bundle of another plan")
        try:
            started = Checkpoint(**known)
            sound = _is_sound(started)
        except (TypeError, AttributeError) as error:
            raise self._taken("holds an unfinished bundle that cannot be read") from error
        if not sound:
            raise self._taken("holds an unfinished bundle that cannot be read")
        return started

    @contextmanager
    def resume(self, started: Checkpoint) -> Iterator[None]:
        """Lock the folder for this run, so that the next run of the same request can continue.

        Raises:
            HostError: The folder cannot be written to, or another run is at it.
            UsageError: Another run was, since `load`.
        """
        check_past(started.created)
        with ExitStack() as stack:
            try:
                self.output.mkdir(parents=True, exist_ok=True)
                # Private: another user of the workstation could otherwise hold the lock.
                self._hold(stack.enter_context(open_folder(self.output, _FOLDER, 0o700)))
            except OSError as error:
                raise not_written(self.output, error) from error
            known = self.load()
            if known not in (None, started):
                raise self._taken("holds an unfinished bundle of another run")
            if known is None:
                self._save(started)
            yield

    def _hold(self, folder: int) -> None:
        """Take a lock that the kernel releases when the process ends in any way."""
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HostError(
                f"another run is writing to {self.output}",
                remedy="wait until it ends, or give another folder with -o",
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise

    def _save(self, started: Checkpoint) -> None:
        document = {
            "request": self._request,
            "serial": started.serial,
            "created": started.created,
            "digests": dict(started.digests),
        }
        self._name = checkpoint_seal.write(self.output, document)
        try:
            write_file(self.output, _PLAN, canonical({"begun": self._name}))
        except OSError as error:
            raise not_written(self.output, error) from error

    @property
    def journal_path(self) -> Path:
        """Where the journal of the blobs is."""
        return self._folder / "journal"

    def remove(self) -> None:
        """Remove the checkpoint of a finished bundle.

        Raises:
            OSError: The folder cannot be written to.
            HostError: What was fixed cannot be removed from the workstation.
        """
        # The plan first: with a plan and no journal, the next run would fetch everything again.
        with open_folder(self.output, _FOLDER) as folder:
            os.unlink("plan.json", dir_fd=folder)
        shutil.rmtree(self._folder)
        checkpoint_seal.remove(self._name)

    def _taken(self, why: str) -> UsageError:
        return UsageError(
            f"{self.output} {why}",
            remedy="give the folder of this very plan, an empty one, or a new one with -o",
        )


def check_past(created: str) -> None:
    """Refuse to sign a bundle whose moment has not come: hosts would refuse all later ones.

    Args:
        created: As in the contents.

    Raises:
        HostError: It is after now.
    """
    now = format_time(datetime.now(UTC))
    if created > now:
        raise HostError(
            f"the bundle was begun or locked at {created}, and this workstation's clock says {now}",
            meaning="One of them is wrong. A bundle from the future blocks all later ones.",
            remedy="set the clock; if it is right, begin in another folder, without the lock",
        )


def not_written(path: Path, error: OSError) -> AirgapError:
    """Return the error for an output folder that cannot be written to."""
    if error.errno == errno.EFBIG:
        return HostError(
            f"cannot write to {path}: {error.strerror}",
            meaning="The file system there holds no files of that size.",
            remedy="cut them: --volume-size 4GiB, into another folder",
        )
    kept, remedy = "What was fetched is kept.", "choose another folder with -o"
    return cannot_write(path, error, kept=kept, remedy=remedy)


def _is_sound(started: Checkpoint) -> bool:
    """Return whether what a file says is of the form that a run writes."""
    return (
        type(started.serial) is int
        and is_time(started.created)
        and all(is_qualified(name) and is_digest(it) for name, it in started.digests.items())
    )


def _plain(request: Request) -> dict[str, Any]:
    """Return a request as JSON, for comparing; but for recordings, which every run makes again.

    Their build arguments, which may be secret, must not be on the medium.
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
