"""Files of a bundle, whole or not, in one copy or several."""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.bundle import file_check
from airgap.bundle.checksums import CHECKSUMS_NAME
from airgap.bundle.contents import Contents, FileEntry
from airgap.bundle.file_check import damaged, digest_of_file, open_whole
from airgap.bundle.media import Media
from airgap.errors import HostError, IntegrityError

NAME = "images.tar"
GOOD, BAD, SHORT = b"good bytes", b"bad  bytes", b"good"
ENTRY = FileEntry(NAME, len(GOOD), hashlib.sha256(GOOD).hexdigest())
CONTENTS = Contents(
    name="whole",
    serial=1,
    created="2026-01-01T00:00:00Z",
    expires="",
    tool="",
    host_platforms=(),
    images=(),
    blobs=(),
    files=(ENTRY,),
)


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    before = set(Path("/proc/self/fd").iterdir())
    yield
    assert set(Path("/proc/self/fd").iterdir()) == before


def media(folder: Path, copies: Sequence[bytes]) -> Media:
    """A medium for each copy."""
    folders = [folder / str(number) for number in range(len(copies))]
    for one, data in zip(folders, copies, strict=True):
        one.mkdir()
        (one / CHECKSUMS_NAME).touch()
        (one / NAME).write_bytes(data)
    return Media(folders)


def contents(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def test_a_single_copy_is_opened_from_its_beginning(tmp_path: Path) -> None:
    assert contents(open_whole(media(tmp_path, [GOOD]), CONTENTS, ENTRY)) == GOOD


def test_a_single_copy_is_not_read_for_its_reader_hashes_it(tmp_path: Path) -> None:
    assert contents(open_whole(media(tmp_path, [BAD]), CONTENTS, ENTRY)) == BAD


@pytest.mark.parametrize("data", [SHORT, GOOD + b"x", b""])
def test_a_single_copy_of_another_size_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(IntegrityError, match=f"has {len(data)} bytes and should have 10"):
        open_whole(media(tmp_path, [data]), CONTENTS, ENTRY)


@pytest.mark.parametrize(
    "copies", [c for c in itertools.product([GOOD, BAD, SHORT, b""], repeat=3) if GOOD in c]
)
def test_of_several_copies_one_that_is_whole_is_taken(
    tmp_path: Path, copies: tuple[bytes, ...]
) -> None:
    assert contents(open_whole(media(tmp_path, copies), CONTENTS, ENTRY)) == GOOD


def test_several_copies_of_which_none_is_whole_are_damaged(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"images\.tar is damaged: it is not what SHA256SUMS"):
        open_whole(media(tmp_path, [BAD, SHORT, GOOD + b"x"]), CONTENTS, ENTRY)


def test_a_file_that_no_medium_has_is_missing(tmp_path: Path) -> None:
    absent = FileEntry("images.tar.007", 1, ENTRY.sha256)
    with pytest.raises(IntegrityError, match=r"images\.tar\.007 is missing"):
        open_whole(media(tmp_path, [GOOD, GOOD]), CONTENTS, absent)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 100))
def test_a_file_is_hashed_whatever_its_size(data: bytes, buffer: int) -> None:
    seen: list[int] = []
    with tempfile.TemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_check, "BUFFER_BYTES", buffer)
        file.write(data)
        file.flush()
        entry = FileEntry(NAME, len(data), "")
        assert (
            digest_of_file(file.fileno(), entry, NAME, seen.append)
            == hashlib.sha256(data).hexdigest()
        )
    assert sum(seen) == len(data)


def test_a_file_that_is_far_too_long_is_not_read_to_its_end() -> None:
    seen: list[int] = []
    with tempfile.TemporaryFile() as file:
        os.truncate(file.fileno(), 1 << 40)
        assert digest_of_file(file.fileno(), ENTRY, NAME, seen.append) != ENTRY.sha256
    assert sum(seen) == file_check.BUFFER_BYTES


def test_a_medium_that_cannot_be_read_is_a_host_error(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)  # a folder fails like a broken disk: in read(2)
    try:
        with pytest.raises(HostError, match=r"cannot read images\.tar"):
            digest_of_file(descriptor, ENTRY, NAME)
    finally:
        os.close(descriptor)


def test_damaged_files_are_all_named() -> None:
    assert damaged("a", "b").message == "a, b are damaged: they are not what SHA256SUMS says"
    assert damaged("a").message == "a is damaged: it is not what SHA256SUMS says"


def test_a_copy_that_cannot_be_read_does_not_stand_before_one_that_is_whole(
    tmp_path: Path,
) -> None:
    media_of_two = media(tmp_path, [GOOD, GOOD])
    first = tmp_path / "0" / NAME
    first.unlink()
    first.mkdir()  # fails like a bad sector: in the open, or in read(2)
    assert contents(open_whole(media_of_two, CONTENTS, ENTRY)) == GOOD
