"""What an interrupted run has done, kept inside the bundle's folder until it is finished.

DIR/.unfinished/plan.json   the request, its resolved digests, serial and times
DIR/.unfinished/journal     a line for each blob that is in its place on disk, for good
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap.bundle.contents import canonical
from airgap.errors import HostError, UsageError
from airgap.limits import MIB
from airgap.oci.digest import is_digest
from airgap.spec.bundle_spec import Request

_FOLDER = ".unfinished"
# Nothing that is older than this many bytes of fetched blobs is lost to a power cut.
_SYNC_BYTES = 256 * MIB


@dataclass(frozen=True, slots=True)
class Started:
    """What a first run fixed and later runs keep.

    Attributes:
        serial: Of the bundle.
        created: Of the bundle.
        expires: Of the bundle, or empty.
        digests: Fully qualified name to the digest that its tag had; empty before resolving.
    """

    serial: int
    created: str
    expires: str
    digests: Mapping[str, str]


class Unfinished:
    """The unfinished state in one output folder.

    Args:
        output: The bundle's folder.
        request: What this run asks for.
    """

    def __init__(self, output: Path, request: Request) -> None:
        self.output = output
        self._folder = output / _FOLDER
        self._request = json.loads(canonical(_plain(request)))

    def load(self) -> Started | None:
        """What an earlier run of the same request has fixed; None for a fresh folder.

        Raises:
            UsageError: The folder holds something else.
        """
        if not self.output.exists():
            return None
        if not self.output.is_dir():
            raise UsageError(f"{self.output} is not a folder")
        path = self._folder / "plan.json"
        if path.exists():
            known = json.loads(path.read_bytes())
            if known.pop("request") == self._request:
                return Started(**known)
            raise self._taken("holds an unfinished bundle of another plan")
        if any(entry.name != _FOLDER for entry in self.output.iterdir()):
            raise self._taken("is not empty")
        return None

    def save(self, started: Started) -> None:
        """Begins, so that the next run of the same request goes on.

        Raises:
            HostError: The folder cannot be written to.
        """
        document = {
            "request": self._request,
            "serial": started.serial,
            "created": started.created,
            "expires": started.expires,
            "digests": dict(started.digests),
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = self._folder / "plan.json.new"
            temporary.write_bytes(canonical(document))
            temporary.replace(self._folder / "plan.json")
        except OSError as error:
            raise not_written(self.output, error) from error

    def journal(self, tar: int) -> Journal:
        """The journal for the tar that is open as `tar`."""
        return Journal(self._folder / "journal", tar)

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

    Args:
        path: The journal.
        tar: File descriptor of the tar.
    """

    def __init__(self, path: Path, tar: int) -> None:
        self._path, self._tar = path, tar
        self._lock = threading.Lock()
        self._pending: list[str] = []
        self._pending_bytes = 0
        lines = path.read_text().splitlines() if path.exists() else []
        self.finished = frozenset(line for line in lines if is_digest(line))

    def add(self, digest: str, size: int) -> None:
        """A blob was written and its digest holds."""
        with self._lock:
            self._pending.append(digest)
            self._pending_bytes += size
            if self._pending_bytes >= _SYNC_BYTES:
                self._flush()

    def flush(self) -> None:
        """Makes all that was added last, whatever happens next."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        os.fdatasync(self._tar)
        with self._path.open("a") as file:
            file.writelines(f"{digest}\n" for digest in self._pending)
            file.flush()
            os.fsync(file.fileno())
        self._pending, self._pending_bytes = [], 0


def not_written(path: Path, error: OSError) -> HostError:
    """The error for an output folder that cannot be written to."""
    return HostError(
        f"cannot write to {path}: {error.strerror}",
        remedy="choose another folder with -o",
    )


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
