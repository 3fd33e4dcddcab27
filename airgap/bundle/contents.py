"""`bundle.json`, the contents of a bundle: read strictly, written canonically (format 1).

Canonical means: sorted keys, no spaces, UTF-8, a final newline. A reader refuses any other
bytes, so that two readers can never understand one signed file differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from airgap.canonical import canonical, is_time, parse_time
from airgap.errors import AirgapError, IntegrityError
from airgap.limits import LIMITS
from airgap.oci.digest import is_digest
from airgap.oci.manifest import INDEX_TYPES, MANIFEST_TYPES, load_json
from airgap.oci.platform import Platform, parse_platform, preference
from airgap.oci.reference import Reference, parse_reference
from airgap.schema import Reader, fits

FORMAT = "airgap-bundle/1.0"
ROLES = ("builder", "emulator", "registry", "buildx", "frontend", "generator", "base")
CONTENTS_NAME = "bundle.json"
TOOL_NAME = "tool/airgap.pyz"
README_NAME = "README.txt"
IMAGES_TAR = "images.tar"
REPLAY_TAR = "replay.tar"

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_FILE = re.compile(r"(?:images|replay)\.tar(?:\.[0-9]{3})?|tool/airgap\.pyz|README\.txt")
_HEX = re.compile(r"[0-9a-f]{64}")
# What a reader must know or refuse the bundle.
_RECORDINGS = "recordings"
_KNOWN_FEATURES = (_RECORDINGS,)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image that is carried.

    Attributes:
        name: Fully qualified reference, as it was asked for.
        digest: Of its index or manifest.
        media_type: Of its index or manifest.
        platforms: Those carried; none for an image without an index that states none.
        omitted: Those that its indexes state and the bundle does not have.
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

    def serves(self, platform: Platform) -> bool:
        """Return whether an engine that wants a platform takes what is carried.

        An engine asks for the best that the index names, even if that was left out. An image
        without an index that states no platform is good for every one.
        """
        if not self.platforms:
            return self.media_type in MANIFEST_TYPES
        return bool(self.chosen_for(platform))

    def chosen_for(self, platform: Platform) -> str:
        """Return the included platform that an engine uses; empty if there is none."""
        ranks = {
            text: rank
            for text in (*self.omitted, *self.platforms)
            if (rank := preference(platform, parse_platform(text))) is not None
        }
        chosen = min(ranks, key=ranks.__getitem__, default="")
        return chosen if chosen in self.platforms else ""

    @property
    def made_for(self) -> str:
        """The platforms that are carried, for people."""
        if self.platforms or self.media_type not in MANIFEST_TYPES:
            return ", ".join(self.platforms) or "no platform"
        return "any platform"


@dataclass(frozen=True, slots=True)
class RecordingEntry:
    """What a recorded build asked the network for, so that it can be built without one.

    Attributes:
        name: Its own name.
        digest: Of its map, which says what was answered to each request.
        dockerfile: Digest of the Dockerfile as it was recorded; empty where none was, as for what
            a request asked for.
        platforms: Those it was built for.
        until: When apt begins to refuse its release files, if it checks their dates; empty for
            never.
    """

    name: str
    digest: str
    dockerfile: str
    platforms: tuple[str, ...]
    until: str = ""


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """A blob and where its bytes begin in its joined tar. Size and offset are bytes."""

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
        blobs: Of the images, in the order in which they lie in `images.tar`.
        files: In the order of `SHA256SUMS`.
        critical: What a reader must know or refuse the bundle.
        recordings: Of builds.
        replay: The recordings' maps and all that they name, in the order in which they lie in
            `replay.tar`.
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
    recordings: tuple[RecordingEntry, ...] = ()
    replay: tuple[BlobEntry, ...] = ()

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
        """The files that joined are `images.tar`."""
        return tuple(file for file in self.files if file.name.startswith(IMAGES_TAR))

    @property
    def replay_volumes(self) -> tuple[FileEntry, ...]:
        """The files that joined are `replay.tar`; none where there are no recordings."""
        return tuple(file for file in self.files if file.name.startswith(REPLAY_TAR))

    def numbered(self, file: FileEntry) -> str:
        """Return a file's name, and which of how many volumes of its tar it is."""
        for volumes in (self.volumes, self.replay_volumes):
            if file in volumes and len(volumes) > 1:
                return f"{file.name} (volume {volumes.index(file) + 1} of {len(volumes)})"
        return file.name

    def with_files(self, files: Iterable[FileEntry]) -> Contents:
        """Return the same contents with its list of files."""
        return replace(self, files=tuple(files))

    def with_recordings(
        self, recordings: Iterable[RecordingEntry], replay: Iterable[BlobEntry]
    ) -> Contents:
        """Return the same contents with recordings; without any they stay as they are."""
        entries = tuple(recordings)
        critical = (_RECORDINGS,) if entries else ()
        return replace(self, recordings=entries, replay=tuple(replay), critical=critical)

    def to_bytes(self) -> bytes:
        """Return the canonical bytes of `bundle.json`."""
        return canonical(asdict(self))


def is_bundle_name(text: str) -> bool:
    """Return whether `text` may name a bundle: it becomes part of file names on the host."""
    return _NAME.fullmatch(text) is not None


def parse_contents(body: bytes) -> Contents:
    """Read `bundle.json`.

    Raises:
        IntegrityError: The bytes break a rule of the format; the message names it.
    """
    document = load_json(body, CONTENTS_NAME, LIMITS.contents_bytes)
    _check_format(document)
    if _reserialised(document) != body:
        raise broken("it is not in canonical form (sorted keys, no spaces, no duplicates)")
    contents = _read_contents(Reader(document, broken, "bundle.json."))
    _check_blobs(contents.blobs, contents.volumes)
    _check_blocks(contents.blobs)
    _check_images(contents)
    _check_recordings(contents)
    _check_blobs(contents.replay, contents.replay_volumes)
    _check_files(contents)
    return contents


def broken(why: str) -> IntegrityError:
    """Return the error for contents that break a rule."""
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


def _check_blobs(blobs: Iterable[BlobEntry], volumes: Iterable[FileEntry]) -> None:
    """Check that blobs are distinct, and at the offsets of the framing."""
    seen: set[str] = set()
    end, total = 0, sum(volume.size for volume in volumes)
    for blob in blobs:
        if blob.digest in seen:
            raise broken(f"{blob.digest} is listed twice")
        seen.add(blob.digest)
        if blob.offset < end:
            raise broken(f"{blob.digest} overlaps what lies before it")
        end = blob.offset + blob.size
        if end > total:
            raise broken(f"{blob.digest} lies outside the tar")


def _check_blocks(blobs: Iterable[BlobEntry]) -> None:
    """Check that each blob is a file of its tar."""
    for blob in blobs:
        if blob.offset % 512:
            raise broken(f"{blob.digest} does not lie on a block boundary")


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


def _check_recordings(contents: Contents) -> None:
    """Recordings, what they need, its tar and the word that they are there belong together."""
    expected = (_RECORDINGS,) if contents.recordings else ()
    if contents.critical != expected:
        raise broken(f"critical is {list(contents.critical)} and should be {list(expected)}")
    parts = (contents.recordings, contents.replay, contents.replay_volumes)
    if any(parts) and not all(parts):
        raise broken("of recordings, replay and replay.tar some are there and some are not")
    digests = {blob.digest for blob in contents.replay}
    names: set[str] = set()
    for recording in contents.recordings:
        if recording.name in names:
            raise broken(f"the recording {recording.name} is listed twice")
        names.add(recording.name)
        if recording.digest not in digests:
            raise broken(f"the map of {recording.name} is not in replay ({recording.digest})")


def _check_files(contents: Contents) -> None:
    names = [file.name for file in contents.files]
    if len(set(names)) != len(names):
        raise broken("a file is listed twice")
    _check_volumes(IMAGES_TAR, contents.volumes)
    if contents.recordings:
        _check_volumes(REPLAY_TAR, contents.replay_volumes)
    if TOOL_NAME not in names or README_NAME not in names:
        raise broken(f"{TOOL_NAME} or {README_NAME} is not listed")


def _check_volumes(tar: str, volumes: Sequence[FileEntry]) -> None:
    """They are one file of the tar's name, or numbered from nothing in their order."""
    names = [volume.name for volume in volumes]
    numbered = [f"{tar}.{number:03}" for number in range(len(names))]
    if names not in ([tar], numbered) or not names:
        raise broken(f"the volumes of {tar} are {names}")


def _read_contents(reader: Reader) -> Contents:
    contents = Contents(
        format=reader.text("format"),
        critical=reader.texts("critical", LIMITS.manifest_entries),
        name=reader.text("name", is_bundle_name),
        serial=reader.number("serial", 2**53),
        created=reader.text("created", is_time),
        expires=reader.text("expires", _is_time_or_empty),
        tool=reader.text("tool"),
        host_platforms=_read_platforms(reader, "host_platforms"),
        images=tuple(map(_read_image, reader.tables("images", LIMITS.images))),
        blobs=tuple(map(_read_blob, reader.tables("blobs", LIMITS.blobs))),
        files=tuple(map(_read_file, reader.tables("files", 2 * LIMITS.volumes + 2))),
        requires=reader.texts("requires", LIMITS.manifest_entries),
        recordings=tuple(map(_read_recording, reader.tables("recordings", LIMITS.recordings))),
        replay=tuple(map(_read_blob, reader.tables("replay", LIMITS.blobs))),
    )
    reader.finish()
    if contents.requires:
        raise broken("it has deltas, which this airgap cannot read")
    return contents


def _read_image(reader: Reader) -> ImageEntry:
    entry = ImageEntry(
        name=reader.text("name", is_qualified),
        digest=reader.text("digest", is_digest),
        media_type=reader.text("media_type", (INDEX_TYPES + MANIFEST_TYPES).__contains__),
        platforms=_read_platforms(reader, "platforms"),
        omitted=_read_platforms(reader, "omitted"),
        roles=reader.texts("roles", LIMITS.manifest_entries, ROLES.__contains__),
        referrers=reader.texts("referrers", LIMITS.manifest_entries, is_digest),
    )
    reader.finish()
    return entry


def _read_recording(reader: Reader) -> RecordingEntry:
    entry = RecordingEntry(
        name=reader.text("name", is_bundle_name),
        digest=reader.text("digest", is_digest),
        dockerfile=reader.text("dockerfile", lambda text: not text or is_digest(text)),
        platforms=_read_platforms(reader, "platforms"),
        until=reader.text("until", _is_time_or_empty),
    )
    reader.finish()
    return entry


def _read_blob(reader: Reader) -> BlobEntry:
    entry = BlobEntry(
        digest=reader.text("digest", is_digest),
        size=reader.number("size", LIMITS.blob_bytes),
        offset=reader.number("offset", LIMITS.archive_bytes),
    )
    reader.finish()
    return entry


def _read_file(reader: Reader) -> FileEntry:
    entry = FileEntry(
        name=reader.text("name", fits(_FILE)),
        size=reader.number("size", LIMITS.archive_bytes),
        sha256=reader.text("sha256", fits(_HEX)),
    )
    reader.finish()
    return entry


def _read_platforms(reader: Reader, key: str) -> tuple[str, ...]:
    return reader.texts(key, LIMITS.manifest_entries, is_platform)


def _is_time_or_empty(text: str) -> bool:
    return not text or is_time(text)


def is_platform(text: str) -> bool:
    """Return whether the platform is exactly what its own parsing gives back."""
    try:
        return str(parse_platform(text)) == text
    except AirgapError:
        return False


def is_qualified(text: str) -> bool:
    """Return whether the name is exactly what its own parsing gives back."""
    try:
        return str(parse_reference(text)) == text
    except AirgapError:
        return False
