from __future__ import annotations

from airgap.bundle.contents import TOOL_NAME, Contents, FileEntry, ImageEntry, RecordingEntry
from airgap.isolated.state.history import Origin, active_bundles
from airgap.isolated.state.receipts import Receipt
from airgap.oci.manifest import OCI_INDEX

ALPINE, BUILDER = "docker.io/library/alpine:latest", "docker.io/moby/buildkit:buildx-stable-1"


def _receipt(number: int) -> Receipt:
    at = f"2026-01-0{number}T00:00:00Z"
    return Receipt("", "installed", at, "root", "1.0.0", f"site-{number}", f"sha256:{number}")


def _image(name: str, digit: str, role: str = "base") -> ImageEntry:
    return ImageEntry(name, f"sha256:{digit * 64}", OCI_INDEX, ("linux/amd64",), roles=(role,))


def _bundle(*images: ImageEntry, recording: str = "") -> Contents:
    files = (FileEntry("images.tar", 0, "0" * 64), FileEntry(TOOL_NAME, 1, "1" * 64))
    created = "2026-01-01T00:00:00Z"
    contents = Contents("site", 1, created, "", "1.0.0", ("linux/amd64",), images, (), files)
    if not recording:
        return contents
    entry = RecordingEntry("app", f"sha256:{recording * 64}", "", ("linux/amd64",))
    return contents.with_recordings([entry], ())


def test_what_a_later_bundle_includes_unchanged_is_the_earlier_ones() -> None:
    first = _bundle(_image(ALPINE, "a"), _image(BUILDER, "b", "builder"), recording="d")
    second = _bundle(_image(ALPINE, "a"), _image(BUILDER, "c", "builder"), recording="d")
    one, two = active_bundles([_receipt(1), _receipt(2)], [first, second])
    assert one.images == {ALPINE: Origin("site-1", "2026-01-01T00:00:00Z")}
    assert two.images == {BUILDER: Origin("site-2", "2026-01-02T00:00:00Z")}
    assert (one.roles, two.roles) == ([], ["builder"])
    assert one.recordings == {"app": Origin("site-1", "2026-01-01T00:00:00Z")}
    assert two.recordings == {}


def test_what_comes_back_after_another_is_from_when_it_came_back() -> None:
    bundles = [_bundle(_image(ALPINE, digit)) for digit in "aba"]
    *before, last = active_bundles([_receipt(number) for number in (1, 2, 3)], bundles)
    assert [one.images for one in before] == [{}, {}]
    assert last.images == {ALPINE: Origin("site-3", "2026-01-03T00:00:00Z")}


def test_an_image_that_no_later_bundle_has_is_from_the_last_that_had_it() -> None:
    bundles = [_bundle(_image(BUILDER, "b", "builder")), _bundle(_image(ALPINE, "a"))]
    one, two = active_bundles([_receipt(1), _receipt(2)], bundles)
    assert (one.roles, list(one.images)) == (["builder"], [BUILDER])
    assert (two.roles, list(two.images)) == ([], [ALPINE])
