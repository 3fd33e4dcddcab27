"""The framing of a bundle's tars: everything in them that is not a blob.

All of it follows from the contents and the manifests, so writer and reader compute the same
bytes and a reader refuses any difference. `images.tar` is an OCI image layout (OCI image spec
`image-layout.md`) with a `manifest.json` for classic `docker load`:

    oci-layout  index.json  manifest.json  blobs/sha256/HEX ...

`replay.tar` has no head: it is the blobs of recordings, `blobs/sha256/HEX ...`. Small ones that
follow one another lie side by side in one file, `small/0` and so on: a block for each and its
padding would take more than many an answer.

Headers are GNU ones: sizes over 8 GiB are base-256, which Docker, skopeo and GNU tar all read,
and every header is exactly one block. They are written here and not by `tarfile`, whose bytes
for the same file have changed with Python's versions.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from airgap.bundle.contents import BlobEntry, ImageEntry, broken
from airgap.canonical import canonical
from airgap.oci.digest import hex_of
from airgap.oci.image_tree import images_of
from airgap.oci.manifest import OCI_INDEX, Index, Manifest
from airgap.oci.platform import parse_platform

BLOCK = 512
END_BYTES = 2 * BLOCK
SMALL_BYTES = 64 << 10
"""Blobs of `replay.tar` that have less share a file."""

# name, mode, uid, gid, size, mtime, checksum, typeflag, linkname, magic; the rest stays empty.
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s247x")
# containerd and Docker read the first, skopeo and the OCI layout the second.
_CONTAINERD_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of framing and where in the tar they lie."""

    offset: int
    data: bytes


def padding(size: int) -> int:
    """Return how many zero bytes follow `size` bytes to fill the block."""
    return -size % BLOCK


def place_blobs(
    head_size: int, blobs: Iterable[tuple[str, int]], small_bytes: int = 0
) -> tuple[BlobEntry, ...]:
    """Give each blob its offset.

    Args:
        head_size: Bytes before the first blob's header: whole blocks.
        blobs: Digest and size of each, in order.
        small_bytes: Blobs that have less share files; 0 if none do.
    """
    placed, position, shared = [], head_size, False
    for digest, size in blobs:
        small = size < small_bytes
        if not (small and shared):
            position += padding(position) + BLOCK
        placed.append(BlobEntry(digest, size, position))
        position, shared = position + size, small
    return tuple(placed)


def end_of(head_size: int, blobs: Sequence[BlobEntry]) -> int:
    """Return where the tar's closing blocks begin."""
    if not blobs:
        return head_size
    end = blobs[-1].offset + blobs[-1].size
    return end + padding(end)


def head(
    images: Sequence[ImageEntry],
    documents: Mapping[str, Manifest | Index],
    sizes: Mapping[str, int],
    host_platforms: Sequence[str],
    mtime: int,
    *,
    tag_pins: bool = False,
) -> bytes:
    """Return the first three files of `images.tar`, with headers and padding.

    Args:
        images: What the tar holds.
        documents: Digest to manifest or index, of every one that is carried.
        sizes: Digest to size in bytes, of every image's own digest.
        host_platforms: Preferred for the single platform that `manifest.json` can name.
        mtime: Unix seconds for the headers.
        tag_pins: A name with a tag and a digest sets its tag, as in bundles of airgap 1.0.
    """
    files = {
        "oci-layout": canonical({"imageLayoutVersion": "1.0.0"}),
        "index.json": _index_json(images, sizes),
        "manifest.json": _manifest_json(images, documents, host_platforms, tag_pins=tag_pins),
    }
    out = io.BytesIO()
    for name, data in files.items():
        out.write(header(name, len(data), mtime) + data + bytes(padding(len(data))))
    return out.getvalue()


def pieces(head_bytes: bytes, blobs: Sequence[BlobEntry], mtime: int) -> Iterator[Piece]:
    """Return all framing of a tar, in order of offset: its head, headers and padding, its end.

    Nothing lies before a blob that shares a file and is not the first there.
    """
    yield Piece(0, head_bytes)
    previous, shared = len(head_bytes), count()
    for file in _files(blobs):
        start, end = file[0].offset, file[-1].offset + file[-1].size
        name = f"small/{next(shared)}" if file[1:] else blob_path(file[0].digest)
        yield Piece(previous, bytes(start - BLOCK - previous) + header(name, end - start, mtime))
        yield from (Piece(blob.offset, b"") for blob in file[1:])
        previous = end
    end = end_of(len(head_bytes), blobs)
    yield Piece(previous, bytes(end - previous + END_BYTES))


def _files(blobs: Iterable[BlobEntry]) -> Iterator[list[BlobEntry]]:
    """Yield the blobs of each file of a tar: where they share one, they adjoin."""
    file: list[BlobEntry] = []
    for blob in blobs:
        if file and blob.offset != file[-1].offset + file[-1].size:
            yield file
            file = []
        file.append(blob)
    if file:
        yield file


def blob_path(digest: str) -> str:
    """Return a blob's path in an OCI image layout."""
    return f"blobs/sha256/{hex_of(digest)}"


def header(name: str, size: int, mtime: int) -> bytes:
    """Return the header of a regular file of this size, with mode 0644 and owner root."""

    def block(checksum: bytes) -> bytes:
        owner = (_number(0o644, 8), _number(0, 8), _number(0, 8))
        file = (_number(size, 12), _number(mtime, 12))
        return _HEADER.pack(name.encode(), *owner, *file, checksum, b"0", b"", b"ustar  ")

    return block(b"%06o\0 " % sum(block(b" " * 8)))


def _number(value: int, width: int) -> bytes:
    """Octal digits and a NUL; base-256, which its first bit marks, where they do not fit."""
    if value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return b"\x80" + value.to_bytes(width - 1, "big")


def _index_json(images: Sequence[ImageEntry], sizes: Mapping[str, int]) -> bytes:
    manifests = [
        {
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": sizes[image.digest],
            "annotations": {_CONTAINERD_NAME: image.name, _REF_NAME: image.name},
        }
        for image in images
    ]
    return canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})


def _manifest_json(
    images: Sequence[ImageEntry],
    documents: Mapping[str, Manifest | Index],
    host_platforms: Sequence[str],
    *,
    tag_pins: bool,
) -> bytes:
    entries = []
    for image in images:
        manifest = _for_classic_load(image, documents, host_platforms)
        if manifest is not None:
            tagged = replace(image.reference, digest="")
            sets_tag = tagged.tag if tag_pins else image.reference.own_tag
            entries.append(
                {
                    "Config": blob_path(manifest.config.digest),
                    "RepoTags": [tagged.familiar] if sets_tag else None,
                    "Layers": [blob_path(layer.digest) for layer in manifest.layers],
                }
            )
    return canonical(entries)


def _for_classic_load(
    image: ImageEntry, documents: Mapping[str, Manifest | Index], host_platforms: Sequence[str]
) -> Manifest | None:
    """Return the one manifest that an engine without multi-platform images can load."""
    document = documents.get(image.digest)
    if not isinstance(document, Index):
        return document
    carried = images_of(image.digest, documents)
    platforms = [parse_platform(text) for text in (*host_platforms, *image.platforms)]
    return next((carried[platform] for platform in platforms if platform in carried), None)


def check_offsets(
    contents_blobs: Sequence[BlobEntry], head_size: int, tar_size: int, small_bytes: int = 0
) -> None:
    """Compare stated offsets with those that the framing gives.

    Args:
        contents_blobs: With their stated offsets.
        head_size: Bytes before the first blob's header.
        tar_size: Bytes of all.
        small_bytes: As for `place_blobs`.

    Raises:
        IntegrityError: They differ, so somebody else wrote the tar or its contents.
    """
    sizes = ((blob.digest, blob.size) for blob in contents_blobs)
    expected = place_blobs(head_size, sizes, small_bytes)
    for stated, computed in zip(contents_blobs, expected, strict=True):
        if stated != computed:
            raise broken(f"{stated.digest} is said to lie at {stated.offset}")
    if end_of(head_size, expected) + END_BYTES != tar_size:
        raise broken(f"the tar is said to have {tar_size} bytes")
