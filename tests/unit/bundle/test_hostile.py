"""Hostile bundles, signed with a key that is trusted: each is refused, for its own reason.

`IntegrityError` (exit 6) and nothing else: any other exception fails the test.
"""

from __future__ import annotations

import json
import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airgap.bundle.archive import Archive
from airgap.bundle.checksums import CHECKSUMS_NAME, SIGNATURE_NAME
from airgap.bundle.contents import CONTENTS_NAME, README_NAME, TOOL_NAME
from airgap.bundle.framing import BLOCK, END_BYTES
from airgap.bundle.media import Media
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.verify import read_signed, verify_all
from airgap.canonical import canonical, parse_time
from airgap.errors import ExitCode, IntegrityError
from airgap.limits import LIMITS
from airgap.oci.digest import digest_of
from airgap.oci.manifest import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from airgap.progress import Progress
from airgap.replay.recording_store import check_maps
from airgap.store.seed import seed, seed_replay
from airgap.store.store import Store
from airgap.trust.keys import PrivateKey
from tests import forge
from tests.forge import (
    CONFIG_TYPE,
    CREATED,
    Document,
    Image,
    Recorded,
    descriptor,
    make_bundle,
)

Change = Callable[[Document], object]
Bytes = Callable[[bytes], bytes]

TAR_FILE = 0  # of `files` in the contents
SINGLE = 1  # of `images`


def verify(folder: Path, key: PrivateKey, *others: Path) -> None:
    """All that `verify` checks; `others` are further media."""
    media = Media([folder, *others])
    contents = read_signed(media, [key.public]).contents
    verify_all(media, contents, Progress())
    with ReplayTar(media, contents) as replay:
        check_maps(replay)


def install(folder: Path, key: PrivateKey, *others: Path) -> None:
    """What `install` checks, and what it writes; `others` are further media."""
    root = folder.parent / "store"
    media = Media([folder, *others])
    contents = read_signed(media, [key.public]).contents
    with Archive(media, contents) as archive, ReplayTar(media, contents) as replay:
        replay.check_framing()
        check_maps(replay)
        seed(Store(root), archive, Progress())
        seed_replay(Store(folder.parent / "replay"), replay, Progress())


def refusal(folder: Path, key: PrivateKey) -> str:
    """What `verify` says when it refuses a bundle."""
    with pytest.raises(IntegrityError) as caught:
        verify(folder, key)
    assert caught.value.exit_code == ExitCode.INTEGRITY
    return caught.value.message


def install_refusal(folder: Path, key: PrivateKey) -> str:
    """What `install` says when it refuses a bundle; it has published nothing then."""
    with pytest.raises(IntegrityError) as caught:
        install(folder, key)
    assert not list((folder.parent / "store").rglob("current"))
    return caught.value.message


def put(*path_and_value: Any) -> Change:  # noqa: ANN401 - any JSON value
    """Sets one value: `put("blobs", 0, "size", 7)`."""
    *path, last, value = path_and_value

    def change(document: Any) -> None:  # noqa: ANN401 - any JSON value
        for step in path:
            document = document[step]
        document[last] = value

    return change


def drop(*path: Any) -> Change:  # noqa: ANN401 - keys and positions
    """Removes one value."""
    *parents, last = path

    def change(document: Any) -> None:  # noqa: ANN401 - any JSON value
        for step in parents:
            document = document[step]
        del document[last]

    return change


def repeat(key: str, **fields: object) -> Change:
    """Appends a copy of a list's first entry, with other fields."""
    return lambda document: document[key].append({**document[key][0], **fields})


def add(name: str, position: int, field: str, step: int) -> Change:
    """Adds to a number in a list's entry."""

    def change(document: Document) -> None:
        document[name][position][field] += step

    return change


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def stack(document: Document) -> None:
    """Puts the second blob where the first lies."""
    document["blobs"][1]["offset"] = document["blobs"][0]["offset"]


def both_builders(document: Document) -> None:
    for image in document["images"]:
        image["roles"] = ["builder"]


def test_a_bundle_that_nobody_changed_is_accepted(bundle: Path, key: PrivateKey) -> None:
    forge.forge(bundle, key)
    verify(bundle, key)
    install(bundle, key)


NUMBERS = [
    (put("blobs", 0, "offset", -512), "blobs[0].offset is not a whole number"),
    (put("blobs", 0, "size", -1), "blobs[0].size is not a whole number"),
    (put("blobs", 0, "offset", 1024.0), "blobs[0].offset is not a whole number"),
    (put("blobs", 0, "size", True), "blobs[0].size is not a whole number"),
    (put("blobs", 0, "size", "7"), "blobs[0].size is not a whole number"),
    (put("blobs", 0, "size", None), "blobs[0].size is not a whole number"),
    (put("blobs", 0, "size", 2**63), "blobs[0].size is not a whole number"),
    (put("blobs", 0, "offset", 10**30), "blobs[0].offset is not a whole number"),
    (put("blobs", 0, "offset", 1e300), "blobs[0].offset is not a whole number"),
    (put("files", TAR_FILE, "size", -1), "files[0].size is not a whole number"),
    (put("serial", True), "serial is not a whole number"),
    (put("serial", 1.5), "serial is not a whole number"),
    (put("serial", 2**53 + 1), "serial is not a whole number"),
]
PLACES = [
    (stack, "overlaps what lies before it"),
    (add("blobs", 1, "offset", -2 * BLOCK), "overlaps what lies before it"),
    (add("blobs", 0, "size", 1 << 20), "lies outside the tar"),
    (put("blobs", -1, "offset", 1 << 40), "lies outside the tar"),
    (add("blobs", 1, "offset", 1), "does not lie on a block boundary"),
    (add("blobs", -1, "offset", BLOCK), "is said to lie at"),
    (add("blobs", -1, "size", -1), "ghcr.io/org/app:1.0 needs sha256:"),
    (repeat("blobs"), "is listed twice"),
    (lambda document: document["blobs"].reverse(), "overlaps what lies before it"),
    (add("files", TAR_FILE, "size", BLOCK), "and should have"),
]
NAMES = [
    *(
        (put("files", 1, "name", name), "files[1].name cannot be")
        for name in (
            "../../etc/passwd",
            "/etc/passwd",
            "tool/../tool/airgap.pyz",
            "./README.txt",
            "images.tar.1",
            "images.tar.0000",
            "images.tar.١٢٣",
            "bundle.json",
            "SHA256SUMS",
            "",
        )
    ),
    (put("files", 1, "name", "README.txt\n"), "files[1].name is not printable text"),
    (repeat("files"), "a file is listed twice"),
    (
        put("files", TAR_FILE, "name", "images.tar.001"),
        "the volumes of images.tar are ['images.tar.001']",
    ),
    (repeat("files", name="images.tar.000"), "the volumes of images.tar are"),
    (drop("files", TAR_FILE), "lies outside the tar"),
    (drop("files", 1), "is not listed"),
    (put("files", 1, "sha256", "A" * 64), "files[1].sha256 cannot be"),
    (put("files", 1, "sha256", "0" * 63), "files[1].sha256 cannot be"),
]
FORM = [
    (put("unknown", 1), "unknown is an unknown key"),
    (put("images", 0, "url", "http://x"), "bundle.json.images[0].url is an unknown key"),
    (put("blobs", 0, "path", "/"), "bundle.json.blobs[0].path is an unknown key"),
    (drop("serial"), "serial is missing"),
    (drop("images", 0, "roles"), "roles is missing"),
    (put("images", {}), "images is not a list"),
    (put("images", None), "images is not a list"),
    (put("images", 0, []), "images[0] is not an object"),
    (put("images", 0, "roles", "base"), "roles is not a list"),
    (put("images", 0, "roles", [1]), "roles is not printable text"),
    (put("name", 7), "name is not printable text"),
    (put("images", 0, "platforms", ["linux/amd64"] * 1001), "at most 1000 entries"),
    (lambda document: put("files", document["files"] * 700)(document), "at most 2002 entries"),
    (put("requires", ["sha256:" + "0" * 64]), "it has deltas"),
    (put("recordings", ["pip"]), "recordings[0] is not an object"),
    (put("replay", [7]), "replay[0] is not an object"),
    (drop("replay"), "replay is missing"),
    (put("tool", nested(40)), f"nested deeper than {LIMITS.json_depth}"),
    (put("tool", nested(300)), f"nested deeper than {LIMITS.json_depth}"),
]
FEATURES = [
    (put("format", "airgap-bundle/2.0"), "its format is 'airgap-bundle/2.0'"),
    (put("format", "airgap-bundle/1.0\n"), "its format is"),
    (put("format", "airgap-bundle/1.²"), "its format is"),
    (put("format", 1), "its format is 1"),
    (drop("format"), "its format is None"),
    (put("critical", ["encryption"]), "features that this airgap lacks: ['encryption']"),
    (put("critical", [["x"]]), "features that this airgap lacks"),
    (put("critical", [{}]), "features that this airgap lacks"),
    (put("critical", "x"), "features that this airgap lacks"),
    (drop("critical"), "features that this airgap lacks"),
]
IMAGES = [
    *(
        (put("images", SINGLE, "name", name), "images[1].name cannot be")
        for name in (
            "alpine",
            "alpine:3.20",
            "library/alpine:3.20",
            "docker.io/alpine:3.20",
            "docker.io/library/alpine",
            "docker.io/library/Alpine:3.20",
            "ghcr.io/../../etc:1",
            "ghcr.io//app:1",
            "/etc/passwd:1",
            "ghcr.io/org/app:1.0@sha256:12",
            "ghcr.io/" + "a" * 300 + ":1",
            "",
        )
    ),
    (put("images", 1, "name", "ghcr.io/a/b:1@sha256:" + "0" * 64), "is said to be sha256:"),
    (lambda document: put("images", 1, document["images"][0])(document), "is listed twice"),
    (put("images", 1, "digest", "sha256:" + "0" * 64), "is not among the blobs"),
    (put("images", 1, "roles", ["builder", "builder"]), "two images have one role, of builder"),
    (both_builders, "two images have one role, of builder"),
    (put("images", 1, "digest", "sha512:" + "0" * 128), "images[1].digest cannot be"),
    (put("images", 1, "digest", "sha256:../../../etc"), "images[1].digest cannot be"),
    (put("images", 1, "referrers", ["x"]), "images[1].referrers cannot be 'x'"),
    (put("images", 1, "referrers", ["sha256:" + "0" * 64]), "is not among the blobs"),
    (put("images", 1, "media_type", "text/plain"), "images[1].media_type cannot be"),
    (put("images", 1, "media_type", DOCKER_MANIFEST), "says it is"),
    (put("images", 0, "media_type", OCI_MANIFEST), "says it is"),
]
TEXT = [
    *(
        (put(*path, [text]), f"{'.'.join(map(str, path[2:] or path))} cannot be")
        for path in (("host_platforms",), ("images", 0, "platforms"), ("images", 0, "omitted"))
        for text in ("linux", "linux/amd64/v1/x", "linux/aarch64", "linux/arm64/v8", "Linux/amd64")
    ),
    (put("host_platforms", ["linux/../../etc"]), "host_platforms cannot be"),
    (put("host_platforms", ["linux/amd64\x1b[2J"]), "host_platforms is not printable text"),
    (put("images", 0, "roles", ["root"]), "roles cannot be 'root'"),
    (put("images", 0, "roles", ["base", "base\n"]), "roles is not printable text"),
    (put("tool", "1.0\x1b[2J"), "tool is not printable text"),
    (put("tool", "1.0\u202e"), "tool is not printable text"),
    (put("tool", "1.0\n"), "tool is not printable text"),
    (put("name", "../small"), "name cannot be"),
    (put("name", "Small"), "name cannot be"),
    (put("name", "a" * 65), "name cannot be"),
    (put("created", "2026-01-02"), "created cannot be"),
    (put("created", "2026-1-2T3:4:5Z"), "created cannot be"),
    (put("created", "2026-02-30T00:00:00Z"), "created cannot be"),
    (put("created", "1969-12-31T23:59:59Z"), "created cannot be"),
    (put("created", ""), "created cannot be"),
    (put("expires", "never"), "expires cannot be"),
]


@pytest.mark.parametrize(
    ("change", "why"), NUMBERS + PLACES + NAMES + FORM + FEATURES + IMAGES + TEXT
)
def test_contents_that_break_a_rule_are_refused(
    bundle: Path, key: PrivateKey, change: Change, why: str
) -> None:
    forge.forge(bundle, key, change=change)
    assert why in refusal(bundle, key)
    assert why in install_refusal(bundle, key)


def swap(old: bytes, new: bytes) -> Bytes:
    """Replaces bytes that must be there once."""

    def change(data: bytes) -> bytes:
        assert data.count(old) == 1
        return data.replace(old, new)

    return change


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (swap(b'"serial":1', b'"serial":1,"serial":1'), "a key is there twice"),
        (swap(b'"serial":1', b'"serial":2,"serial":1'), "a key is there twice"),
        (swap(b'"serial":1', b'"serial": 1'), "canonical form"),
        (swap(b'"serial":1', b'"serial":-0'), "canonical form"),
        (swap(b'"serial":1', b'"serial":1e0'), "canonical form"),
        (swap(b'"serial":1', b'"serial":NaN'), "is not JSON (NaN)"),
        (swap(b'"serial":1', b'"serial":-Infinity'), "is not JSON (-Infinity)"),
        (swap(b'"serial":1', b'"serial":1e999'), "canonical form"),
        (swap(b'"serial":1', b'"serial":' + b"9" * 5000), "is not JSON"),
        (swap(b'"tool":"0"', b'"tool":"\\u0030"'), "canonical form"),
        (swap(b'"tool":"0"', b'"tool":"\\ud800"'), "half of a surrogate pair"),
        (swap(b'"tool":"0"', b'"tool":"\xff"'), "is not JSON"),
        (swap(b'"tool":"0"', b'"tool":"\xed\xa0\x80"'), "is not JSON"),
        (swap(b'"tool":"0"', b'"tool":' + b"[" * 100_000 + b"]" * 100_000), "is not JSON"),
        (lambda data: data[:-1], "canonical form"),
        (lambda data: data + b"\n", "canonical form"),
        (lambda data: data + data, "is not JSON"),
        (lambda data: b"\xef\xbb\xbf" + data, "is not JSON"),
        (lambda data: data.decode().encode("utf-16"), "is not JSON"),
        (lambda data: b"[" + data + b"]", "is not a JSON object"),
        (lambda _data: b"", "is not JSON"),
        (lambda data: data + b" " * LIMITS.contents_bytes, "bundle.json is larger than"),
    ],
)
def test_bytes_that_are_not_the_one_serialisation_are_refused(
    bundle: Path, key: PrivateKey, body: Bytes, why: str
) -> None:
    forge.forge(bundle, key, body=body)
    assert why in refusal(bundle, key)


@pytest.mark.parametrize(
    ("sums", "why"),
    [
        (lambda data: data + b"0" * 64 + b"  extra\n", "SHA256SUMS says something else"),
        (lambda data: data + data.splitlines(True)[1], "SHA256SUMS says something else"),
        (
            lambda data: data[: data.index(b"\n") + 1] + b"".join(data.splitlines(True)[:0:-1]),
            "SHA256SUMS says something else",
        ),
        (lambda data: b"".join(data.splitlines(True)[:-1]), "SHA256SUMS says something else"),
        (lambda data: data.rstrip(b"\n"), "SHA256SUMS says something else"),
        (lambda data: data.replace(b"  README", b" *README"), "SHA256SUMS says something else"),
        (lambda data: b"".join(data.splitlines(True)[1:]), "does not begin with a line for"),
        (lambda data: b"# airgap\n" + data, "does not begin with a line for"),
        (lambda data: data.replace(b"\n", b"\r\n"), "does not begin with a line for"),
        (lambda data: data[:64].upper() + data[64:], "does not begin with a line for"),
        (lambda _data: b"", "does not begin with a line for"),
        (lambda data: b"0" * 64 + data[64:], "bundle.json is damaged"),
        (lambda data: data + b"\n" * LIMITS.checksums_bytes, "SHA256SUMS is larger than"),
    ],
)
def test_signed_checksums_that_do_not_follow_from_the_contents_are_refused(
    bundle: Path, key: PrivateKey, sums: Bytes, why: str
) -> None:
    forge.forge(bundle, key, sums=sums)
    assert why in refusal(bundle, key)


def contents_of(folder: Path) -> Document:
    document: Document = json.loads((folder / CONTENTS_NAME).read_bytes())
    return document


def member(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(data), int(parse_time(CREATED).timestamp())
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % BLOCK)


def header(**fields: Any) -> Callable[[Document], Bytes]:  # noqa: ANN401 - a TarInfo's fields
    """Replaces the header of the second blob by one with other fields."""

    def at(document: Document) -> Bytes:
        blob = document["blobs"][1]
        info = tarfile.TarInfo("blobs/sha256/" + blob["digest"][7:])
        info.size, info.mtime = blob["size"], int(parse_time(CREATED).timestamp())
        start = blob["offset"] - BLOCK

        def change(data: bytes) -> bytes:
            assert data[start:][:BLOCK] == info.tobuf(tarfile.GNU_FORMAT)
            for field, value in fields.items():
                setattr(info, field, value)
            return data[:start] + info.tobuf(tarfile.GNU_FORMAT) + data[start + BLOCK :]

        return change

    return at


def last_blob(before: int, data: bytes) -> Callable[[Document], Bytes]:
    """Writes over what lies `before` bytes before the end of the last blob."""

    def at(document: Document) -> Bytes:
        blob = document["blobs"][-1]
        start = blob["offset"] + blob["size"] - before
        return lambda tar: tar[:start] + data + tar[start + len(data) :]

    return at


def always(change: Bytes) -> Callable[[Document], Bytes]:
    return lambda _document: change


DIFFERS = "images.tar differs from what bundle.json says near byte"


@pytest.mark.parametrize(
    ("tar", "why"),
    [
        (always(swap(b'["alpine:3.20"]', b'["alpine:3.21"]')), f"{DIFFERS} 0"),
        (always(lambda data: data.replace(b"org/app:1.0", b"org/app:1.1", 2)), f"{DIFFERS} 0"),
        (always(swap(b'"imageLayoutVersion":"1.0.0"', b'"imageLayoutVersion":"1.0.1"')), DIFFERS),
        (
            always(lambda data: data[:-END_BYTES] + member("index.json", b"{}") + bytes(END_BYTES)),
            "the tar is said to have",
        ),
        (always(lambda data: data + b"garbage"), "the tar is said to have"),
        (always(lambda data: data + bytes(BLOCK)), "the tar is said to have"),
        (always(lambda data: data[:-BLOCK]), "the tar is said to have"),
        (always(lambda data: data[:-1] + b"x"), DIFFERS),
        (last_blob(0, b"x"), DIFFERS),
        (header(mtime=0), DIFFERS),
        (header(mode=0o4755), DIFFERS),
        (header(uid=1000), DIFFERS),
        (header(name="../../etc/passwd"), DIFFERS),
        (header(name="index.json"), DIFFERS),
        (header(type=tarfile.SYMTYPE, linkname="/etc/passwd"), DIFFERS),
        (header(type=tarfile.LNKTYPE, linkname="index.json"), DIFFERS),
        (header(type=tarfile.AREGTYPE), DIFFERS),
        (header(size=0), DIFFERS),
        (last_blob(1, b"x"), "images.tar is damaged: the blob at byte"),
    ],
)
def test_a_tar_that_its_contents_do_not_give_is_refused(
    bundle: Path, key: PrivateKey, tar: Callable[[Document], Bytes], why: str
) -> None:
    forge.forge(bundle, key, tar=tar(contents_of(bundle)))
    assert why in refusal(bundle, key)
    assert why in install_refusal(bundle, key)


def test_a_second_index_between_the_blobs_is_refused(bundle: Path, key: PrivateKey) -> None:
    second = member("index.json", b'{"schemaVersion":2,"manifests":[]}')
    place = contents_of(bundle)["blobs"][1]["offset"] - BLOCK

    def shift(document: Document) -> None:
        for blob in document["blobs"][1:]:
            blob["offset"] += len(second)

    forge.forge(bundle, key, tar=lambda data: data[:place] + second + data[place:], change=shift)
    assert "is said to lie at" in refusal(bundle, key)
    assert "is said to lie at" in install_refusal(bundle, key)


def test_a_tar_that_the_checksums_do_not_cover_is_refused(bundle: Path, key: PrivateKey) -> None:
    damage = last_blob(1, b"x")(contents_of(bundle))
    forge.forge(bundle, key, tar=damage, follow=False)
    assert refusal(bundle, key).startswith("images.tar is damaged: it is not what SHA256SUMS says")
    assert "the blob at byte" in install_refusal(bundle, key)


NAME = "ghcr.io/org/app:1"


def image(body: bytes, blobs: dict[str, bytes], media_type: str = OCI_MANIFEST) -> Image:
    """An image that is one manifest."""
    return forge.image_of(NAME, media_type, body, {}, blobs, platforms=["linux/amd64"])


def changed(change: Change) -> Image:
    """An image whose manifest was changed."""
    body, blobs = forge.manifest()
    document = json.loads(body)
    change(document)
    return image(json.dumps(document).encode(), blobs)


def with_more(data: bytes) -> Image:
    """An image with a blob that nothing in it names."""
    whole = forge.single(NAME)
    return replace(whole, blobs={**whole.blobs, digest_of(data): data})


def with_config(config: bytes) -> Image:
    body, blobs = forge.manifest()
    document = json.loads(body)
    document["config"] = descriptor(CONFIG_TYPE, config)
    del blobs[json.loads(body)["config"]["digest"]]
    return image(json.dumps(document).encode(), blobs | {digest_of(config): config})


def lacking_layer() -> Image:
    whole = forge.single(NAME)
    first, *_ = json.loads(whole.bodies[whole.entry.digest])["layers"]
    return replace(
        whole, blobs={one: data for one, data in whole.blobs.items() if one != first["digest"]}
    )


def with_child(**fields: object) -> Image:
    """An image with an index whose only child has other fields than it should."""
    body, blobs = forge.manifest()
    child = descriptor(OCI_MANIFEST, body, platform={"os": "linux", "architecture": "amd64"})
    return forge.index_of(
        NAME, [{**child, **fields}], {digest_of(body): body}, blobs, platforms=["linux/amd64"]
    )


def with_index_inside() -> Image:
    body, blobs = forge.manifest()
    inner = json.dumps(
        {"mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST, body)]}
    ).encode()
    entries = [
        descriptor(OCI_MANIFEST, body, platform={"os": "linux", "architecture": "amd64"}),
        descriptor(OCI_INDEX, inner, platform={"os": "linux", "architecture": "arm64"}),
    ]
    bodies = {digest_of(body): body, digest_of(inner): inner}
    return forge.index_of(
        NAME, entries, bodies, blobs, platforms=["linux/amd64"], omitted=["linux/arm64"]
    )


def cannot_read(body: bytes) -> Image:
    """An image whose manifest is `body`, whatever that is."""
    usual = forge.single(NAME)
    documents = {digest_of(body): usual.documents[usual.entry.digest]}
    entry = replace(usual.entry, digest=digest_of(body))
    return Image(entry, {digest_of(body): body}, documents, usual.blobs)


def claiming(image: Image, **fields: tuple[str, ...]) -> Image:
    """An image of which the contents say something else."""
    return replace(image, entry=replace(image.entry, **fields))  # type: ignore[arg-type]


PLATFORMS_LIE = "does not hold the platforms that are stated"
OMITTED_LIE = "does not leave out the platforms that are stated"


@pytest.mark.parametrize(
    ("hostile", "why"),
    [
        (claiming(forge.single(NAME), platforms=("linux/arm64",)), PLATFORMS_LIE),
        (claiming(forge.single(NAME), omitted=("linux/arm64",)), OMITTED_LIE),
        (claiming(forge.indexed(NAME), platforms=("linux/s390x",)), PLATFORMS_LIE),
        (
            claiming(
                forge.indexed(NAME, ["linux/amd64"], omitted=["linux/arm64"]),
                platforms=("linux/amd64", "linux/arm64"),
                omitted=(),
            ),
            PLATFORMS_LIE,
        ),
        (
            claiming(forge.indexed(NAME, ["linux/amd64"], omitted=["linux/arm64"]), omitted=()),
            OMITTED_LIE,
        ),
        (with_more(b"x"), f"{digest_of(b'x')} belongs to no image"),
        (lacking_layer(), f"{NAME} needs sha256:"),
        (changed(add("layers", 0, "size", 1)), f"{NAME} needs sha256:"),
        (changed(put("layers", 0, "digest", "sha256:" + "0" * 64)), f"{NAME} needs sha256:"),
        (changed(put("config", "size", 1)), f"{NAME} needs sha256:"),
        (with_child(size=3), f"{NAME} needs sha256:"),
        (with_child(mediaType=OCI_INDEX), "says it is"),
        (with_child(mediaType="text/plain"), PLATFORMS_LIE),
        (with_child(platform={"os": "linux", "architecture": "arm64"}), PLATFORMS_LIE),
        (with_index_inside(), OMITTED_LIE),
        (with_config(b'{"os":"linux"}'), "platform"),
        (with_config(b'{"os":"linux","architecture":"arm64"}'), PLATFORMS_LIE),
        (with_config(b"\x00"), "is not JSON"),
        (cannot_read(b"{}"), "has no list 'layers'"),
        (cannot_read(b"not JSON"), "is not JSON"),
        (cannot_read(b'{"mediaType":"text/plain"}'), "says it is 'text/plain'"),
        (cannot_read(b'{"manifests":[{}],"layers":[],"config":{}}'), "has 'manifests'"),
        (cannot_read(b'{"layers":[],"config":{}}'), "media type None"),
        (cannot_read(b'{"layers":[' + b"[" * 500 + b"]" * 500 + b"]}"), "nested deeper than"),
        (cannot_read(b" " * LIMITS.manifest_bytes + b"{}"), "is larger than"),
    ],
)
def test_an_image_that_does_not_fit_its_contents_is_refused(
    tmp_path: Path, key: PrivateKey, hostile: Image, why: str
) -> None:
    make_bundle(tmp_path / "bundle", key, images=[hostile])
    assert why in refusal(tmp_path / "bundle", key)
    assert why in install_refusal(tmp_path / "bundle", key)


def test_one_digest_under_two_media_types_is_refused(tmp_path: Path, key: PrivateKey) -> None:
    body, blobs = forge.manifest()
    document = json.loads(body)
    del document["mediaType"]
    silent = json.dumps(document).encode()
    first = image(silent, blobs)
    second = replace(first, entry=replace(first.entry, name=NAME + "1", media_type=DOCKER_MANIFEST))
    make_bundle(tmp_path / "bundle", key, images=[first, second])
    assert "is said to be of two media types" in refusal(tmp_path / "bundle", key)


def test_two_images_with_one_place_in_the_mirror_are_not_installed(
    tmp_path: Path, key: PrivateKey
) -> None:
    names = ["quay.io/org/app:1", "docker.io/quay.io/org/app:1"]
    images = [forge.single(name, texts=[name]) for name in names]
    make_bundle(tmp_path / "bundle", key, images=images)
    message = install_refusal(tmp_path / "bundle", key)
    assert all(name in message for name in names)


FILES = (CHECKSUMS_NAME, SIGNATURE_NAME, CONTENTS_NAME, "images.tar", TOOL_NAME, README_NAME)


def link(path: Path) -> None:
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    path.unlink()
    os.mknod(path, stat.S_IFSOCK | 0o600)  # bind would take no path longer than 107 bytes


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("replace_by", [link, folder, fifo, unix_socket])
def test_what_is_not_a_regular_file_is_refused(
    bundle: Path, key: PrivateKey, name: str, replace_by: Callable[[Path], None]
) -> None:
    replace_by(bundle / name)
    assert refusal(bundle, key) == f"{bundle / name} is not a regular file"


def test_a_link_on_the_way_to_a_file_is_refused(bundle: Path, key: PrivateKey) -> None:
    link(bundle / "tool")
    assert refusal(bundle, key) == f"{bundle / TOOL_NAME} is not a regular file"


@pytest.mark.parametrize("name", [CONTENTS_NAME, "images.tar", TOOL_NAME, README_NAME])
def test_a_missing_file_is_named(bundle: Path, key: PrivateKey, name: str) -> None:
    (bundle / name).unlink()
    assert refusal(bundle, key) == f"{name} is missing from {bundle}"


def test_a_bundle_without_checksums_is_not_finished(bundle: Path, key: PrivateKey) -> None:
    (bundle / CHECKSUMS_NAME).unlink()
    assert refusal(bundle, key) == f"there is no finished bundle in {bundle}"


@pytest.mark.parametrize("name", ["images.tar", TOOL_NAME, README_NAME])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_size_is_named(
    bundle: Path, key: PrivateKey, name: str, change: int
) -> None:
    size = (bundle / name).stat().st_size
    os.truncate(bundle / name, size + change)
    assert refusal(bundle, key) == f"{name} has {size + change} bytes and should have {size}"


def test_a_file_that_is_far_too_large_is_not_read_to_its_end(bundle: Path, key: PrivateKey) -> None:
    os.truncate(bundle / README_NAME, 1 << 42)  # sparse; to read it would take hours
    assert f"has {1 << 42} bytes" in refusal(bundle, key)


@pytest.mark.parametrize("name", [CONTENTS_NAME, "images.tar", TOOL_NAME, README_NAME])
def test_a_changed_byte_is_found_in_every_file(bundle: Path, key: PrivateKey, name: str) -> None:
    data = (bundle / name).read_bytes()
    (bundle / name).write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    assert refusal(bundle, key) == f"{name} is damaged: it is not what SHA256SUMS says"


@pytest.fixture
def volumes(tmp_path: Path, key: PrivateKey) -> Path:
    """A bundle in volumes of 3000 bytes: cut in headers, blobs and padding."""
    make_bundle(tmp_path / "bundle", key, volume_bytes=3000)
    return tmp_path / "bundle"


def test_a_missing_volume_is_named(volumes: Path, key: PrivateKey) -> None:
    (volumes / "images.tar.002").unlink()
    (volumes / "images.tar.005").unlink()
    missing = "images.tar.002 (volume 3 of 8), images.tar.005 (volume 6 of 8)"
    assert refusal(volumes, key) == f"missing from {volumes}: {missing}"


def test_swapped_volumes_are_refused(volumes: Path, key: PrivateKey) -> None:
    first, second, spare = (volumes / f"images.tar.00{number}" for number in (1, 2, 9))
    first.rename(spare)
    second.rename(first)
    spare.rename(second)
    both = "images.tar.001 (volume 2 of 8), images.tar.002 (volume 3 of 8)"
    assert refusal(volumes, key).startswith(f"{both} are damaged")


def test_a_repaired_copy_on_another_medium_is_taken(
    volumes: Path, key: PrivateKey, tmp_path: Path
) -> None:
    repaired = tmp_path / "repaired"
    repaired.mkdir()
    name = "images.tar.003"
    data = (volumes / name).read_bytes()
    (repaired / name).write_bytes(data)
    (volumes / name).write_bytes(bytes(len(data)))
    media = Media([volumes, repaired])
    verify_all(media, read_signed(media, [key.public]).contents, Progress())
    assert refusal(volumes, key).startswith("images.tar.003 (volume 4 of 8) is damaged")
    assert "images.tar.00" in install_refusal(volumes, key)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (drop("files", 1), "lies outside the tar"),
        (put("files", 1, "name", "images.tar.999"), "the volumes of images.tar are"),
        (put("files", 0, "name", "images.tar"), "the volumes of images.tar are"),
        (lambda document: document["files"].reverse(), "the volumes of images.tar are"),
        (
            add("files", 0, "size", -1),
            "images.tar.000 (volume 1 of 8) has 3000 bytes and should have 2999",
        ),
    ],
)
def test_volumes_that_are_not_numbered_in_order_are_refused(
    volumes: Path, key: PrivateKey, change: Change, why: str
) -> None:
    forge.forge(volumes, key, change=change)
    assert why in refusal(volumes, key)
    assert why in install_refusal(volumes, key)


def test_a_changed_volume_is_named_by_what_differs(volumes: Path, key: PrivateKey) -> None:
    forge.forge(volumes, key, tar=last_blob(1, b"x")(contents_of(volumes)))
    assert "is damaged: the blob at byte" in refusal(volumes, key)


@pytest.fixture
def recorded(tmp_path: Path, key: PrivateKey) -> Path:
    """A bundle with two recordings that share what they hold."""
    folder = tmp_path / "recorded"
    make_bundle(folder, key, recordings=[forge.recorded("app"), forge.recorded("lib", MORE)])
    return folder


def test_replay_tar_is_a_regular_file_that_is_there(recorded: Path, key: PrivateKey) -> None:
    link(recorded / "replay.tar")
    assert refusal(recorded, key) == f"{recorded / 'replay.tar'} is not a regular file"
    (recorded / "replay.tar").unlink()
    assert refusal(recorded, key) == f"replay.tar is missing from {recorded}"


def test_a_changed_byte_of_replay_tar_is_found(recorded: Path, key: PrivateKey) -> None:
    forge.forge(recorded, key, replay=lambda data: data[:-1] + b"x", follow=False)
    assert refusal(recorded, key) == "replay.tar is damaged: it is not what SHA256SUMS says"


MORE = {**forge.ANSWERS, "https://z.example/three": b"three"}
REPLAY_FILE = 1  # of `files` in the contents
ABSENT = "sha256:" + "0" * 64


def test_recordings_that_nobody_changed_are_accepted(recorded: Path, key: PrivateKey) -> None:
    forge.forge(recorded, key)
    verify(recorded, key)
    install(recorded, key)


def drop_recordings(document: Document) -> None:
    """All that says that there are recordings, but the file."""
    document.update(critical=[], recordings=[], replay=[])


RECORDINGS = [
    (repeat("recordings"), "the recording app is listed twice"),
    (put("recordings", 1, "name", "app"), "the recording app is listed twice"),
    *(
        (put("recordings", 0, "name", name), "recordings[0].name cannot be")
        for name in ("../../etc/passwd", "/etc/passwd", "..", ".app", "a/b", "App", "", "a" * 65)
    ),
    (put("recordings", 0, "name", "app\n"), "recordings[0].name is not printable text"),
    (put("recordings", 0, "name", "app\x1b[2J"), "recordings[0].name is not printable text"),
    (put("recordings", 0, "digest", ABSENT), f"the map of app is not in replay ({ABSENT})"),
    (put("recordings", 0, "digest", "sha256:../../etc"), "recordings[0].digest cannot be"),
    (put("recordings", 0, "digest", ""), "recordings[0].digest cannot be"),
    (put("recordings", 0, "dockerfile", "Dockerfile"), "recordings[0].dockerfile cannot be"),
    (put("recordings", 0, "dockerfile", None), "recordings[0].dockerfile is not printable"),
    (put("recordings", 0, "platforms", ["linux"]), "recordings[0].platforms cannot be"),
    (put("recordings", 0, "platforms", "linux/amd64"), "recordings[0].platforms is not a list"),
    (put("recordings", 0, "until", "soon"), "recordings[0].until cannot be"),
    (put("recordings", 0, "until", "2026-02-30T00:00:00Z"), "recordings[0].until cannot be"),
    (put("recordings", 0, "url", "x"), "recordings[0].url is an unknown key"),
    (drop("recordings", 0, "until"), "recordings[0].until is missing"),
    (put("recordings", [{}] * (LIMITS.recordings + 1)), "recordings is not a list of at most"),
    (put("critical", []), "critical is [] and should be ['recordings']"),
    (put("critical", ["recordings", "recordings"]), "critical is ['recordings', 'recordings']"),
    (put("critical", ["recordings", "deltas"]), "features that this airgap lacks: ['deltas']"),
    (put("recordings", []), "critical is ['recordings'] and should be []"),
    (put("replay", []), "some are there and some are not"),
    (drop("files", REPLAY_FILE), "some are there and some are not"),
    (drop_recordings, "some are there and some are not"),
    (put("files", REPLAY_FILE, "name", "replay.tar.001"), "the volumes of replay.tar are ["),
    (put("files", REPLAY_FILE, "name", "replay.tar.1"), "files[1].name cannot be"),
    (put("files", REPLAY_FILE, "name", "replay.tar.gz"), "files[1].name cannot be"),
    (repeat("replay"), "is listed twice"),
    (add("replay", 1, "offset", -2 * BLOCK), "overlaps what lies before it"),
    (add("replay", 1, "offset", 1), "overlaps what lies before it"),
    (add("replay", -1, "offset", 1), "is said to lie at"),
    (add("replay", -1, "offset", BLOCK), "is said to lie at"),
    (put("replay", 0, "offset", -BLOCK), "replay[0].offset is not a whole number"),
    (put("replay", -1, "offset", 1 << 40), "lies outside the tar"),
    (put("replay", 0, "size", True), "replay[0].size is not a whole number"),
    (lambda document: document["replay"].reverse(), "overlaps what lies before it"),
]


@pytest.mark.parametrize(("change", "why"), RECORDINGS)
def test_recordings_that_break_a_rule_are_refused(
    recorded: Path, key: PrivateKey, change: Change, why: str
) -> None:
    forge.forge(recorded, key, change=change)
    assert why in refusal(recorded, key)
    assert why in install_refusal(recorded, key)


@pytest.mark.parametrize("change", [put("critical", ["recordings"]), put("replay", [])])
def test_a_bundle_without_recordings_needs_nothing_for_them(
    bundle: Path, key: PrivateKey, change: Change
) -> None:
    forge.forge(bundle, key, change=change)
    if contents_of(bundle)["critical"]:
        assert "critical is ['recordings'] and should be []" in refusal(bundle, key)
    else:
        verify(bundle, key)


REPLAY_DIFFERS = "replay.tar differs from what bundle.json says near byte"


def replay_at(offset: int, data: bytes) -> Bytes:
    """Writes over bytes of `replay.tar`."""
    return lambda tar: tar[:offset] + data + tar[offset + len(data) :]


@pytest.mark.parametrize(
    ("replay", "why"),
    [
        (replay_at(0, b"../../etc/passwd\0"), f"{REPLAY_DIFFERS} 0"),
        (replay_at(100, b"0004755\0"), f"{REPLAY_DIFFERS} 0"),
        (replay_at(156, b"2"), f"{REPLAY_DIFFERS} 0"),
        (lambda data: data[:-1] + b"x", REPLAY_DIFFERS),
        (lambda data: data + b"garbage", "the tar is said to have"),
        (lambda data: data + bytes(BLOCK), "the tar is said to have"),
        (lambda data: data[:-BLOCK], "the tar is said to have"),
        (
            lambda data: data[:-END_BYTES] + member("blobs/sha256/x", b"{}") + bytes(END_BYTES),
            "the tar is said to have",
        ),
        (lambda data: data.replace(b'"status":200', b'"status":404', 1), "replay.tar is damaged"),
    ],
)
def test_a_replay_tar_that_its_contents_do_not_give_is_refused(
    recorded: Path, key: PrivateKey, replay: Bytes, why: str
) -> None:
    forge.forge(recorded, key, replay=replay)
    assert why in refusal(recorded, key)
    assert why in install_refusal(recorded, key)


def test_a_damaged_answer_is_not_kept(recorded: Path, key: PrivateKey) -> None:
    forge.forge(recorded, key, replay=lambda data: data.replace(b"oneone", b"onetwo", 1))
    assert "replay.tar is damaged: the blob at byte" in refusal(recorded, key)
    with pytest.raises(IntegrityError, match=r"replay\.tar is damaged: the blob at byte"):
        install(recorded, key)
    kept = [path.read_bytes() for path in (recorded.parent / "replay").rglob("data")]
    assert kept
    assert not any(b"onetwo" in data for data in kept)


def answer(**fields: object) -> Document:
    """A response of a map with fields that it should not have."""
    return forge.response("https://x.example/", b"x", **fields)


MAP = canonical({"responses": [answer()]})


@pytest.mark.parametrize(
    ("hostile", "why"),
    [
        (forge.recorded_map("app", [answer()], []), f"app needs {digest_of(b'x')} of 1 bytes"),
        (forge.recorded_map("app", [answer(size=2)], [b"x"]), f"app needs {digest_of(b'x')} of 2"),
        (forge.recorded_map("app", [answer(digest=ABSENT)], [b"x"]), f"app needs {ABSENT}"),
        (forge.recorded_map("app", [answer()], [b"x", b"y"]), "belongs to no recording"),
        (forge.recorded_map("app", [answer(), answer()], [b"x"]), "canonical form"),
        (forge.recorded_map("app", [answer(digest="sha256:..")], [b"x"]), "the digest of a"),
        (forge.recorded_map("app", [answer(size=-1)], [b"x"]), "the size of a response"),
        (forge.recorded_map("app", [answer(status=True)], [b"x"]), "the status of a response"),
        (forge.recorded_map("app", [answer(more=1)], [b"x"]), "other fields than it should"),
        (forge.recorded_body("app", MAP[:-1], [b"x"]), "canonical form"),
        (forge.recorded_body("app", MAP.replace(b":", b": ", 1), [b"x"]), "canonical form"),
        (forge.recorded_body("app", b"{}\n"), "is not a list of responses"),
        (forge.recorded_body("app", b""), "is not JSON"),
        (forge.recorded_body("app", b"[" * 10_000), "is not JSON"),
        (forge.recorded_body("app", MAP + b" " * LIMITS.recording_bytes, [b"x"]), "is larger than"),
    ],
)
def test_a_map_that_does_not_fit_what_is_carried_is_refused(
    tmp_path: Path, key: PrivateKey, hostile: Recorded, why: str
) -> None:
    make_bundle(tmp_path / "bundle", key, images=[], recordings=[hostile])
    assert why in refusal(tmp_path / "bundle", key)
    assert why in install_refusal(tmp_path / "bundle", key)
    assert not (tmp_path / "replay").exists()


@pytest.fixture
def recorded_volumes(tmp_path: Path, key: PrivateKey) -> Path:
    """A bundle with a recording, both tars in volumes of 2000 bytes."""
    make_bundle(tmp_path / "cut", key, recordings=[forge.recorded()], volume_bytes=2000)
    return tmp_path / "cut"


def test_missing_volumes_of_recordings_are_named_by_number(
    recorded_volumes: Path, key: PrivateKey
) -> None:
    for name in ("replay.tar.000", "replay.tar.002"):
        (recorded_volumes / name).unlink()
    missing = "replay.tar.000 (volume 1 of 3), replay.tar.002 (volume 3 of 3)"
    assert refusal(recorded_volumes, key) == f"missing from {recorded_volumes}: {missing}"
    assert install_refusal(recorded_volumes, key) == f"missing from {recorded_volumes}: {missing}"


def test_a_damaged_volume_of_recordings_is_named_and_a_repaired_copy_taken(
    recorded_volumes: Path, key: PrivateKey, tmp_path: Path
) -> None:
    name = "replay.tar.001"
    data = (recorded_volumes / name).read_bytes()
    repaired = tmp_path / "repaired"
    repaired.mkdir()
    (repaired / name).write_bytes(data)
    (recorded_volumes / name).write_bytes(bytes(len(data)))
    assert refusal(recorded_volumes, key).startswith("replay.tar.001 (volume 2 of 3) is damaged")
    spanned = r"one of replay\.tar\.000 \(volume 1 of 3\) to replay\.tar\.001 \(volume 2 of 3\)"
    with pytest.raises(IntegrityError, match=spanned):
        install(recorded_volumes, key)
    verify(recorded_volumes, key, repaired)
    install(recorded_volumes, key, repaired)


def test_recordings_may_lie_on_another_medium(
    recorded_volumes: Path, key: PrivateKey, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    second.mkdir()
    for path in recorded_volumes.glob("replay.tar.*"):
        path.rename(second / path.name)
    verify(recorded_volumes, key, second)
    install(recorded_volumes, key, second)
    assert "replay.tar.000 (volume 1 of 3)" in refusal(recorded_volumes, key)
