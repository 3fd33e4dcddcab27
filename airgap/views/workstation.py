"""The views of what runs on the workstation, and of what runs on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image that a bundle will include.

    Attributes:
        name: Its fully qualified name.
        digest: Of its index or manifest.
        platforms: The platforms that are included.
        omitted: The platforms that its index names and the bundle leaves out.
        roles: What the host uses it for.
        bytes: The size of its manifests and blobs, in bytes; images may share blobs.
    """

    name: str
    digest: str
    platforms: Sequence[str]
    omitted: Sequence[str]
    roles: Sequence[str]
    bytes: int


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """The plan of a bundle: `airgap bundle --dry-run --json`.

    Attributes:
        name: The bundle's name.
        serial: Its serial: a later bundle has a larger one.
        images: The images.
        blobs: The number of manifests, configs and layers.
        fetch_bytes: The bytes to fetch.
        tar_bytes: The size of images.tar, in bytes.
        volumes: The files that joined are images.tar.
        notes: What a person should know of the images.
    """

    name: str
    serial: int
    images: Sequence[PlannedImage]
    blobs: int
    fetch_bytes: int
    tar_bytes: int
    volumes: Sequence[str]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A file of a bundle.

    Attributes:
        name: Its path below the folder.
        bytes: Its size.
        sha256: The hexadecimal SHA-256 of its bytes.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BundleResult:
    """A bundle that was made: `airgap bundle --json`.

    Attributes:
        folder: The folder that holds it.
        name: The bundle's name.
        serial: Its serial: a later bundle has a larger one.
        created: When it was made.
        expires: When hosts start to refuse it; empty for never.
        digest: The digest of its SHA256SUMS, as `airgap verify` and the log of a host show it.
        contents_digest: The digest of its contents, bundle.json.
        signer: The fingerprint of the key that signed it.
        images: The number of images.
        recordings: The number of recordings.
        files: Its files, but for SHA256SUMS and its signature.
        bytes: The size of all files, in bytes.
        seconds: How long the command took.
    """

    folder: str
    name: str
    serial: int
    created: str
    expires: str
    digest: str
    contents_digest: str
    signer: str
    images: int
    recordings: int
    files: Sequence[BundleFile]
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ImageChange:
    """What `airgap update` changed of an image.

    Attributes:
        name: Its fully qualified name.
        change: What happened to it.
        before: The digest in the old lock; empty if it had none.
        after: The digest in the new lock; empty if it has none.
        platforms_came: The platforms that only the new lock includes.
        platforms_went: The platforms that only the old lock included.
    """

    name: str
    change: str
    before: str
    after: str
    platforms_came: Sequence[str]
    platforms_went: Sequence[str]


@dataclass(frozen=True, slots=True)
class OtherChange:
    """Something else that `airgap update` changed.

    Attributes:
        what: What it is.
        before: Its old value.
        after: Its new value.
    """

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class LockUpdate:
    """What changed in a lock: `airgap update --json`.

    Attributes:
        lock: The path of the lock.
        changed: Whether anything changed.
        name: The bundle's name.
        serial: The serial of bundles of the lock.
        created: The time of bundles of the lock.
        expires: When hosts start to refuse them; empty for never.
        images: The images that changed.
        others: What else changed.
    """

    lock: str
    changed: bool
    name: str
    serial: int
    created: str
    expires: str
    images: Sequence[ImageChange]
    others: Sequence[OtherChange]


@dataclass(frozen=True, slots=True)
class NeededImage:
    """An image that a build needs.

    Attributes:
        name: Its fully qualified name.
        platforms: The platforms that it is needed for.
        file: The file that names it.
        line: The line of that file.
        by: The instruction that names it.
    """

    name: str
    platforms: Sequence[str]
    file: str
    line: int
    by: str


@dataclass(frozen=True, slots=True)
class NeededUrl:
    """A URL that an ADD instruction fetches.

    Attributes:
        url: The URL.
        file: The file that names it.
        line: The line of that file.
    """

    url: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Hint:
    """Advice on a line of a Dockerfile.

    Attributes:
        text: What was found.
        remedy: What to do.
        file: The file.
        line: The line of that file.
    """

    text: str
    remedy: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What builds need: `airgap scan --json`.

    Attributes:
        images: The images.
        urls: The URLs of ADD instructions.
        hints: Advice.
        runs: Whether RUN steps may download more.
    """

    images: Sequence[NeededImage]
    urls: Sequence[NeededUrl]
    hints: Sequence[Hint]
    runs: bool


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """A bundle that passed every check: `airgap verify --json`.

    Attributes:
        name: The bundle's name.
        serial: Its serial.
        digest: The digest of its SHA256SUMS.
        signers: The fingerprints of the trusted keys that signed it.
    """

    name: str
    serial: int
    digest: str
    signers: Sequence[str]


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A trusted key: `airgap trust list --json`.

    Attributes:
        name: Its name here.
        fingerprint: The SHA-256 of the key, as `airgap keygen` prints it.
    """

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ContentsImage:
    """An image in bundle.json.

    Attributes:
        name: Its fully qualified name, as it was requested.
        digest: Of its index or manifest.
        media_type: Of its index or manifest.
        platforms: The platforms that are included.
        omitted: The platforms that its index names and the bundle leaves out.
        roles: What the host uses it for.
        referrers: The digests of referrers that are included.
    """

    name: str
    digest: str
    media_type: str
    platforms: Sequence[str]
    omitted: Sequence[str]
    roles: Sequence[str]
    referrers: Sequence[str]


@dataclass(frozen=True, slots=True)
class ContentsBlob:
    """A blob in bundle.json.

    Attributes:
        digest: Its digest.
        size: Its size in bytes.
        offset: Where it begins in its tar, in bytes.
    """

    digest: str
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class ContentsFile:
    """A file in bundle.json.

    Attributes:
        name: Its path below the folder.
        size: Its size in bytes.
        sha256: The hexadecimal SHA-256 of its bytes.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ContentsRecording:
    """A recording in bundle.json.

    Attributes:
        name: Its name.
        digest: Of its map of URLs to responses.
        dockerfile: The digest of the recorded Dockerfile; empty for requested URLs.
        platforms: The platforms that it was recorded for.
        until: When apt starts to refuse its release files, if it checks dates; empty for never.
    """

    name: str
    digest: str
    dockerfile: str
    platforms: Sequence[str]
    until: str


@dataclass(frozen=True, slots=True)
class BundleContents:
    """The file bundle.json of a bundle: `airgap inspect --json`.

    Attributes:
        format: The version of the format.
        name: The bundle's name.
        serial: Its serial: a later bundle has a larger one.
        created: When it was made, in UTC.
        expires: When hosts start to refuse it; empty for never.
        tool: The version of airgap that made it.
        host_platforms: The hosts that it can be installed on.
        images: The images.
        blobs: The blobs of images.tar.
        files: The files of the bundle, but for bundle.json, SHA256SUMS and its signature.
        critical: Features that a reader must know.
        requires: Other bundles that this one needs; always empty in this version.
        recordings: The recordings.
        replay: The blobs of replay.tar.
    """

    format: str
    name: str
    serial: int
    created: str
    expires: str
    tool: str
    host_platforms: Sequence[str]
    images: Sequence[ContentsImage]
    blobs: Sequence[ContentsBlob]
    files: Sequence[ContentsFile]
    critical: Sequence[str]
    requires: Sequence[str]
    recordings: Sequence[ContentsRecording]
    replay: Sequence[ContentsBlob]
