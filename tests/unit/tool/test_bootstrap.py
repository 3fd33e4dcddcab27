"""What runs first on the isolated host."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

from airgap.cli._shared.settings import Settings
from airgap.errors import ExitCode
from airgap.oci.platform import Platform
from airgap.tool import bootstrap
from airgap.tool.bootstrap import (
    BootError,
    choose_platform,
    is_intact,
    native_folder,
    state_root,
    unpack,
    version_of,
)
from airgap.tool.build_pyz import describe_native, zip_files

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
NATIVE: dict[str, Any] = {
    "glibc": "2.28",
    "platforms": {
        "cpython-311-x86_64-linux-gnu": "linux-amd64",
        "cpython-312-aarch64-linux-gnu": "linux-arm64",
    },
    "serves": "CPython 3.11 on linux/amd64",
}
PARTS = {"_cffi_backend.so": b"machine code", "cryptography/_rust.so": b"more of it"}
FILES = {name: hashlib.sha256(data).hexdigest() for name, data in PARTS.items()}
ME = [os.geteuid()]


def write_pyz(path: Path, parts: dict[str, bytes] = PARTS) -> Path:
    native = {f"native/linux-amd64/{name}": data for name, data in parts.items()}
    json = describe_native([AMD64], ["3.11"], {"linux-amd64": FILES})
    path.write_bytes(b"#!/usr/bin/env python3\n" + zip_files({**native, "native.json": json}))
    return path


@pytest.fixture
def pyz(tmp_path: Path) -> Path:
    return write_pyz(tmp_path / "airgap.pyz")


@pytest.fixture
def unpacked(pyz: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "root/tool/0123"
    unpack(pyz, "linux-amd64", FILES, folder)
    return folder


def test_exit_codes_are_those_of_the_project() -> None:
    assert (bootstrap.INTEGRITY, bootstrap.SPACE, bootstrap.HOST) == (
        ExitCode.INTEGRITY,
        ExitCode.SPACE,
        ExitCode.HOST,
    )


@pytest.mark.parametrize(
    ("suffix", "glibc", "tree"),
    [
        (".cpython-311-x86_64-linux-gnu.so", "2.28", "linux-amd64"),
        (".cpython-311-x86_64-linux-gnu.so", "2.36", "linux-amd64"),
        (".cpython-311-x86_64-linux-gnu.so", "3.0", "linux-amd64"),
        (".cpython-312-aarch64-linux-gnu.so", "2.100", "linux-arm64"),
    ],
)
def test_the_tree_that_fits_is_chosen(suffix: str, glibc: str, tree: str) -> None:
    assert choose_platform(NATIVE, suffix, glibc) == tree


@pytest.mark.parametrize(
    ("suffix", "glibc", "found"),
    [
        (".cpython-310-x86_64-linux-gnu.so", "2.36", "cpython-310-x86_64-linux-gnu"),
        (".cpython-311-riscv64-linux-gnu.so", "2.36", "cpython-311-riscv64-linux-gnu"),
        (".cpython-311-x86_64-linux-musl.so", "", "cpython-311-x86_64-linux-musl"),
        (".pypy311-pp73-x86_64-linux-gnu.so", "2.36", "pypy311-pp73-x86_64-linux-gnu"),
        (".cpython-311-x86_64-linux-gnu.so", "2.27", "glibc 2.27"),
        (".cpython-311-x86_64-linux-gnu.so", "2.3", "glibc 2.3"),
        (".cpython-311-x86_64-linux-gnu.so", "", "glibc missing"),
    ],
)
def test_a_host_that_is_not_served_is_told_why(suffix: str, glibc: str, found: str) -> None:
    with pytest.raises(BootError, match=r"serves CPython 3\.11 on linux/amd64") as caught:
        choose_platform(NATIVE, suffix, glibc)
    assert found in str(caught.value)
    assert caught.value.exit_code == ExitCode.HOST


def test_what_is_written_into_the_tool_is_what_this_python_looks_for() -> None:
    python = ".".join(map(str, sys.version_info[:2]))
    platform = {"x86_64": AMD64, "aarch64": ARM64}[os.uname().machine]
    native = {
        "platforms": {
            f"cpython-{python.replace('.', '')}-{platform.machine}-linux-gnu": "linux-here"
        },
        "glibc": "2.28",
    }
    assert choose_platform(native, EXTENSION_SUFFIXES[0], bootstrap.glibc_version()) == "linux-here"


def test_versions_compare_as_numbers() -> None:
    assert version_of("2.9") < version_of("2.28") < version_of("2.100")
    assert version_of("") < version_of("0")


ENVIRONMENTS = [
    {},
    {"XDG_DATA_HOME": "/data"},
    {"XDG_DATA_HOME": ""},
    {"XDG_DATA_HOME": "relative"},
    {"AIRGAP_ROOT": "/srv/airgap"},
    {"AIRGAP_ROOT": ""},
]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=str)
@pytest.mark.parametrize("user", [0, 1000])
def test_the_state_is_where_the_command_line_has_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], user: int
) -> None:
    for name in ("XDG_DATA_HOME", "AIRGAP_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    root = os.environ.get("AIRGAP_ROOT")
    expected = Settings.choose(Path(root) if root else None, None, quiet=True).root
    assert state_root(["install", "/media/usb"]) == expected


@pytest.mark.parametrize(
    ("arguments", "root"),
    [
        (["--root", "/a", "install"], "/a"),
        (["--root=/a", "install"], "/a"),
        (["-q", "--root", "/a"], "/a"),
        (["--root", "/a", "--root=/b"], "/b"),
        (["--root=/a", "--", "--root=/b"], "/a"),
        (["--root=/a", "--root"], "/a"),
    ],
)
def test_root_on_the_command_line_wins(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], root: str
) -> None:
    monkeypatch.setenv("AIRGAP_ROOT", "/elsewhere")
    assert state_root(arguments) == Path(root)


def test_a_relative_root_is_below_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert state_root(["--root", "state"]) == tmp_path / "state"


def test_unpacked_parts_are_those_of_the_tool(unpacked: Path) -> None:
    assert is_intact(unpacked, FILES, ME)
    assert {name: (unpacked / name).read_bytes() for name in PARTS} == PARTS
    assert sorted(path.name for path in unpacked.parent.iterdir()) == ["0123", "lock"]


def rewrite(folder: Path) -> None:
    (folder / "_cffi_backend.so").write_bytes(b"evil machine code")


def remove(folder: Path) -> None:
    (folder / "_cffi_backend.so").unlink()


def add(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text("evil")


def add_hidden(folder: Path) -> None:
    (folder / "cryptography/.hidden.so").write_text("evil")


def link_file(folder: Path) -> None:
    path = folder / "_cffi_backend.so"
    path.rename(folder.parent / "elsewhere.so")
    path.symlink_to(folder.parent / "elsewhere.so")


def link_folder(folder: Path) -> None:
    (folder / "cryptography").rename(folder.parent / "elsewhere")
    (folder / "cryptography").symlink_to(folder.parent / "elsewhere")


def link_all(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


def open_file(folder: Path) -> None:
    (folder / "_cffi_backend.so").chmod(0o666)


def open_folder(folder: Path) -> None:
    (folder / "cryptography").chmod(0o775)


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


TAMPERING = [rewrite, remove, add, add_hidden, link_file, link_folder, link_all, open_file]
TAMPERING += [open_folder, fifo]


@pytest.mark.parametrize("tamper", TAMPERING)
def test_tampered_parts_are_not_used(unpacked: Path, tamper: Any) -> None:  # noqa: ANN401
    tamper(unpacked)
    assert not is_intact(unpacked, FILES, ME)


@pytest.mark.parametrize("tamper", [one for one in TAMPERING if one is not link_all])
def test_tampered_parts_are_unpacked_again(
    pyz: Path,
    unpacked: Path,
    tamper: Any,  # noqa: ANN401
) -> None:
    tamper(unpacked)
    unpack(pyz, "linux-amd64", FILES, unpacked)
    assert is_intact(unpacked, FILES, ME)


def test_a_link_instead_of_the_folder_is_not_followed(pyz: Path, unpacked: Path) -> None:
    link_all(unpacked)
    with pytest.raises(OSError, match="symbolic link"):
        unpack(pyz, "linux-amd64", FILES, unpacked)
    assert is_intact(unpacked.parent / "elsewhere", FILES, ME)  # and nothing was deleted there


def test_parts_of_another_user_are_not_used(unpacked: Path) -> None:
    assert not is_intact(unpacked, FILES, [ME[0] + 1])


def test_one_part_of_another_user_is_enough_to_use_none(unpacked: Path) -> None:
    try:
        os.chown(unpacked / "_cffi_backend.so", 1000, 1000)
    except OSError:
        pytest.skip("only the machine's root may give files away")
    assert not is_intact(unpacked, FILES, ME)


def test_a_folder_that_is_not_there_is_not_intact(tmp_path: Path) -> None:
    assert not is_intact(tmp_path / "absent", {}, ME)


def test_a_folder_that_others_can_write_to_is_refused(pyz: Path, tmp_path: Path) -> None:
    tool = tmp_path / "shared"
    tool.mkdir()
    tool.chmod(0o777)
    with pytest.raises(BootError, match="others can write to it"):
        unpack(pyz, "linux-amd64", FILES, tool / "0123")
    assert list(tool.iterdir()) == []


@pytest.mark.parametrize("root", ["shared", "shared/state", "shared/a/b", "link/state"])
def test_no_folder_above_the_parts_may_be_somebodys_to_change(
    pyz: Path, tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could be replaced between the check of the parts and their import."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "shared")
    monkeypatch.setenv("AIRGAP_ROOT", str(tmp_path / root))
    monkeypatch.setattr(sys, "argv", ["airgap.pyz", "status"])
    monkeypatch.setattr(bootstrap, "choose_platform", lambda *_: "linux-amd64")
    with pytest.raises(BootError, match=r"other users can change .*/shared.*--root DIR"):
        native_folder(pyz)
    assert list((tmp_path / "shared").iterdir()) == []


def test_parts_are_unpacked_where_nobody_else_can_change_them(
    pyz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["airgap.pyz", "--root", str(tmp_path / "a/state"), "status"])
    monkeypatch.setattr(bootstrap, "choose_platform", lambda *_: "linux-amd64")
    folder = native_folder(pyz)
    assert folder.parent == tmp_path / "a/state/tool"
    assert is_intact(folder, FILES, ME)


def test_a_lock_that_somebody_holds_does_not_hold_up_the_tool(pyz: Path, tmp_path: Path) -> None:
    """An earlier version made the file so that every user could open and lock it."""
    tool = tmp_path / "tool"
    tool.mkdir()
    (tool / "lock").touch(0o644)
    with (tool / "lock").open() as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        unpack(pyz, "linux-amd64", FILES, tool / "0123")
    assert is_intact(tool / "0123", FILES, ME)
    assert stat.S_IMODE((tool / "lock").stat().st_mode) == 0o600


def test_parts_are_not_writable_by_others_whatever_the_umask(pyz: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        unpack(pyz, "linux-amd64", FILES, tmp_path / "tool/0123")
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    for path in (tmp_path / "tool").rglob("*"):
        assert not path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def test_an_unfinished_unpacking_is_begun_again(pyz: Path, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    (tool / "unfinished/cryptography").mkdir(parents=True)
    (tool / "unfinished/extra.py").write_text("x")
    unpack(pyz, "linux-amd64", FILES, tool / "0123")
    assert is_intact(tool / "0123", FILES, ME)
    assert not (tool / "unfinished").exists()


def test_intact_parts_are_left_alone(pyz: Path, unpacked: Path) -> None:
    before = (unpacked / "_cffi_backend.so").stat().st_ino
    unpack(pyz, "linux-amd64", FILES, unpacked)
    assert (unpacked / "_cffi_backend.so").stat().st_ino == before


@pytest.mark.parametrize(
    "parts",
    [{**PARTS, "_cffi_backend.so": b"other"}, {"_cffi_backend.so": PARTS["_cffi_backend.so"]}],
    ids=["changed", "missing"],
)
def test_a_damaged_tool_is_told(tmp_path: Path, parts: dict[str, bytes]) -> None:
    pyz = write_pyz(tmp_path / "bad.pyz", parts)
    with pytest.raises(BootError, match=r"bad\.pyz is damaged") as caught:
        unpack(pyz, "linux-amd64", FILES, tmp_path / "tool/0123")
    assert caught.value.exit_code == ExitCode.INTEGRITY
    assert not (tmp_path / "tool/0123").exists()


@pytest.mark.parametrize(
    ("what", "offset", "byte"),
    [
        # The part itself, and the method of compression in the zip's directory (APPNOTE 4.3.12).
        (PARTS["_cffi_backend.so"], 0, ord("M")),
        (b"PK\x01\x02", 10, zipfile.ZIP_DEFLATED),
    ],
    ids=["data", "method"],
)
def test_a_tool_with_a_damaged_zip_is_told(
    what: bytes, offset: int, byte: int, pyz: Path, tmp_path: Path
) -> None:
    data = bytearray(pyz.read_bytes())
    data[data.rindex(what) + offset] = byte
    pyz.write_bytes(data)
    with pytest.raises(BootError, match="is damaged"):
        unpack(pyz, "linux-amd64", FILES, tmp_path / "tool/0123")


def test_a_place_that_cannot_be_written_is_an_error_of_the_system(
    pyz: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError) as caught:
        unpack(pyz, "linux-amd64", FILES, tmp_path / "file/tool/0123")
    assert caught.value.errno == errno.ENOTDIR
