from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.canonical import is_time
from airgap.connected.record_builds import until, with_images
from airgap.errors import UsageError
from airgap.oci.platform import native_platform, parse_platform
from airgap.oci.reference import parse_reference
from airgap.replay.recording import RecordedResponse, Recording
from airgap.spec.bundle_spec import BundleSpec, ImageSpec, RecordingSpec, Request, make_request
from airgap.store.store import Store

_BOTH = (parse_platform("linux/amd64"), parse_platform("linux/arm64"))


def request_of(folder: Path, text: str, *images: str) -> Request:
    (folder / "Dockerfile").write_text(text)
    spec = BundleSpec(
        platforms=_BOTH,
        images=tuple(ImageSpec(parse_reference(name)) for name in images),
        recordings=(RecordingSpec("app", folder),),
    )
    return with_images(make_request([spec], with_roles=False, may_be_empty=True))


def test_the_images_of_builds_are_added(tmp_path: Path) -> None:
    text = "FROM --platform=$BUILDPLATFORM golang AS b\nFROM alpine\nCOPY --from=b / /\n"
    request = request_of(tmp_path, text, "busybox")
    assert {str(image.reference.familiar): image.platforms for image in request.images} == {
        "busybox:latest": _BOTH,
        "golang:latest": (native_platform(),),
        "alpine:latest": _BOTH,
    }


def test_a_frontend_that_is_replaced_is_not_carried(tmp_path: Path) -> None:
    request = request_of(tmp_path, "# syntax=docker/dockerfile:1.4\nFROM alpine\nRUN true\n")
    assert [image.reference.familiar for image in request.images] == ["alpine:latest"]


def test_a_dockerfile_that_is_not_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Dockerfile"):
        request_of(tmp_path, "no instruction\n")


@pytest.mark.parametrize(
    ("release", "moment"),
    [
        (b"Suite: a\nValid-Until: Tue, 01 Dec 2026 08:21:40 UTC\nX: y\n", "2026-12-01T08:21:40Z"),
        (b"Valid-Until: Tue, 01 Dec 2026 08:21:40 +0100\n", "2026-12-01T07:21:40Z"),
        (b"Suite: a\n", ""),
        (b"Valid-Until: never\n", ""),
        (b"Valid-Until: \xff\n", ""),
        (b"Valid-Until: Sat, 31 Dec 9999 23:59:59 -2359\n", ""),
        (b"Valid-Until: Wed, 31 Dec 1969 23:59:59 UTC\n", ""),
        (b"Valid-Until: Fri, 01 Jan 999 00:00:00 UTC\n", ""),
        (b"Valid-Until: Thu, 01 Jan 1970 00:00:00 UTC\n", "1970-01-01T00:00:00Z"),
    ],
)
def test_until_when_apt_takes_a_recording(tmp_path: Path, release: bytes, moment: str) -> None:
    assert until(*recorded(tmp_path, {"http://a/dists/x/InRelease": release})) == moment


@given(st.from_regex(r"\A[0-9]{1,3} (Jan|Dec) [0-9]{1,6} [0-9:]{0,9} ([+-][0-9]{1,6}|[A-Z]{3})?\Z"))
def test_any_date_is_one_that_readers_take_or_none(text: str) -> None:
    with TemporaryDirectory() as folder:
        found = until(*recorded(Path(folder), {"/Release": f"Valid-Until: {text}\n".encode()}))
    assert not found or is_time(found)


def test_the_first_release_file_to_expire_counts_and_others_do_not(tmp_path: Path) -> None:
    first = b"Valid-Until: Tue, 01 Dec 2026 08:00:00 UTC\n"
    second = b"Valid-Until: Mon, 30 Nov 2026 08:00:00 UTC\n"
    other = b"Valid-Until: Sun, 01 Nov 2026 08:00:00 UTC\n"
    answers = {"http://a/InRelease": first, "http://b/Release": second, "http://b/x": other}
    assert until(*recorded(tmp_path, answers)) == "2026-11-30T08:00:00Z"


def recorded(folder: Path, answers: dict[str, bytes]) -> tuple[Recording, Store]:
    store = Store(folder)
    responses = {}
    for url, body in answers.items():
        with store.new_blob() as blob:
            blob.write(body)
            digest, size = blob.publish()
        responses[url] = RecordedResponse(url, url, 200, (), digest, size)
    return Recording(responses), store
