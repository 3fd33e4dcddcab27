from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from airgap.dockerfile.scan import scan_dockerfile
from airgap.dockerfile.stages import BuildOptions
from airgap.oci.platform import parse_platform
from airgap.offline.build import NotHereError, requested
from airgap.offline.inputs import BuildInputs
from airgap.offline.missing import Missing, find_missing
from airgap.replay.recording import RecordedResponse, Recording
from airgap.replay.request import RequestKey
from airgap.store.bundle_set import BundleSet
from airgap.store.store import Store
from tests.forge import Image, indexed, single

_AMD64, _ARM64 = parse_platform("linux/amd64"), parse_platform("linux/arm64")


def missing(
    text: str,
    *images: Image,
    recorded: tuple[str, ...] = (),
    registries: tuple[str, ...] = (),
    args: dict[str, str] | None = None,
) -> Missing:
    entries = {image.entry.name: image.entry for image in images}
    stock = BuildInputs(BundleSet(entries, {}, None, {}), Store(Path()), Store(Path()), registries)
    options = BuildOptions((_AMD64, _ARM64), _AMD64, args=args or {})
    keys = [RequestKey(url).key for url in recorded]
    recording = Recording({key: RecordedResponse(key, "", 200, (), "", 0) for key in keys})
    return find_missing(stock, scan_dockerfile(text, "D", options), [recording], args or {})


def test_nothing_is_missing_where_all_is_there() -> None:
    found = missing(
        "FROM alpine\nADD https://example.com/a /a\n",
        indexed("docker.io/library/alpine:latest"),
        recorded=("https://example.com/a",),
    )
    assert found == Missing((), ())


def test_all_that_is_missing_is_named_at_once_with_file_and_line() -> None:
    found = missing(
        "FROM alpine AS a\nFROM busybox\nCOPY --from=nginx / /\nADD https://example.com/a /a\n",
        indexed("docker.io/library/busybox:latest"),
    )
    assert found.lines == [
        "D:3: nginx:latest for linux/amd64, linux/arm64",
        "D:4: https://example.com/a",
    ]


def test_platforms_that_were_left_out_are_missing() -> None:
    carried = indexed("docker.io/library/alpine:latest", ["linux/amd64"], omitted=["linux/arm64"])
    assert missing("FROM alpine\n", carried).lines == ["D:1: alpine:latest for linux/arm64"]


@pytest.mark.parametrize("pinned", [False, True])
def test_a_request_keeps_the_platforms_that_are_there(pinned: bool) -> None:
    """Upstream may have moved the tag: without them they would be missing next."""
    name = "docker.io/library/alpine:latest"
    carried = indexed(name, ["linux/amd64"], omitted=["linux/arm64"])
    pin = f"@{carried.entry.digest}" if pinned else ""
    found = missing(f"FROM alpine{pin}\n", carried)
    assert [need.platforms for need in found.images] == [(_ARM64,)]
    asked = requested(NotHereError(found)).images
    assert [image.platforms for image in asked] == [(_ARM64,) if pinned else (_ARM64, _AMD64)]


def test_an_image_for_one_platform_serves_every_stage() -> None:
    assert missing("FROM alpine\n", single("docker.io/library/alpine:latest")).images == ()


@pytest.mark.parametrize(
    ("wanted", "carried", "omitted", "lacks"),
    [
        ("linux/arm/v7", ["linux/amd64", "linux/arm/v6"], [], False),
        ("linux/arm/v7", ["linux/arm/v6"], ["linux/amd64"], False),
        ("linux/arm/v6", ["linux/amd64", "linux/arm/v7"], [], True),
        ("linux/arm64", ["linux/arm/v7"], ["linux/arm64"], True),
        ("linux/arm64/v8", ["linux/arm64"], ["linux/amd64"], False),
        ("linux/amd64/v3", ["linux/amd64"], ["linux/arm64"], False),
        ("linux/amd64", ["linux/386"], ["linux/amd64"], True),
    ],
)
def test_a_platform_is_there_if_the_engine_takes_what_is(
    wanted: str, carried: list[str], omitted: list[str], lacks: bool
) -> None:
    image = indexed("docker.io/library/alpine:latest", carried, omitted=omitted)
    found = missing(f"FROM --platform={wanted} alpine\n", image)
    assert bool(found.images) is lacks


def test_an_image_that_states_no_platform_serves_every_stage() -> None:
    whole = single("docker.io/library/alpine:latest")
    image = replace(whole, entry=replace(whole.entry, platforms=()))
    assert missing("FROM alpine\n", image).images == ()


def test_registries_that_the_builder_may_ask_are_left_to_it() -> None:
    text = "FROM registry.example:5000/base\n"
    assert missing(text, registries=("registry.example:5000",)).images == ()
    assert len(missing(text).images) == 1
    for host in ("127.0.0.1:5000", "localhost:6000", "localhost"):
        assert missing(f"FROM {host}/base\n").images == ()


@pytest.mark.parametrize("written", ["HTTPS://Example.com/a", "https://example.com:443/a"])
def test_a_url_is_known_in_every_way_to_write_it(written: str) -> None:
    assert (
        missing(f"FROM scratch\nADD {written} /\n", recorded=("https://example.com/a",)).urls == ()
    )


def test_what_is_named_holds_no_secret() -> None:
    found = missing(
        "FROM scratch\nARG VERSION\nADD https://example.com/$VERSION?token=canary-1 /\n",
        args={"VERSION": "canary-2"},
    )
    assert [need.url for need in found.urls] == ["https://example.com/{VERSION}?token=REDACTED"]
