"""The tar: read by Python's tarfile and by GNU tar as what the contents say."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.bundle import framing
from airgap.bundle.contents import BlobEntry, Contents, ImageEntry
from airgap.bundle.framing import BLOCK, END_BYTES
from airgap.errors import IntegrityError
from airgap.limits import GIB, LIMITS
from airgap.oci.digest import digest_of
from airgap.oci.manifest import OCI_INDEX, OCI_MANIFEST
from airgap.trust.keys import PrivateKey
from tests import forge
from tests.forge import CREATED, make_bundle

MTIME = 1767323045
HEADS = ("oci-layout", "index.json", "manifest.json")


def listed(path: Path) -> list[tuple[str, int, int, str]]:
    """Name, size, mtime and mode of each member, as GNU tar prints them."""
    command = ["tar", "--list", "--verbose", "--full-time", "--utc", "--numeric-owner"]
    lines = subprocess.check_output(
        [*command, "--file", str(path)], text=True, env={"LC_ALL": "C", "TZ": "UTC"}
    ).splitlines()
    found = []
    for line in lines:
        mode, owner, size, _day, _time, name = line.split()
        assert owner == "0/0"
        found.append((name, int(size), 0, mode))
    return found


@pytest.fixture
def contents(bundle: Path, key: PrivateKey) -> Contents:
    return make_bundle(bundle, key)


def test_tarfile_reads_the_members_that_the_contents_list(bundle: Path, contents: Contents) -> None:
    with tarfile.open(bundle / "images.tar") as archive:
        members = archive.getmembers()
        blobs = [archive.extractfile(member) for member in members[3:]]
        digests = [digest_of(file.read()) for file in blobs if file]
    assert [member.name for member in members[:3]] == list(HEADS)
    assert digests == [blob.digest for blob in contents.blobs]
    assert [member.offset_data for member in members[3:]] == [b.offset for b in contents.blobs]
    assert {member.mtime for member in members} == {contents.created_seconds}
    assert {(member.mode, member.uid, member.type) for member in members} == {
        (0o644, 0, tarfile.REGTYPE)
    }


def test_gnu_tar_lists_the_same_members(bundle: Path, contents: Contents) -> None:
    with tarfile.open(bundle / "images.tar") as archive:
        expected = [(one.name, one.size, 0, "-rw-r--r--") for one in archive.getmembers()]
    assert listed(bundle / "images.tar") == expected
    assert len(expected) == len(HEADS) + len(contents.blobs)


def test_gnu_tar_unpacks_an_oci_layout(bundle: Path, contents: Contents, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    folder.mkdir()
    subprocess.run(["tar", "-xf", bundle / "images.tar", "-C", folder], check=True)
    blobs = {path.name for path in (folder / "blobs/sha256").iterdir()}
    assert {f"sha256:{name}" for name in blobs} == {blob.digest for blob in contents.blobs}
    for name in blobs:
        data = (folder / "blobs/sha256" / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == name
    assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((folder / "index.json").read_text())
    assert index["mediaType"] == OCI_INDEX
    for entry, image in zip(index["manifests"], contents.images, strict=True):
        size = (folder / "blobs/sha256" / image.digest[7:]).stat().st_size
        assert (entry["digest"], entry["size"]) == (image.digest, size)
        assert entry["annotations"] == {
            "io.containerd.image.name": image.name,
            "org.opencontainers.image.ref.name": image.name,
        }


def test_volumes_joined_by_cat_are_the_tar(tmp_path: Path, bundle: Path, key: PrivateKey) -> None:
    cut = tmp_path / "cut"
    make_bundle(cut, key, volume_bytes=4001)
    parts = sorted(cut.glob("images.tar.*"))
    assert len(parts) > 2
    assert subprocess.check_output(["cat", *parts]) == (bundle / "images.tar").read_bytes()


def classic(*images: forge.Image, hosts: tuple[str, ...] = ("linux/amd64",)) -> list[object]:
    """`manifest.json` for these images."""
    documents = {digest: found for image in images for digest, found in image.documents.items()}
    sizes = {digest: len(body) for image in images for digest, body in image.bodies.items()}
    head = framing.head([image.entry for image in images], documents, sizes, hosts, MTIME)
    with tarfile.open(fileobj=io.BytesIO(head + bytes(END_BYTES))) as archive:
        file = archive.extractfile("manifest.json")
        assert file is not None
        found: list[object] = json.load(file)
    return found


def layers_of(image: forge.Image, number: int) -> object:
    """What `manifest.json` says of an image's child."""
    body = json.loads(list(image.bodies.values())[number])
    path = "blobs/sha256/{}".format
    return {
        "Config": path(body["config"]["digest"][7:]),
        "Layers": [path(layer["digest"][7:]) for layer in body["layers"]],
    }


def test_classic_load_gets_the_hosts_platform() -> None:
    image = forge.indexed("docker.io/library/alpine:3", ["linux/amd64", "linux/arm64"])
    tagged = {"RepoTags": ["alpine:3"]}
    assert classic(image) == [{**dict(layers_of(image, 1)), **tagged}]  # type: ignore[call-overload]
    assert classic(image, hosts=("linux/arm64",)) == [
        {**dict(layers_of(image, 2)), **tagged}  # type: ignore[call-overload]
    ]


def test_classic_load_gets_what_there_is_where_the_hosts_platform_is_not_carried() -> None:
    image = forge.indexed("docker.io/library/alpine:3", ["linux/arm64"], omitted=["linux/amd64"])
    assert len(classic(image)) == 1


def test_classic_load_gets_no_tag_where_only_a_digest_was_named() -> None:
    image = forge.single("ghcr.io/org/app:1")
    name = f"ghcr.io/org/app@{image.entry.digest}"
    entry = forge.image_of(name, OCI_MANIFEST, image.bodies[image.entry.digest], {}, image.blobs)
    (found,) = classic(entry)
    assert isinstance(found, dict)
    assert found["RepoTags"] is None


def test_a_header_is_always_the_same_block() -> None:
    """Signed bundles depend on it: whatever Python reads one, these bytes must come out."""
    header = framing.header(framing.blob_path("sha256:" + "a" * 64), 1234, MTIME)
    expected = (
        (b"blobs/sha256/" + b"a" * 64).ljust(100, b"\0")
        + b"0000644\0"
        + b"0000000\0" * 2
        + b"00000002322\0"
        + b"15125632645\0"
        + b"024167\0 "
        + b"0"
        + bytes(100)
        + b"ustar  \0"
    ).ljust(BLOCK, b"\0")
    assert header == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(0, LIMITS.blob_bytes), st.integers(0, 2**40), st.binary(max_size=9))
def test_tarfile_reads_any_header(size: int, mtime: int, seed: bytes) -> None:
    digest = digest_of(seed)
    header = framing.header(framing.blob_path(digest), size, mtime)
    info = tarfile.TarInfo.frombuf(header, "ascii", "strict")
    assert (info.name, info.size, info.mtime) == (framing.blob_path(digest), size, mtime)
    assert (info.type, info.mode, info.uid, info.gid) == (tarfile.REGTYPE, 0o644, 0, 0)


@pytest.mark.parametrize("size", [8 * GIB - 1, 8 * GIB, 9 * GIB + 7, 1024 * GIB])
def test_both_read_files_over_8_gib(tmp_path: Path, size: int) -> None:
    path = tmp_path / "large.tar"
    first, second = (f"sha256:{digit * 64}" for digit in "12")
    blobs = framing.place_blobs(0, [(first, size), (second, 3)])
    with path.open("wb") as file:  # sparse: nothing but headers takes room
        for piece in framing.pieces(b"", blobs, MTIME):
            file.seek(piece.offset)
            file.write(piece.data)
    assert path.stat().st_blocks * 512 < 1 << 20
    expected = [(framing.blob_path(first), size), (framing.blob_path(second), 3)]
    with tarfile.open(path) as archive:
        assert [(member.name, member.size) for member in archive] == expected
    assert [(name, length) for name, length, *_ in listed(path)] == expected


BLOBS = st.dictionaries(st.binary(max_size=4).map(digest_of), st.integers(0, 3000), max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=4).map(lambda data: data * BLOCK), BLOBS, st.integers(0, 3001))
def test_pieces_and_blobs_fill_the_tar_without_gap_or_overlap(
    head: bytes, sizes: dict[str, int], small: int
) -> None:
    blobs = framing.place_blobs(len(head), sizes.items(), small)
    pieces = list(framing.pieces(head, blobs, MTIME))
    assert len(pieces) == 1 + len(blobs) + 1
    spans = [(piece.offset, len(piece.data)) for piece in pieces]
    spans += [(blob.offset, blob.size) for blob in blobs if blob.size]
    position = 0
    for offset, size in sorted(span for span in spans if span[1]):
        assert offset == position
        position += size
    assert position == framing.end_of(len(head), blobs) + END_BYTES
    assert position % BLOCK == 0
    framing.check_offsets(blobs, len(head), position, small)


def test_small_blobs_that_follow_one_another_share_a_file(tmp_path: Path) -> None:
    first, second, large, third, fourth = (f"sha256:{digit * 64}" for digit in "12345")
    sizes = [(first, 3), (second, 509), (large, 600), (third, 0), (fourth, 5)]
    blobs = framing.place_blobs(0, sizes, small_bytes=600)
    assert [blob.offset for blob in blobs] == [512, 515, 1536, 3072, 3072]
    path = tmp_path / "shared.tar"
    with path.open("wb") as file:
        for piece in framing.pieces(b"", blobs, MTIME):
            file.seek(piece.offset)
            file.write(piece.data)
    names = ["small/0", framing.blob_path(large), "small/1"]
    assert [(name, length) for name, length, *_ in listed(path)] == list(
        zip(names, [512, 600, 5], strict=True)
    )


def test_a_stated_place_that_the_framing_does_not_give_is_refused() -> None:
    blobs = framing.place_blobs(0, [("sha256:" + "0" * 64, 5)])
    with pytest.raises(IntegrityError, match="is said to lie at 1024"):
        framing.check_offsets([BlobEntry(blobs[0].digest, 5, 1024)], 0, 2048)
    with pytest.raises(IntegrityError, match="the tar is said to have 2047 bytes"):
        framing.check_offsets(blobs, 0, 2047)
    apart = framing.place_blobs(0, [(f"sha256:{digit * 64}", 5) for digit in "01"])
    with pytest.raises(IntegrityError, match="is said to lie at 1536"):
        framing.check_offsets(apart, 0, 3072, small_bytes=6)


def test_two_bundles_of_the_same_images_have_the_same_tar(tmp_path: Path, key: PrivateKey) -> None:
    for name in "ab":
        make_bundle(tmp_path / name, key, created=CREATED)
    assert forge.joined(tmp_path / "a") == forge.joined(tmp_path / "b")


def test_an_image_entry_knows_its_reference() -> None:
    entry = ImageEntry("docker.io/library/alpine:3", "", OCI_INDEX, ())
    assert entry.reference.familiar == "alpine:3"
