"""`bundle.json` as data: what is written is read back, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.bundle.checksums import checksums, contents_digest
from airgap.bundle.contents import (
    FORMAT,
    README_NAME,
    ROLES,
    TOOL_NAME,
    BlobEntry,
    Contents,
    FileEntry,
    ImageEntry,
    RecordingEntry,
    is_bundle_name,
    parse_contents,
)
from airgap.bundle.framing import place_blobs
from airgap.canonical import canonical, format_time, parse_time
from airgap.errors import IntegrityError
from airgap.oci.digest import digest_of, hex_of
from airgap.oci.manifest import INDEX_TYPES, MANIFEST_TYPES
from tests.forge import CREATED, make_bundle, new_key, recorded

QUICK = settings(max_examples=60, deadline=None)

POOL = [digest_of(bytes([number])) for number in range(12)]
DIGESTS = st.sampled_from(POOL)
SHA256 = DIGESTS.map(hex_of)
PLATFORMS = st.sampled_from(["linux/amd64", "linux/arm64", "linux/arm/v7", "windows/amd64"])
MOMENTS = st.integers(0, 2**37).map(lambda second: format_time(datetime.fromtimestamp(second, UTC)))
RECORDINGS = st.builds(
    RecordingEntry,
    st.sampled_from(["app", "0.b_c-d", "0" * 64]),
    st.just(POOL[0]),
    st.just("") | DIGESTS,
    st.lists(PLATFORMS, max_size=2).map(tuple),
    st.just("") | MOMENTS,
)
NAMES = st.sampled_from(
    [
        "docker.io/library/alpine:3.20",
        "ghcr.io/a/b/c__d:V1.0_x",
        "localhost:5000/app:latest",
        "[::1]:80/a:1",
        f"quay.io/org/app@{POOL[0]}",
    ]
)


@st.composite
def valid_contents(draw: st.DrawFn) -> Contents:
    """Contents that keep every rule."""
    sizes = draw(st.dictionaries(DIGESTS, st.integers(0, 2**33), min_size=1, max_size=4))
    sizes.setdefault(POOL[0], 1)
    blobs = place_blobs(draw(st.integers(0, 9)) * 512, sizes.items())
    recordings = draw(st.lists(RECORDINGS, max_size=2, unique_by=lambda one: one.name))
    replay = place_blobs(0, sizes.items()) if recordings else ()
    files = draw(files_of("images.tar", blobs))
    if recordings:
        files += draw(files_of("replay.tar", replay))
    digest = draw(SHA256)
    files += (FileEntry(TOOL_NAME, 7, digest), FileEntry(README_NAME, 0, digest))
    contents = Contents(
        name=draw(st.sampled_from(["a", "0.b_c-d", "0" * 64])),
        serial=draw(st.integers(0, 2**53)),
        created=draw(MOMENTS),
        expires=draw(st.just("") | MOMENTS),
        tool=draw(st.sampled_from(["", "1.0", "1.0 ä\U0001f4e6"])),
        host_platforms=tuple(draw(st.lists(PLATFORMS, max_size=2))),
        images=with_roles(
            draw(st.lists(images(), max_size=3, unique_by=lambda image: image.name)),
            draw(st.lists(st.sampled_from(ROLES), max_size=3, unique=True)),
        ),
        blobs=blobs,
        files=files,
        format=draw(st.sampled_from([FORMAT, "airgap-bundle/1.7"])),
    )
    return contents.with_recordings(recordings, replay)


def images() -> st.SearchStrategy[ImageEntry]:
    """Images whose digest is that of the one blob that there always is."""
    return st.builds(
        ImageEntry,
        NAMES,
        st.just(POOL[0]),
        st.sampled_from(INDEX_TYPES + MANIFEST_TYPES),
        st.lists(PLATFORMS, max_size=2).map(tuple),
        st.lists(PLATFORMS, max_size=2).map(tuple),
    )


def with_roles(images: list[ImageEntry], roles: list[str]) -> tuple[ImageEntry, ...]:
    """The same images; the first has these roles."""
    return tuple(
        replace(image, roles=("base",) if number else tuple(roles))
        for number, image in enumerate(images)
    )


@st.composite
def files_of(draw: st.DrawFn, tar: str, blobs: Sequence[BlobEntry]) -> tuple[FileEntry, ...]:
    """One to three volumes that hold a tar."""
    tar_bytes = blobs[-1].offset + blobs[-1].size
    cuts = sorted(draw(st.lists(st.integers(0, tar_bytes), max_size=2)))
    ends = zip([0, *cuts], [*cuts, tar_bytes + draw(st.integers(0, 2048))], strict=True)
    sizes = [end - start for start, end in ends]
    names = [f"{tar}.{number:03}" for number in range(len(sizes))]
    if len(names) == 1 and draw(st.booleans()):
        names = [tar]
    files = zip(names, sizes, strict=True)
    return tuple(FileEntry(name, size, draw(SHA256)) for name, size in files)


@QUICK
@given(valid_contents())
def test_contents_are_read_as_they_were_written(contents: Contents) -> None:
    body = contents.to_bytes()
    assert parse_contents(body) == contents
    assert parse_contents(body).to_bytes() == body


@QUICK
@given(valid_contents())
def test_the_checksums_name_the_contents_first_and_then_every_file(contents: Contents) -> None:
    sums = checksums(contents)
    first, *lines = sums.decode().splitlines()
    assert first == f"{contents_digest(sums)}  bundle.json"
    assert digest_of(contents.to_bytes()) == f"sha256:{contents_digest(sums)}"
    assert lines == [f"{file.sha256}  {file.name}" for file in contents.files]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_contents(body)


SCALARS = [None, True, -1, 0, 7, 512, 2**53, 2**64, 0.5, 1e300]
TEXTS = ["", "x", "1", "\x1b", "\ud800", "a\n", POOL[0], "linux/amd64", CREATED]
OTHERS = [[], [1], ["x"], [[]], {}, {"a": 1}, [{}], ["linux/amd64"]]
JSON = st.sampled_from([*SCALARS, *TEXTS, *OTHERS])


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The contents of a real bundle."""
    folder = tmp_path_factory.mktemp("bundle")
    return make_bundle(folder, new_key(), recordings=[recorded()]).to_bytes()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_contents_with_any_value_in_any_place_are_read_or_refused(
    body: bytes, data: st.DataObject
) -> None:
    document = json.loads(body)
    place: Any = document
    key = data.draw(st.sampled_from(sorted(place)))
    while place[key] and isinstance(place[key], dict | list) and data.draw(st.booleans()):
        place = place[key]
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
    place[key] = data.draw(JSON)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    check_read_or_refused(text.encode(errors="surrogatepass") + b"\n")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_contents_with_any_byte_changed_are_read_or_refused(
    body: bytes, data: st.DataObject
) -> None:
    changed = bytearray(body)
    changed[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    check_read_or_refused(bytes(changed))


def check_read_or_refused(body: bytes) -> None:
    """What is read means all of what was written; anything but `IntegrityError` fails."""
    try:
        found = parse_contents(body)
    except IntegrityError:
        return
    assert found.to_bytes() == body


def small() -> Contents:
    return Contents("a", 1, CREATED, "", "0", (), (), ())


def test_the_bytes_are_those_of_the_format() -> None:
    contents = small().with_files([FileEntry("images.tar", 0, "0" * 64)])
    assert contents.to_bytes() == (
        b'{"blobs":[],"created":"2026-01-02T03:04:05Z","critical":[],"expires":"","files":'
        b'[{"name":"images.tar","sha256":"' + b"0" * 64 + b'","size":0}],"format":'
        b'"airgap-bundle/1.0","host_platforms":[],"images":[],"name":"a","recordings":[],'
        b'"replay":[],"requires":[],"serial":1,"tool":"0"}\n'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_what_is_not_json_is_never_written(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(value)


def test_times_are_utc_to_the_second() -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert format_time(moment) == "2026-01-31T12:00:00Z"
    assert parse_time("2026-01-31T12:00:00Z") == moment
    assert format_time(moment.astimezone(None) + timedelta(hours=1)) == "2026-01-31T13:00:00Z"


def test_created_is_also_known_in_unix_seconds() -> None:
    assert small().created_seconds == 1767323045


def test_name_and_serial_identify_a_bundle() -> None:
    assert small().identity == "a-1"


@pytest.mark.parametrize("name", ["a", "arm64-builder", "a.b_c-1", "0" * 64])
def test_plain_names_may_name_a_bundle(name: str) -> None:
    assert is_bundle_name(name)


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", ".a", "..", "a/b", "a\n", "ä", "0" * 65])
def test_other_names_may_not(name: str) -> None:
    assert not is_bundle_name(name)


def test_only_its_volumes_are_joined_to_a_tar() -> None:
    names = ["images.tar.000", "images.tar.001", "replay.tar.000", "replay.tar.001", TOOL_NAME]
    files = [FileEntry(name, 1, "0" * 64) for name in names]
    contents = small().with_files(files)
    assert contents.volumes == tuple(files[:2])
    assert contents.replay_volumes == tuple(files[2:4])
    assert contents.numbered(files[1]) == "images.tar.001 (volume 2 of 2)"
    assert contents.numbered(files[2]) == "replay.tar.000 (volume 1 of 2)"
    assert contents.numbered(files[4]) == TOOL_NAME
    assert small().with_files(files[2:3]).numbered(files[2]) == "replay.tar.000"


def test_a_blob_is_where_it_says() -> None:
    digest = "sha256:" + "0" * 64
    assert place_blobs(1024, [(digest, 513), (digest, 0), (digest, 1)]) == (
        BlobEntry(digest, 513, 1536),
        BlobEntry(digest, 0, 3072),
        BlobEntry(digest, 1, 3584),
    )
