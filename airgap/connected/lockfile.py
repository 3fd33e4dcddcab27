"""Locks: made of what was resolved, and held against what is made of them again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from airgap import __version__
from airgap.bundle.contents import Contents
from airgap.canonical import format_time, parse_time
from airgap.connected.checkpoint import Checkpoint, check_past
from airgap.connected.registry_protocol import Registry
from airgap.connected.resolve import resolve_all
from airgap.disk import write_atomic
from airgap.errors import NotFoundError, UsageError, translate_write_errors
from airgap.progress import Progress
from airgap.spec.bundle_spec import Request
from airgap.spec.lock import Lock, LockedTool, difference, load_lock, lock_images, refuse_recordings
from airgap.tool.build_pyz import ToolBuilder, wheels_of


def resolve_lock(  # noqa: PLR0913, PLR0917 - what the work needs
    request: Request,
    expires: datetime | None,
    known: Lock | None,
    source: Registry,
    build_tool: ToolBuilder,
    progress: Progress,
    jobs: int = 1,
) -> Lock:
    """Resolve every name again.

    Args:
        request: What is wanted.
        expires: When hosts must refuse the bundle.
        known: The lock that there is; it is returned if nothing differs from it.
        source: Where registries are asked.
        build_tool: Gives the bytes of `airgap.pyz` for host platforms.
        progress: Sees what happens.
        jobs: How many images are resolved at once.

    Raises:
        UsageError: The request has recordings.
        AirgapError: An image or platform does not exist, or a registry does not answer.
    """
    refuse_recordings(request)
    images = resolve_all(source, request, {}, jobs)
    progress.message("building the tool for the isolated host")
    tool = build_tool(request.host_platforms, progress)
    created = _later_than(known)
    lock = Lock(
        name=request.name,
        serial=int(created.timestamp()),
        created=format_time(created),
        expires=format_time(expires) if expires else "",
        host_platforms=tuple(str(platform) for platform in request.host_platforms),
        tool=describe_tool(tool),
        images=lock_images(request, [image.entry for image in images]),
    )
    return known if known and known.is_as(lock) else lock


def lock_of(request: Request, contents: Contents, tool: bytes) -> Lock:
    """Return the lock of a bundle that is being made.

    Args:
        request: What was wanted.
        contents: What it was resolved to.
        tool: The bytes of `airgap.pyz`.

    Raises:
        UsageError: The request has recordings.
    """
    refuse_recordings(request)
    return Lock(
        name=contents.name,
        serial=contents.serial,
        created=contents.created,
        expires=contents.expires,
        host_platforms=contents.host_platforms,
        tool=describe_tool(tool),
        images=lock_images(request, contents.images),
    )


def describe_tool(tool: bytes) -> LockedTool:
    """Return what is locked of an `airgap.pyz` that this airgap built."""
    return LockedTool(__version__, hashlib.sha256(tool).hexdigest(), wheels_of(tool))


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock, whole or not at all.

    Raises:
        SpaceError: There is no room for it.
        HostError: It cannot be written.
    """
    with translate_write_errors(path, remedy="name another file with --lock"):
        write_atomic(path.resolve(), lock.to_text().encode())


@dataclass(frozen=True, slots=True)
class Locked:
    """The lock that a bundle is made of.

    Attributes:
        path: Its file, for messages.
        lock: What is in it.
        update: The command that updates it, for messages.
    """

    path: Path
    lock: Lock
    update: str

    @classmethod
    def open(cls, path: Path, request: Request, expires: datetime | None, update: str) -> Locked:
        """Read a lock and hold it against what is wanted.

        Args:
            path: Its file.
            request: What is wanted.
            expires: When hosts must refuse the bundle; None where the lock decides.
            update: The command that updates it, for messages.

        Raises:
            UsageError: There is none, it is not one, or it is of another request or airgap; or
                the request has recordings.
        """
        refuse_recordings(request)
        lock = load_lock(path)
        if lock is None:
            raise UsageError(
                f"there is no lock {path}",
                meaning="--locked makes a bundle of what a lock says.",
                remedy=f"make one: {update}",
            )
        locked = cls(path, lock, update)
        if why := difference(lock, request) or locked._other_end(expires):
            raise UsageError(
                f"{path} is the lock of another request: {why}",
                meaning="Nothing was asked for or written.",
                remedy=f"lock this one: {update}",
            )
        locked._check_version()
        return locked

    @property
    def started(self) -> Checkpoint:
        """Serial, time and digests."""
        digests = {image.name: image.digest for image in self.lock.images}
        return Checkpoint(self.lock.serial, self.lock.created, digests)

    @property
    def expires(self) -> datetime | None:
        """When hosts must refuse the bundle."""
        return parse_time(self.lock.expires) if self.lock.expires else None

    @property
    def is_over(self) -> bool:
        """Whether hosts refuse the bundle already."""
        return self.expires is not None and self.expires <= datetime.now(UTC)

    def check_tool(self, tool: bytes) -> None:
        """Refuse an `airgap.pyz` that is not the locked one.

        Raises:
            UsageError: It is another one.
        """
        locked, built = self.lock.tool, describe_tool(tool)
        if built == locked:
            return
        others = sorted(dict(locked.wheels.items() - built.wheels.items()))
        what = f"its part {others[0]} is another" if others else "this airgap has other files"
        raise UsageError(
            f"airgap.pyz is not the one of {self.path}: {what}",
            meaning=f"The lock needs the very airgap {locked.version} that it was made with.",
            remedy=f"use that one, or lock with this one: {self.update}",
        )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Add to an error of a missing image that the lock names it.

        Raises:
            NotFoundError: With that.
        """
        try:
            yield
        except NotFoundError as error:
            raise NotFoundError(
                error.message,
                meaning=f"{error.meaning} {self.path} names it, and registries delete what no "
                "tag names any more.".lstrip(),
                remedy=f"take what there is now: {self.update}",
            ) from error

    def _other_end(self, expires: datetime | None) -> str:
        stated = format_time(expires) if expires else self.lock.expires
        if stated == self.lock.expires:
            return ""
        return f"it expires {self.lock.expires or 'never'}, not {stated}"

    def _check_version(self) -> None:
        version = self.lock.tool.version
        if version != __version__:
            raise UsageError(
                f"{self.path} was made with airgap {version}, and this is airgap {__version__}",
                meaning="A bundle carries airgap, so that another version makes other bytes.",
                remedy=f"use airgap {version}, or lock with this one: {self.update}",
            )


def _later_than(known: Lock | None) -> datetime:
    """Now; but after what was locked before, as a serial is never used again.

    Raises:
        HostError: The lock that there is comes from the future.
    """
    if known is None:
        return datetime.now(UTC).replace(microsecond=0)
    check_past(known.created)
    while (now := datetime.now(UTC).replace(microsecond=0)) <= parse_time(known.created):
        time.sleep(0.05)
    return now
