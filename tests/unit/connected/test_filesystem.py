"""What the folder's file system can do: what the kernel says of it, and what room there is."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from airgap.bundle.volumes import Volume, cut
from airgap.connected import filesystem
from airgap.connected.filesystem import check_room, has_holes, kind_of
from airgap.errors import HostError, SpaceError
from airgap.limits import GIB, MIB

Usage = namedtuple("Usage", "total used free")


def mounts(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, where: str = "/") -> None:
    """Has the kernel say that the folder's device has that kind of file system."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    table = folder / "mountinfo"
    lines = [
        "21 1 0:4242 / /other rw - proc proc rw",
        f"22 21 {number} / {where} rw,relatime shared:1 - {kind} /dev/disk rw,errors=continue",
    ]
    table.write_bytes("\n".join(lines).encode(errors="surrogateescape") + b"\n")
    monkeypatch.setattr(filesystem, "_MOUNTS", table)


def room(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free, 0, free))


def test_the_kind_of_a_file_system_in_memory_is_known() -> None:
    assert kind_of(Path("/proc")) == "proc"
    assert kind_of(Path("/proc/self/absent/below")) == "proc"


@pytest.mark.parametrize(
    ("kind", "holes"),
    [("ext4", True), ("xfs", True), ("tmpfs", True), ("vfat", False), ("msdos", False),
     ("exfat", False)],
)  # fmt: skip
def test_some_file_systems_know_no_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, holes: bool
) -> None:
    mounts(tmp_path, monkeypatch, kind)
    assert kind_of(tmp_path / "absent") == kind
    assert has_holes(tmp_path) is holes


@pytest.mark.parametrize("name", [r"a\040b", "\udce4", "\u2028", "\x85", "\r", "\u00a0"])
def test_a_mount_point_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    mounts(tmp_path, monkeypatch, "vfat", f"/media/{name}")
    assert kind_of(tmp_path) == "vfat"


def test_what_is_not_known_is_taken_to_have_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "_MOUNTS", tmp_path / "absent")
    assert kind_of(tmp_path) == ""
    assert has_holes(tmp_path)
    (tmp_path / "absent").write_text("21 1 0:4242 / /other rw - proc proc rw\n")
    assert kind_of(tmp_path) == ""


def test_room_that_is_there_is_no_error(tmp_path: Path) -> None:
    check_room(tmp_path / "absent/too", cut(1000))


def test_a_disk_that_is_too_small_is_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room(monkeypatch, GIB)
    check_room(tmp_path, cut(GIB - 64 * MIB, 7 * MIB))
    with pytest.raises(SpaceError, match=r"has 1\.0 GiB free, and 1\.0 GiB are needed"):
        check_room(tmp_path, cut(GIB - 64 * MIB + 1, 7 * MIB))


def test_what_an_interrupted_run_has_written_needs_no_more_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = cut(10 * MIB, 4 * MIB)
    room(monkeypatch, 70 * MIB)
    with pytest.raises(SpaceError):
        check_room(tmp_path, volumes)
    (tmp_path / "images.tar.001").write_bytes(bytes(4 * MIB))
    check_room(tmp_path, volumes)


def test_holes_of_an_interrupted_run_need_room_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images.tar").touch()
    os.truncate(tmp_path / "images.tar", 10 * MIB)
    room(monkeypatch, 70 * MIB)
    with pytest.raises(SpaceError):
        check_room(tmp_path, cut(10 * MIB))


@pytest.mark.parametrize("kind", ["vfat", "msdos"])
def test_fat32_holds_files_of_a_byte_less_than_4_gib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts(tmp_path, monkeypatch, kind)
    room(monkeypatch, 100 * GIB)
    check_room(tmp_path, cut(9 * GIB, 4 * GIB - 1))
    with pytest.raises(HostError, match=r"images\.tar would have 4\.0 GiB") as caught:
        check_room(tmp_path / "absent", [Volume("images.tar", 0, 4 * GIB)])
    assert "--volume-size" in caught.value.remedy


def test_other_file_systems_hold_files_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts(tmp_path, monkeypatch, "exfat")
    room(monkeypatch, 100 * GIB)
    check_room(tmp_path, cut(9 * GIB))
