from __future__ import annotations

import pytest

from airgap.bundle.contents import TOOL_NAME, Contents, FileEntry, ImageEntry, RecordingEntry
from airgap.errors import HostError, NotFoundError
from airgap.oci.manifest import OCI_INDEX
from airgap.oci.platform import Platform, parse_platform
from airgap.store.bundle_set import BundleSet

AMD64 = Platform("linux", "amd64")


def _image(name: str, digit: str, *platforms: str, role: str = "base") -> ImageEntry:
    digest = f"sha256:{digit * 64}"
    return ImageEntry(name, digest, OCI_INDEX, platforms or ("linux/amd64",), roles=(role,))


def _bundle(*images: ImageEntry, tool: str = "1.0.0") -> Contents:
    files = (FileEntry("images.tar", 0, "0" * 64), FileEntry(TOOL_NAME, 1, "1" * 64))
    created = "2026-01-01T00:00:00Z"
    return Contents("one", 1, created, "", tool, ("linux/amd64",), images, (), files)


def test_the_later_bundle_moves_a_tag_and_keeps_the_others() -> None:
    old, kept = _image("docker.io/library/a:1", "a"), _image("docker.io/library/b:1", "b")
    new = _image("docker.io/library/a:1", "c")
    wanted = BundleSet.of([_bundle(old, kept), _bundle(new)])
    assert wanted.images == {"docker.io/library/a:1": new, "docker.io/library/b:1": kept}


def test_a_bundle_without_roles_leaves_those_of_the_one_before() -> None:
    builder = _image("docker.io/moby/buildkit:1", "a", role="builder")
    wanted = BundleSet.of([_bundle(builder), _bundle(_image("docker.io/library/b:1", "b"))])
    assert wanted.role("builder") == builder


def test_a_role_that_nobody_included_is_an_error_that_names_it() -> None:
    with pytest.raises(HostError, match="'registry'"):
        BundleSet.of([_bundle()]).role("registry")


def test_images_are_found_by_the_names_that_people_use() -> None:
    image = _image("docker.io/library/alpine:latest", "a")
    wanted = BundleSet.of([_bundle(image)])
    assert wanted.image("alpine") == wanted.image("docker.io/library/alpine") == image
    with pytest.raises(NotFoundError, match=r"docker\.io/library/alpine:3"):
        wanted.image("alpine:3")


def test_of_recordings_with_one_name_the_later_counts_and_comes_later() -> None:
    old, kept, new = (
        RecordingEntry(name, f"sha256:{digit * 64}", "", ("linux/amd64",))
        for name, digit in (("app", "a"), ("lib", "b"), ("app", "c"))
    )
    bundles = [
        _bundle().with_recordings([old, kept], ()),
        _bundle(),
        _bundle().with_recordings([new], ()),
    ]
    assert list(BundleSet.of(bundles).recordings.items()) == [("lib", kept), ("app", new)]


def test_the_last_tool_counts() -> None:
    wanted = BundleSet.of([_bundle(tool="1.0.0"), _bundle(tool="1.1.0")])
    assert wanted.tool is not None
    assert wanted.tool[1] == "1.1.0"


def test_what_is_carried_for_other_hosts_is_not_emulated() -> None:
    hosts = ("linux/amd64", "linux/arm64")
    builder = _image("docker.io/moby/buildkit:1", "a", *hosts, role="builder")
    wanted = BundleSet.of([_bundle(builder, _image("docker.io/library/a:1", "b", "linux/arm64"))])
    assert wanted.emulated(parse_platform("linux/arm64")) == []
    assert wanted.emulated(AMD64) == [parse_platform("linux/arm64")]


def test_what_is_emulated_is_what_the_host_cannot_run() -> None:
    platforms = ("linux/amd64", "linux/386", "linux/arm64", "linux/arm/v7", "windows/amd64")
    wanted = BundleSet.of([_bundle(_image("docker.io/library/a:1", "a", *platforms))])
    assert wanted.emulated(AMD64) == [
        parse_platform("linux/arm/v7"),
        parse_platform("linux/arm64"),
    ]


def test_the_hosts_are_those_of_all_images() -> None:
    images = _image("ghcr.io/a/b:1", "a"), _image("docker.io/library/b:1", "b")
    assert BundleSet.of([_bundle(*images)]).hosts == ["docker.io", "ghcr.io"]
