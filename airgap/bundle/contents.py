"""`bundle.json`, the contents of a bundle: read strictly, written canonically (format 1).

Canonical means: sorted keys, no spaces, UTF-8, a final newline. A reader refuses any other
bytes, so that two readers can never understand one signed file differently.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from airgap.errors import AirgapError, IntegrityError
from airgap.limits import LIMITS
from airgap.oci.digest import is_digest
from airgap.oci.manifest import INDEX_TYPES, MANIFEST_TYPES, load_json
from airgap.oci.platform import parse_platform
from airgap.oci.reference import Reference, parse_reference

FORMAT = "airgap-bundle/1.0"
ROLES = ("builder", "emulator", "registry", "buildx", "frontend", "generator", "base")
CONTENTS_NAME = "bundle.json"
TOOL_NAME = "tool/airgap.pyz"
README_NAME = "README.txt"

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_FILE = re.compile(r"images\.tar(?:\.[0-9]{3})?|tool/airgap\.pyz|README\.txt")
_HEX = re.compile(r"[0-9a-f]{64}")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_KNOWN_FEATURES: tuple[str, ...] = ()
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image that is carried.

    Attributes:
        name: Fully qualified reference, as it was asked for.
        digest: Of its index or manifest.
        media_type: Of its index or manifest.
        platforms: Those carried.
        omitted: Those that the index has and the bundle has not.
        roles: What it is for; see `ROLES`.
        referrers: Digests of carried referrers.
    """

    name: str
    digest: str
    media_type: str
    platforms: tuple[str, ...]
    omitted: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    referrers: tuple[str, ...] = ()

    @property
    def reference(self) -> Reference:
        """The name, parsed."""
        return parse_reference(self.name)


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """A blob and where its bytes begin in the joined tar. Size and offset are bytes."""

    digest: str
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the bundle other than `bundle.json`, `SHA256SUMS` and signatures."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything there is to know about a bundle.

    Attributes:
        name: The bundle's own name; with `serial` it is its identity.
        serial: Rises with each bundle of that name.
        created: UTC, RFC 3339, whole seconds.
        expires: The same form, or empty for never.
        tool: Version of airgap that made it.
        host_platforms: Which hosts the roles serve.
        images: In the order asked for.
        blobs: In the order in which they lie in the tar.
        files: In the order of `SHA256SUMS`.
    """

    name: str
    serial: int
    created: str
    expires: str
    tool: str
    host_platforms: tuple[str, ...]
    images: tuple[ImageEntry, ...]
    blobs: tuple[BlobEntry, ...]
    files: tuple[FileEntry, ...] = ()
    format: str = FORMAT
    critical: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    recordings: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """`NAME-SERIAL`, also its folder's name on the host."""
        return f"{self.name}-{self.serial}"

    @property
    def created_seconds(self) -> int:
        """`created` in Unix seconds."""
        return int(parse_time(self.created).timestamp())

    @property
    def volumes(self) -> tuple[FileEntry, ...]:
        """The files that joined are the tar."""
        return tuple(file for file in self.files if file.name.startswith("images.tar"))

    def numbered(self, file: FileEntry) -> str:
        """A file's name, and which of how many volumes it is."""
        volumes = self.volumes
        if len(volumes) == 1 or file not in volumes:
            return file.name
        return f"{file.name} (volume {volumes.index(file) + 1} of {len(volumes)})"

    def with_files(self, files: Iterable[FileEntry]) -> Contents:
        """The same contents with its list of files."""
        return replace(self, files=tuple(files))

    def image_for(self, role: str) -> ImageEntry | None:
        """The image that has `role`, if one has."""
        return next((image for image in self.images if role in image.roles), None)

    def to_bytes(self) -> bytes:
        """The canonical bytes of `bundle.json`."""
        return canonical(asdict(self))


def canonical(document: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """The one serialisation of a JSON value that this format allows."""
    text = json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode() + b"\n"


def parse_time(text: str) -> datetime:
    """Reads `2026-01-31T12:00:00Z`.

    Raises:
        ValueError: Any other form.
    """
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def format_time(moment: datetime) -> str:
    """Writes a moment in the form that `parse_time` reads."""
    return moment.astimezone(UTC).strftime(_TIME)


def is_bundle_name(text: str) -> bool:
    """Whether `text` may name a bundle: it becomes part of file names on the host."""
    return _NAME.fullmatch(text) is not None


def parse_contents(body: bytes) -> Contents:
    """Reads `bundle.json`.

    Raises:
        IntegrityError: The bytes break a rule of the format; the message names it.
    """
    document = load_json(body, CONTENTS_NAME, LIMITS.contents_bytes)
    _check_format(document)
    if _reserialised(document) != body:
        raise broken("it is not in canonical form (sorted keys, no spaces, no duplicates)")
    contents = _Reader(document, "bundle.json").contents()
    _check_blobs(contents)
    _check_images(contents)
    _check_files(contents)
    return contents


def broken(why: str) -> IntegrityError:
    """The error for contents that break a rule."""
    return IntegrityError(
        f"bundle.json breaks a rule of the format: {why}",
        meaning="The bundle was not made by airgap, or was changed. Nothing of it was used.",
        remedy="ask for a new copy from where the bundle was made",
    )


def _check_format(document: dict[str, Any]) -> None:
    stated = document.get("format")
    if not isinstance(stated, str) or not re.fullmatch(r"airgap-bundle/1\.[0-9]{1,4}", stated):
        raise broken(f"its format is {repr(stated)[:80]}, and this airgap reads {FORMAT}")
    critical = document.get("critical")
    features = critical if isinstance(critical, list) else [critical]
    unknown = [str(feature)[:80] for feature in features if feature not in _KNOWN_FEATURES]
    if unknown:
        raise broken(f"it needs features that this airgap lacks: {unknown[:10]}")


def _reserialised(document: dict[str, Any]) -> bytes | None:
    try:
        return canonical(document)
    except (ValueError, RecursionError):
        return None


def _check_blobs(contents: Contents) -> None:
    """Blobs are distinct and lie one after another, on block boundaries, inside the tar."""
    seen: set[str] = set()
    end, total = 0, sum(volume.size for volume in contents.volumes)
    for blob in contents.blobs:
        if blob.digest in seen:
            raise broken(f"{blob.digest} is listed twice")
        seen.add(blob.digest)
        if blob.offset % 512:
            raise broken(f"{blob.digest} does not lie on a block boundary")
        if blob.offset < end:
            raise broken(f"{blob.digest} overlaps what lies before it")
        end = blob.offset + blob.size
        if end > total:
            raise broken(f"{blob.digest} lies outside the tar")


def _check_images(contents: Contents) -> None:
    digests = {blob.digest for blob in contents.blobs}
    names: set[str] = set()
    roles = [role for image in contents.images for role in image.roles if role != "base"]
    if len(set(roles)) != len(roles):
        raise broken(f"two images have one role, of {', '.join(sorted(set(roles)))}")
    for image in contents.images:
        if image.name in names:
            raise broken(f"the image {image.name} is listed twice")
        names.add(image.name)
        if image.reference.digest not in ("", image.digest):
            raise broken(f"{image.name} is said to be {image.digest}")
        missing = {image.digest, *image.referrers} - digests
        if missing:
            raise broken(f"{image.name} is not among the blobs ({sorted(missing)[0]})")


def _check_files(contents: Contents) -> None:
    names = [file.name for file in contents.files]
    if len(set(names)) != len(names):
        raise broken("a file is listed twice")
    volumes = [volume.name for volume in contents.volumes]
    numbered = [f"images.tar.{number:03}" for number in range(len(volumes))]
    if volumes not in (["images.tar"], numbered) or not volumes:
        raise broken(f"its volumes are {volumes}")
    if TOOL_NAME not in names or README_NAME not in names:
        raise broken(f"{TOOL_NAME} or {README_NAME} is not listed")


class _Reader:
    """Takes typed fields out of one JSON object; any other shape is an error."""

    def __init__(self, document: object, where: str) -> None:
        if not isinstance(document, dict):
            raise broken(f"{where} is not an object")
        self._fields: dict[str, Any] = dict(document)
        self._where = where

    def contents(self) -> Contents:
        result = Contents(
            format=self._text("format"),
            critical=self._texts("critical"),
            name=self._matching("name", is_bundle_name),
            serial=self._number("serial", 2**53),
            created=self._matching("created", is_time),
            expires=self._matching("expires", lambda text: not text or is_time(text)),
            tool=self._text("tool"),
            host_platforms=self._texts("host_platforms", is_platform),
            images=self._objects("images", LIMITS.images, _Reader.image),
            blobs=self._objects("blobs", LIMITS.blobs, _Reader.blob),
            files=self._objects("files", LIMITS.volumes + 2, _Reader.file),
            requires=self._texts("requires"),
            recordings=self._texts("recordings"),
        )
        if result.requires or result.recordings:
            raise broken("it has deltas or recordings, which this airgap cannot read")
        return self._all_read(result)

    def image(self) -> ImageEntry:
        return self._all_read(
            ImageEntry(
                name=self._matching("name", is_qualified),
                digest=self._matching("digest", is_digest),
                media_type=self._matching(
                    "media_type", lambda text: text in INDEX_TYPES + MANIFEST_TYPES
                ),
                platforms=self._texts("platforms", is_platform),
                omitted=self._texts("omitted", is_platform),
                roles=self._texts("roles", ROLES.__contains__),
                referrers=self._texts("referrers", is_digest),
            )
        )

    def blob(self) -> BlobEntry:
        return self._all_read(
            BlobEntry(
                digest=self._matching("digest", is_digest),
                size=self._number("size", LIMITS.blob_bytes),
                offset=self._number("offset", LIMITS.archive_bytes),
            )
        )

    def file(self) -> FileEntry:
        return self._all_read(
            FileEntry(
                name=self._matching("name", lambda text: _FILE.fullmatch(text) is not None),
                size=self._number("size", LIMITS.archive_bytes),
                sha256=self._matching("sha256", lambda text: _HEX.fullmatch(text) is not None),
            )
        )

    def _take(self, key: str) -> object:
        if key not in self._fields:
            raise broken(f"{self._where} has no {key!r}")
        return self._fields.pop(key)

    def _all_read(self, result: _T) -> _T:
        if self._fields:
            raise broken(f"{self._where} has the unknown key {sorted(self._fields)[0][:80]!r}")
        return result

    def _text(self, key: str) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not value.isprintable():
            raise broken(f"{self._where}.{key} is not printable text")
        return value

    def _matching(self, key: str, accept: Callable[[str], bool]) -> str:
        value = self._text(key)
        if not accept(value):
            raise broken(f"{self._where}.{key} cannot be {value[:80]!r}")
        return value

    def _number(self, key: str, most: int) -> int:
        value = self._take(key)
        if type(value) is not int or not 0 <= value <= most:
            raise broken(f"{self._where}.{key} is not a whole number from 0 to {most}")
        return value

    def _list(self, key: str, most: int) -> list[object]:
        value = self._take(key)
        if not isinstance(value, list) or len(value) > most:
            raise broken(f"{self._where}.{key} is not a list of at most {most} entries")
        return value

    def _texts(self, key: str, accept: Callable[[str], bool] = str.isprintable) -> tuple[str, ...]:
        values = self._list(key, LIMITS.manifest_entries)
        texts = tuple(value for value in values if isinstance(value, str))
        if len(texts) != len(values):
            raise broken(f"{self._where}.{key} is not a list of text")
        for text in texts:
            if not accept(text):
                raise broken(f"{self._where}.{key} cannot hold {text[:80]!r}")
        return texts

    def _objects(self, key: str, most: int, read: Callable[[_Reader], _T]) -> tuple[_T, ...]:
        entries = self._list(key, most)
        return tuple(
            read(_Reader(entry, f"{self._where}.{key}[{number}]"))
            for number, entry in enumerate(entries)
        )


def is_time(text: str) -> bool:
    """Whether it is a moment in the one form, and not before 1970: tar headers hold it."""
    try:
        moment = parse_time(text)
    except ValueError:
        return False
    return format_time(moment) == text and moment.timestamp() >= 0


def is_platform(text: str) -> bool:
    """Whether the platform is exactly what its own parsing gives back."""
    try:
        return str(parse_platform(text)) == text
    except AirgapError:
        return False


def is_qualified(text: str) -> bool:
    """Whether the name is exactly what its own parsing gives back."""
    try:
        return str(parse_reference(text)) == text
    except AirgapError:
        return False
