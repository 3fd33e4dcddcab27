"""`airgap.lock`: what a request was resolved to, so that the same bundle can be made again.

format = "airgap-lock/1"
name = "arm64-builder"
serial = 1767225600
created = "2026-01-01T00:00:00Z"
expires = ""                                    # never
host_platforms = ["linux/amd64"]
[tool]
version = "0.1.0"                               # of airgap
sha256 = "…"                                    # of airgap.pyz
[tool.wheels]                                   # what that is made of
"click-8.5.1-py3-none-any.whl" = "…"
[[images]]                                      # in the order asked for
name = "docker.io/library/alpine:latest"
digest = "sha256:…"
wanted = ["linux/amd64", "linux/arm64"]         # platforms asked for; empty for all
platforms = ["linux/amd64", "linux/arm64"]      # those carried
roles = ["base"]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from airgap.bounded import read_toml
from airgap.bundle.contents import ROLES, ImageEntry, is_bundle_name, is_platform, is_qualified
from airgap.canonical import is_time
from airgap.errors import UsageError
from airgap.limits import LIMITS
from airgap.oci.digest import is_digest
from airgap.oci.reference import parse_reference
from airgap.schema import Reader, fits
from airgap.spec.bundle_spec import Request
from airgap.spec.toml import text, texts

FORMAT = "airgap-lock/1"
DEFAULT_PATH = Path("airgap.lock")

_HEADER = """\
# What the images of a bundle were resolved to. `airgap bundle --locked` makes the same bundle of
# it, byte for byte; `airgap update` updates it. Keep it with your spec, unedited.
# An image's `wanted` are the platforms asked for (none for all), its `platforms` those carried.
"""
_VERSION = re.compile(r"[0-9A-Za-z.+!_-]{1,64}")
_WHEEL = re.compile(r"[0-9A-Za-z.+!_-]{1,250}\.whl")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_SERIAL = 2**53
_LAST_YEAR = "9999"  # there is a later second to every moment before it


@dataclass(frozen=True, slots=True)
class LockedImage:
    """An image of a lock.

    Attributes:
        name: Fully qualified.
        digest: What the name was resolved to.
        wanted: Platforms asked for; empty means all that there are.
        platforms: Those carried.
        roles: What it is for.
    """

    name: str
    digest: str
    wanted: tuple[str, ...]
    platforms: tuple[str, ...]
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LockedTool:
    """The program for the isolated host.

    Attributes:
        version: Of airgap.
        sha256: Of `airgap.pyz`.
        wheels: What it is made of besides airgap: file name to SHA-256.
    """

    version: str
    sha256: str
    wheels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lock:
    """All that decides the bytes of a bundle. `expires` is empty for never."""

    name: str
    serial: int
    created: str
    expires: str
    host_platforms: tuple[str, ...]
    tool: LockedTool
    images: tuple[LockedImage, ...]

    def is_as(self, other: Lock) -> bool:
        """Return whether they differ in nothing but when they were made."""
        return replace(self, serial=other.serial, created=other.created) == other

    def to_text(self) -> str:
        """Return the text of `airgap.lock`."""
        lines = [f"{_HEADER}format = {text(FORMAT)}"]
        lines += [f"name = {text(self.name)}", f"serial = {self.serial}"]
        lines += [f"created = {text(self.created)}", f"expires = {text(self.expires)}"]
        lines += [f"host_platforms = {texts(self.host_platforms)}", "", "[tool]"]
        lines += [f"version = {text(self.tool.version)}", f"sha256 = {text(self.tool.sha256)}"]
        lines += ["", "[tool.wheels]"]
        wheels = sorted(self.tool.wheels.items())
        lines += [f"{text(name)} = {text(sha256)}" for name, sha256 in wheels]
        for image in self.images:
            lines += ["", "[[images]]", f"name = {text(image.name)}"]
            lines += [f"digest = {text(image.digest)}", f"wanted = {texts(image.wanted)}"]
            lines += [f"platforms = {texts(image.platforms)}", f"roles = {texts(image.roles)}"]
        return "\n".join(lines) + "\n"


def refuse_recordings(request: Request) -> None:
    """Refuse recordings: a lock repeats a bundle byte for byte, and servers respond differently.

    Raises:
        UsageError: The request has recordings.
    """
    if request.recordings:
        raise UsageError(
            f"recordings cannot be locked: {request.recordings[0].name}",
            meaning="A lock gives the same bundle again, byte for byte, and servers answer each "
            "recording otherwise.",
            remedy="make the bundle without --lock and --locked, or without its recordings",
        )


def lock_images(request: Request, entries: Sequence[ImageEntry]) -> tuple[LockedImage, ...]:
    """Return the images of a request with what each was resolved to, which are as many."""
    return tuple(
        LockedImage(
            entry.name,
            entry.digest,
            tuple(str(platform) for platform in wanted.platforms),
            entry.platforms,
            wanted.roles,
        )
        for wanted, entry in zip(request.images, entries, strict=True)
    )


def difference(lock: Lock, request: Request) -> str:
    """Return the first difference between a request and the locked one; empty if there is none."""
    return next(_differences(lock, request), "")


def _differences(lock: Lock, request: Request) -> Iterator[str]:
    hosts = tuple(str(platform) for platform in request.host_platforms)
    if lock.name != request.name:
        yield f"its name is {lock.name}, not {request.name}"
    if lock.host_platforms != hosts:
        yield f"its host platforms are {_listed(lock.host_platforms)}, not {_listed(hosts)}"
    locked = {image.name: image for image in lock.images}
    for image in request.images:
        name, wanted = str(image.reference), tuple(str(platform) for platform in image.platforms)
        known = locked.pop(name, None)
        if known is None:
            yield f"it has no {name}"
        elif known.wanted != wanted:
            yield f"it has {name} for {_listed(known.wanted)}, not for {_listed(wanted)}"
        elif known.roles != image.roles:
            yield f"it has {name} as {_listed(known.roles)}, not as {_listed(image.roles)}"
    yield from (f"it also has {name}" for name in locked)
    if [image.name for image in lock.images] != [str(image.reference) for image in request.images]:
        yield "it has the images in another order"


def load_lock(path: Path) -> Lock | None:
    """Read a lock, if there is one.

    Raises:
        UsageError: It cannot be read, or is not one; the message names the file and the key.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LIMITS.lock_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot read the lock {path}: {error.strerror}") from error
    return parse_lock(data, str(path))


def parse_lock(data: bytes, path: str) -> Lock:
    """Read the bytes of a lock.

    Args:
        data: What to read.
        path: Where it is from, for messages.

    Raises:
        UsageError: They are not a lock; the message names `path` and the key.
    """
    if len(data) > LIMITS.lock_bytes:
        raise _broken(path, f"it is larger than {LIMITS.lock_bytes} bytes")
    try:
        document = read_toml(data, LIMITS.lock_bytes)
    except ValueError as error:
        raise _broken(path, f"it is not TOML: {error}") from error
    top = Reader(document, lambda why: _broken(path, why), first=1)
    top.text("format", FORMAT.__eq__)
    lock = Lock(
        name=top.text("name", is_bundle_name),
        serial=top.number("serial", _MOST_SERIAL),
        created=top.text("created", lambda text: is_time(text) and text < _LAST_YEAR),
        expires=top.text("expires", lambda text: not text or is_time(text)),
        host_platforms=top.texts("host_platforms", LIMITS.manifest_entries, is_platform),
        tool=_read_tool(top.table("tool")),
        images=tuple(map(_read_image, top.tables("images", LIMITS.images))),
    )
    top.finish()
    for name, count in Counter(image.name for image in lock.images).most_common(1):
        if count > 1:
            raise _broken(path, f"{name} is in it twice")
    return lock


def _read_tool(table: Reader) -> LockedTool:
    tool = LockedTool(
        version=table.text("version", fits(_VERSION)),
        sha256=table.text("sha256", fits(_SHA256)),
        wheels=table.table("wheels").mapping(fits(_WHEEL), fits(_SHA256)),
    )
    table.finish()
    return tool


def _read_image(table: Reader) -> LockedImage:
    image = LockedImage(
        name=table.text("name", is_qualified),
        digest=table.text("digest", is_digest),
        wanted=table.texts("wanted", LIMITS.manifest_entries, is_platform),
        platforms=table.texts("platforms", LIMITS.manifest_entries, is_platform),
        roles=table.texts("roles", LIMITS.manifest_entries, ROLES.__contains__),
    )
    table.finish()
    if parse_reference(image.name).digest not in ("", image.digest):
        raise table.wrong("digest", f"is not that of {image.name}")
    return image


def _broken(path: str, why: str) -> UsageError:
    return UsageError(
        f"{path} is not a lock that this airgap can read: {why}",
        remedy="take the file from your version control, or remove it and use airgap update",
    )


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts) or "all platforms"
