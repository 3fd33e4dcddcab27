"""`airgap.lock`: what is written is read back, all else is refused, differences are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.bundle.contents import ROLES, ImageEntry
from airgap.errors import UsageError
from airgap.limits import LIMITS
from airgap.oci.platform import Platform, parse_platform
from airgap.oci.reference import parse_reference
from airgap.spec.bundle_spec import RecordingSpec, Request, WantedImage
from airgap.spec.lock import (
    Lock,
    LockedImage,
    LockedTool,
    difference,
    load_lock,
    lock_images,
    parse_lock,
    refuse_recordings,
)

AMD64, ARM64 = "linux/amd64", "linux/arm64"
DIGESTS = [f"sha256:{number:064x}" for number in range(4)]
APP = LockedImage("docker.io/library/app:1", DIGESTS[0], (AMD64, ARM64), (AMD64, ARM64), ("base",))
TOOL = LockedTool("0.1.0", "a" * 64, {"click-8.5.1-py3-none-any.whl": "b" * 64})
LOCK = Lock("site", 1767225600, "2026-01-01T00:00:00Z", "", (AMD64,), TOOL, (APP,))
TEXT = LOCK.to_text()


def wanted(image: LockedImage) -> WantedImage:
    platforms = tuple(parse_platform(text) for text in image.wanted)
    return WantedImage(parse_reference(image.name), platforms, (), image.roles)


def request_of(lock: Lock) -> Request:
    """The request that was locked."""
    hosts = tuple(parse_platform(text) for text in lock.host_platforms)
    return Request(lock.name, hosts, tuple(wanted(image) for image in lock.images))


platforms = st.lists(st.sampled_from([AMD64, ARM64, "linux/arm/v7"]), unique=True).map(tuple)
images = st.builds(
    LockedImage,
    st.from_regex(
        r"ghcr\.io/[a-z]{1,8}(/[a-z0-9]{1,8}){0,2}:[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True
    ),
    st.sampled_from(DIGESTS),
    platforms,
    platforms,
    st.lists(st.sampled_from(ROLES), unique=True).map(tuple),
)
sha256s = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
times = st.sampled_from(["1970-01-01T00:00:00Z", "2026-02-28T23:59:59Z", "9998-12-31T23:59:59Z"])
tools = st.builds(
    LockedTool,
    st.from_regex(r"[0-9A-Za-z.+!_-]{1,64}", fullmatch=True),
    sha256s,
    st.dictionaries(st.from_regex(r"[0-9A-Za-z.+!_-]{1,40}\.whl", fullmatch=True), sha256s),
)
locks = st.builds(
    Lock,
    st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,30}[a-z0-9])?", fullmatch=True),
    st.integers(0, 2**53),
    times,
    st.one_of(st.just(""), times),
    platforms,
    tools,
    st.lists(images, unique_by=lambda image: image.name, min_size=1, max_size=4).map(tuple),
)


@given(locks)
def test_what_is_written_is_read_back(lock: Lock) -> None:
    text = lock.to_text()
    assert parse_lock(text.encode(), "airgap.lock") == lock
    assert parse_lock(text.encode(), "airgap.lock").to_text() == text
    assert difference(lock, request_of(lock)) == ""


@given(st.binary(max_size=300))
def test_garbage_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"my\.lock is not a lock that this airgap can read"):
        parse_lock(data, "my.lock")


@settings(max_examples=500)
@given(st.integers(0, len(TEXT) - 1), st.integers(0, 40), st.binary(max_size=8))
def test_a_damaged_lock_is_read_as_it_stands_or_refused(at: int, cut: int, new: bytes) -> None:
    data = TEXT.encode()
    damaged = data[:at] + new + data[at + cut :]
    try:
        lock = parse_lock(damaged, "my.lock")
    except UsageError as error:
        assert error.message.startswith("my.lock")
    else:
        assert parse_lock(lock.to_text().encode(), "my.lock") == lock


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"airgap-lock/1"', '"airgap-lock/2"', "format cannot be 'airgap-lock/2'"),
        ('name = "site"', 'name = "My Site"', "name cannot be 'My Site'"),
        ('name = "site"', "", "name is missing"),
        ('name = "site"', 'name = "site"\nnames = 1', "names is an unknown key"),
        ("serial = 1767225600", "serial = -1", "serial is not a whole number from 0"),
        ("serial = 1767225600", "serial = true", "serial is not a whole number from 0"),
        ("serial = 1767225600", f"serial = {'9' * 5000}", "is not TOML"),
        ("serial = 1767225600", f"serial = 0x{'9' * 5000}", "serial is not a whole number from 0"),
        ('name = "site"', f"name = 0x{'9' * 5000}", "name is not printable text"),
        ("2026-01-01T00:00:00Z", "2026-01-32T00:00:00Z", "created cannot be"),
        ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "created cannot be"),
        ('expires = ""', 'expires = "never"', "expires cannot be 'never'"),
        ('["linux/amd64"]', '["linux/x86_64"]', "host_platforms cannot be 'linux/x86_64'"),
        ('["linux/amd64"]', '"linux/amd64"', "host_platforms is not a list"),
        ("[tool]\n", "[[tool]]\n", "tool is not an object"),
        ('version = "0.1.0"', 'version = "0.1 0"', "tool.version cannot be '0.1 0'"),
        ("a" * 64, "a" * 63, "tool.sha256 cannot be"),
        ("b" * 64, "b" * 63, "tool.wheels.click-8.5.1-py3-none-any.whl cannot be"),
        ("any.whl", "any.zip", "tool.wheels.click-8.5.1-py3-none-any.zip is an unknown key"),
        ("library/app:1", "app:1", "images[1].name cannot be 'docker.io/app:1'"),
        (DIGESTS[0], "sha256:0", "images[1].digest cannot be 'sha256:0'"),
        ("app:1", f"app@{DIGESTS[1]}", "images[1].digest is not that of docker.io"),
        ('["base"]', '["baker"]', "images[1].roles cannot be 'baker'"),
        ('["base"]', '["base"]\ntag = "1"', "images[1].tag is an unknown key"),
        ("[[images]]", "[images]", "images is not a list of at most"),
        (TEXT, TEXT + TEXT[TEXT.index("[[images]]") :], "docker.io/library/app:1 is in it twice"),
        (TEXT, "", "format is missing"),
        (TEXT, TEXT + "<<<<<<< HEAD\n", "is not TOML"),
        (TEXT, f"x = {'[' * 5000}", "is not TOML"),
    ],
)
def test_what_a_lock_must_not_say_is_named_with_its_key(old: str, new: str, told: str) -> None:
    assert old in TEXT
    with pytest.raises(UsageError) as caught:
        parse_lock(TEXT.replace(old, new, 1).encode(), "my.lock")
    assert caught.value.message.startswith("my.lock")
    assert told in caught.value.message
    assert "airgap update" in caught.value.remedy


def test_a_lock_has_a_largest_size(tmp_path: Path) -> None:
    path = tmp_path / "my.lock"
    with path.open("wb") as file:
        file.truncate(LIMITS.lock_bytes + 1)
    with pytest.raises(UsageError, match="is larger than"):
        load_lock(path)


def test_there_may_be_no_lock(tmp_path: Path) -> None:
    assert load_lock(tmp_path / "airgap.lock") is None


def test_a_lock_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the lock .*: Is a directory"):
        load_lock(tmp_path)


def test_an_image_is_locked_with_what_was_asked_and_what_there_was() -> None:
    request = Request("x", (), (WantedImage(parse_reference("app:1"), (), (), ("base",)),))
    entry = ImageEntry(APP.name, APP.digest, "any", (AMD64, ARM64))
    assert lock_images(request, [entry]) == (replace(APP, wanted=()),)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "other"}, "its name is site, not other"),
        (
            {"host_platforms": (Platform("linux", "arm64"),)},
            "its host platforms are linux/amd64, not linux/arm64",
        ),
        ({"images": ()}, "it also has docker.io/library/app:1"),
        (
            {"images": (wanted(APP), wanted(replace(APP, name="ghcr.io/x/y:2")))},
            "it has no ghcr.io/x/y:2",
        ),
        (
            {"images": (wanted(replace(APP, wanted=())),)},
            "it has docker.io/library/app:1 for linux/amd64, linux/arm64, not for all platforms",
        ),
        (
            {"images": (wanted(replace(APP, roles=("builder", "base"))),)},
            "it has docker.io/library/app:1 as base, not as builder, base",
        ),
    ],
)
def test_the_first_difference_of_a_request_is_named(change: dict[str, object], told: str) -> None:
    request = request_of(LOCK)
    fields = {name: getattr(request, name) for name in ("name", "host_platforms", "images")}
    assert difference(LOCK, Request(**(fields | change))) == told


def test_the_order_of_images_counts_as_it_is_that_of_the_tar() -> None:
    lock = replace(LOCK, images=(APP, replace(APP, name="ghcr.io/x/y:2")))
    request = request_of(replace(lock, images=lock.images[::-1]))
    assert difference(lock, request) == "it has the images in another order"


def test_two_locks_are_alike_whenever_they_were_made() -> None:
    later = replace(LOCK, serial=LOCK.serial + 1, created="2026-01-01T00:00:01Z")
    assert LOCK.is_as(later)
    assert not LOCK.is_as(replace(later, expires="2027-01-01T00:00:00Z"))


def test_a_request_with_recordings_cannot_be_locked() -> None:
    request = request_of(LOCK)
    refuse_recordings(request)
    recorded = replace(request, recordings=(RecordingSpec("app", Path("app")),))
    with pytest.raises(UsageError, match="recordings cannot be locked: app"):
        refuse_recordings(recorded)
