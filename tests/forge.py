"""Bundles for tests: tiny but complete ones, and ones that a trusted signer has forged.

    key = new_key()
    make_bundle(folder, key)                                  a valid, signed bundle
    make_bundle(folder, key, images=[single("ghcr.io/a/b:1")], serial=7, volume_bytes=4096)
    make_bundle(folder, key, recordings=[recorded("app", {"https://x.example/y": b"z"})])
    forge(folder, key, change=lambda document: document.update(serial=-1))
    forge(folder, key, tar=lambda data: data + b"garbage")

Everything is made with the project's own pieces and without any network. The images are real
ones: registries serve them and Docker loads them, though nothing in them runs.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from airgap.bundle import framing, readme
from airgap.bundle.checksums import CHECKSUMS_NAME, SIGNATURE_NAME, checksums
from airgap.bundle.contents import (
    CONTENTS_NAME,
    IMAGES_TAR,
    README_NAME,
    REPLAY_TAR,
    TOOL_NAME,
    BlobEntry,
    Contents,
    FileEntry,
    ImageEntry,
    RecordingEntry,
)
from airgap.bundle.framing import SMALL_BYTES
from airgap.canonical import canonical, parse_time
from airgap.oci.digest import digest_of
from airgap.oci.manifest import OCI_INDEX, OCI_MANIFEST, Index, Manifest, parse
from airgap.trust.keys import PrivateKey, generate

Document = dict[str, Any]

CREATED = "2026-01-02T03:04:05Z"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
ANSWERS = {
    "https://x.example/index": b"",
    "https://x.example/one.tar": b"one" * 900,
    "https://y.example/two?v=1": b"two",
}
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Image:
    """An image and all of its bytes.

    Attributes:
        entry: What the contents say of it.
        bodies: Digest to bytes of its index and manifests.
        documents: The same, parsed: what the tar's framing follows from.
        blobs: Digest to bytes of configs and layers.
    """

    entry: ImageEntry
    bodies: Mapping[str, bytes]
    documents: Mapping[str, Manifest | Index]
    blobs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """A recording and all of its bytes.

    Attributes:
        entry: What the contents say of it.
        blobs: Digest to bytes of its map and of what the map names.
    """

    entry: RecordingEntry
    blobs: Mapping[str, bytes]


def new_key(name: str = "site", algorithm: str = "ecdsa-p256") -> PrivateKey:
    """A fresh key."""
    return generate(name, algorithm)


def layer(text: str, size: int = 0) -> tuple[bytes, bytes]:
    """A layer with one file, and its tar before compression; `size` adds that many bytes."""
    data = text.encode() + hashlib.shake_256(text.encode()).digest(size)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("hello.txt")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return gzip.compress(stream.getvalue(), mtime=0), stream.getvalue()


def manifest(
    platform: str = "linux/amd64", texts: Sequence[str] = ("hello",), size: int = 0
) -> tuple[bytes, dict[str, bytes]]:
    """A manifest for one platform with a layer for each text, and its blobs."""
    layers = [layer(f"{text} on {platform}\n", size) for text in texts]
    diff_ids = [digest_of(raw) for _, raw in layers]
    config = canonical({**_platform(platform), "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    blobs = {digest_of(data): data for data in (config, *(packed for packed, _ in layers))}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(CONFIG_TYPE, config),
        "layers": [descriptor(LAYER_TYPE, packed) for packed, _ in layers],
    }
    return canonical(document), blobs


def descriptor(media_type: str, data: bytes, **more: object) -> Document:
    """A descriptor of `data`; `more` are further fields."""
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


def single(
    name: str,
    platform: str = "linux/amd64",
    *,
    texts: Sequence[str] = ("hello",),
    size: int = 0,
    roles: Sequence[str] = ("base",),
) -> Image:
    """An image that is one manifest, without an index."""
    body, blobs = manifest(platform, texts, size)
    return image_of(name, OCI_MANIFEST, body, {}, blobs, platforms=[platform], roles=roles)


def indexed(
    name: str,
    platforms: Sequence[str] = ("linux/amd64", "linux/arm64"),
    *,
    omitted: Sequence[str] = (),
    texts: Sequence[str] = ("hello",),
    size: int = 0,
    roles: Sequence[str] = ("base",),
) -> Image:
    """An image with an index, of which the platforms in `omitted` are not carried."""
    bodies: dict[str, bytes] = {}
    blobs: dict[str, bytes] = {}
    entries = []
    for platform in (*platforms, *omitted):
        body, parts = manifest(platform, texts, size)
        entries.append(descriptor(OCI_MANIFEST, body, platform=_platform(platform)))
        if platform in platforms:
            bodies[digest_of(body)] = body
            blobs |= parts
    return index_of(name, entries, bodies, blobs, platforms=platforms, omitted=omitted, roles=roles)


def index_of(
    name: str,
    entries: Sequence[Document],
    bodies: Mapping[str, bytes],
    blobs: Mapping[str, bytes],
    **fields: Sequence[str],
) -> Image:
    """An image with an index of them entries; see `image_of`."""
    top = canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)})
    return image_of(name, OCI_INDEX, top, bodies, blobs, **fields)


def image_of(
    name: str,
    media_type: str,
    top: bytes,
    bodies: Mapping[str, bytes],
    blobs: Mapping[str, bytes],
    **fields: Sequence[str],
) -> Image:
    """An image from its parts, whether they fit each other or not.

    Args:
        name: Fully qualified.
        media_type: Of `top`.
        top: Its index or manifest.
        bodies: Digest to bytes of an index's children.
        blobs: Digest to bytes of configs and layers.
        fields: `platforms`, `omitted`, `roles`, `referrers` of its entry in the contents.
    """
    digest = digest_of(top)
    entry = ImageEntry(
        name,
        digest,
        media_type,
        tuple(fields.get("platforms", ())),
        tuple(fields.get("omitted", ())),
        tuple(fields.get("roles", ())),
        tuple(fields.get("referrers", ())),
    )
    documents = {digest: parse(top, media_type, name)}
    for child, body in bodies.items():
        documents[child] = parse(body, json.loads(body)["mediaType"], name)
    return Image(entry, {digest: top, **bodies}, documents, blobs)


def response(url: str, body: bytes, **fields: object) -> Document:
    """What the map of a recording says of one request; `fields` replace what follows from it."""
    key = hashlib.sha256(canonical([url, "", ""])).hexdigest()
    headers = [["Content-Type", "text/plain"]]
    said = {"key": key, "url": url, "status": 200, "headers": headers}
    return {**said, "digest": digest_of(body), "size": len(body), **fields}


def recorded(
    name: str = "app", answers: Mapping[str, bytes] | None = None, **fields: object
) -> Recorded:
    """A recording of what was answered to each URL; `fields` are further ones of its entry."""
    answers = ANSWERS if answers is None else answers
    responses = [response(url, body) for url, body in answers.items()]
    return recorded_map(name, responses, answers.values(), **fields)


def recorded_map(
    name: str, responses: Sequence[Document], bodies: Iterable[bytes], **fields: object
) -> Recorded:
    """A recording with a map of them responses, whether they fit its other blobs or not."""
    ordered = sorted(responses, key=lambda response: str(response["key"]))
    return recorded_body(name, canonical({"responses": ordered}), bodies, **fields)


def recorded_body(
    name: str, body: bytes, bodies: Iterable[bytes] = (), **fields: object
) -> Recorded:
    """A recording whose map is `body`, whatever that is."""
    said = {"dockerfile": digest_of(b"FROM scratch\n"), "platforms": ("linux/amd64",), **fields}
    entry = RecordingEntry(name, digest_of(body), **said)  # type: ignore[arg-type]
    return Recorded(entry, {digest_of(data): data for data in (body, *bodies)})


@cache
def small_images() -> tuple[Image, ...]:
    """What a bundle holds where a test does not care."""
    alpine = indexed("docker.io/library/alpine:3.20", omitted=["linux/s390x"], texts=["one", "two"])
    return alpine, single("ghcr.io/org/app:1.0", texts=["app"], size=3000)


def make_bundle(  # noqa: PLR0913 - all but the first two have defaults
    folder: Path,
    key: PrivateKey,
    *,
    images: Sequence[Image] | None = None,
    recordings: Sequence[Recorded] = (),
    name: str = "small",
    serial: int = 1,
    created: str = CREATED,
    expires: str = "",
    host_platforms: Sequence[str] = ("linux/amd64",),
    tool: bytes = b"not a program\n",
    version: str = "0",
    volume_bytes: int = 0,
    tag_pins: bool = False,
) -> Contents:
    """Writes a bundle and signs it.

    Args:
        folder: Where to; made if it is not there.
        key: Signs.
        images: What it holds; `small_images()` if None.
        recordings: What it holds of them.
        name: The bundle's.
        serial: The bundle's.
        created: The bundle's.
        expires: The bundle's; empty for never.
        host_platforms: The bundle's.
        tool: The bytes of `tool/airgap.pyz`.
        version: That program's.
        volume_bytes: The size of volumes that each tar is cut into; 0 for one file.
        tag_pins: As for `framing.head`.
    """
    images = small_images() if images is None else images
    blobs = {digest: data for image in images for digest, data in image.bodies.items()}
    for image in images:
        blobs |= image.blobs
    entries = tuple(image.entry for image in images)
    documents = {digest: found for image in images for digest, found in image.documents.items()}
    sizes = {digest: len(data) for digest, data in blobs.items()}
    mtime = int(parse_time(created).timestamp())
    head = framing.head(entries, documents, sizes, host_platforms, mtime, tag_pins=tag_pins)
    places = framing.place_blobs(len(head), sizes.items())
    contents = Contents(
        name, serial, created, expires, version, tuple(host_platforms), entries, places
    )
    files = _cut(IMAGES_TAR, _tar(head, places, blobs, mtime), volume_bytes)
    if recordings:
        kept = _replay_blobs(recordings)
        lengths = [(digest, len(data)) for digest, data in kept.items()]
        replay = framing.place_blobs(0, lengths, SMALL_BYTES)
        contents = contents.with_recordings([one.entry for one in recordings], replay)
        files |= _cut(REPLAY_TAR, _tar(b"", replay, kept, mtime), volume_bytes)
    files[TOOL_NAME] = tool
    contents = contents.with_files(_entry(file, data) for file, data in files.items())
    files[README_NAME] = readme.render(contents, key.public).encode()
    contents = contents.with_files(_entry(file, data) for file, data in files.items())
    for file, data in files.items():
        _write(folder / file, data)
    _write(folder / CONTENTS_NAME, contents.to_bytes())
    sign(folder, key, checksums(contents))
    return contents


def forge(  # noqa: PLR0913 - all but the first two have defaults
    folder: Path,
    key: PrivateKey,
    *,
    change: Callable[[Document], object] | None = None,
    tar: Callable[[bytes], bytes] | None = None,
    replay: Callable[[bytes], bytes] | None = None,
    body: Callable[[bytes], bytes] | None = None,
    sums: Callable[[bytes], bytes] | None = None,
    follow: bool = True,
) -> None:
    """Changes a bundle as only its signer could, and signs it again.

    Args:
        folder: A bundle from `make_bundle`.
        key: Signs.
        change: Changes `bundle.json` as a dict, in place, after all that follows from the tars.
        tar: Gives the new bytes of `images.tar`; the last volume takes what is longer.
        replay: Gives the new bytes of `replay.tar`, likewise.
        body: Gives the new bytes of `bundle.json`, after `change`.
        sums: Gives the new bytes of `SHA256SUMS`, after they were derived from the rest.
        follow: Whether the sizes and checksums in `bundle.json` follow a changed tar.
    """
    document: Document = json.loads((folder / CONTENTS_NAME).read_bytes())
    for name, new_bytes in ((IMAGES_TAR, tar), (REPLAY_TAR, replay)):
        if new_bytes is not None:
            _forge_tar(folder, document, name, new_bytes, follow=follow)
    if change is not None:
        change(document)
    data = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    new_body = data.encode(errors="surrogatepass") + b"\n"
    if body is not None:
        new_body = body(new_body)
    _write(folder / CONTENTS_NAME, new_body)
    new_sums = _sums(document, new_body)
    sign(folder, key, sums(new_sums) if sums else new_sums)


def sign(folder: Path, key: PrivateKey, sums: bytes) -> None:
    """Writes `SHA256SUMS` and its signature."""
    _write(folder / SIGNATURE_NAME, key.sign(sums))
    _write(folder / CHECKSUMS_NAME, sums)


def joined(folder: Path, tar: str = IMAGES_TAR) -> bytes:
    """The bytes of a tar."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob(f"{tar}*")))


def _replay_blobs(recordings: Sequence[Recorded]) -> dict[str, bytes]:
    """All blobs of recordings: their maps, those that are small, the others; each by digest."""
    blobs = {digest: data for one in recordings for digest, data in one.blobs.items()}
    maps = [one.entry.digest for one in recordings]
    others = sorted(blobs, key=lambda one: (len(blobs[one]) >= SMALL_BYTES, one))
    return {digest: blobs[digest] for digest in (*maps, *others)}


def _tar(head: bytes, places: Sequence[BlobEntry], blobs: Mapping[str, bytes], mtime: int) -> bytes:
    tar = bytearray(framing.end_of(len(head), places) + framing.END_BYTES)
    for piece in framing.pieces(head, places, mtime):
        tar[piece.offset : piece.offset + len(piece.data)] = piece.data
    for place in places:
        tar[place.offset : place.offset + place.size] = blobs[place.digest]
    return bytes(tar)


def _forge_tar(
    folder: Path, document: Document, tar: str, change: Callable[[bytes], bytes], *, follow: bool
) -> None:
    volumes = [file for file in document["files"] if file["name"].startswith(tar)]
    data = change(joined(folder, tar))
    for volume in volumes:
        part = data if volume is volumes[-1] else data[: volume["size"]]
        data = data[len(part) :]
        _write(folder / volume["name"], part)
        if follow:
            volume.update(size=len(part), sha256=hashlib.sha256(part).hexdigest())


def _sums(document: Document, body: bytes) -> bytes:
    """`SHA256SUMS` of contents that may be of any shape."""
    lines = [f"{hashlib.sha256(body).hexdigest()}  {CONTENTS_NAME}\n"]
    files = document.get("files")
    for file in files if isinstance(files, list) else ():
        if isinstance(file, dict):
            lines.append(f"{file.get('sha256')}  {file.get('name')}\n")
    return "".join(lines).encode(errors="surrogatepass")


def _cut(name: str, tar: bytes, size: int) -> dict[str, bytes]:
    if not size:
        return {name: tar}
    parts = [tar[start : start + size] for start in range(0, len(tar), size)]
    return {f"{name}.{number:03}": part for number, part in enumerate(parts)}


def _entry(name: str, data: bytes) -> FileEntry:
    return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())


def _platform(text: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
