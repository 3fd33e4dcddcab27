"""The lock of wheels and the cache. Nothing is fetched here."""

from __future__ import annotations

import hashlib
import re
import sys
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest

from airgap.oci.platform import Platform
from airgap.progress import Progress
from airgap.tool.build_pyz import DEFAULT_PYTHONS, HOST_PLATFORMS
from airgap.tool.wheels import (
    Requirement,
    Wheel,
    _reason,
    collect_wheels,
    find_wheel,
    pip_download,
    read_requirements,
)

AMD64, ARM64 = HOST_PLATFORMS


def test_the_lock_has_every_line_of_its_file() -> None:
    text = resources.files("airgap.tool").joinpath("requirements.txt").read_text("utf-8")
    requirements = read_requirements()
    assert len(requirements) == text.count("==")
    assert sum(len(one.hashes) for one in requirements) == text.count("--hash=sha256:")
    assert all(one.hashes for one in requirements)


def test_the_lock_has_what_the_tool_needs() -> None:
    names = {requirement.name for requirement in read_requirements()}
    assert {"click", "requests", "docker", "e2b-dockerfile-utils", "tqdm", "cryptography"} <= names


def test_a_requirement_is_written_as_pip_reads_it() -> None:
    requirement = Requirement("a-b", "1.0", frozenset({"f" * 64, "0" * 64}))
    assert str(requirement) == f"a-b==1.0 --hash=sha256:{'0' * 64} --hash=sha256:{'f' * 64}"
    for one in read_requirements():
        assert re.fullmatch(r"[\w.-]+==\S+( --hash=sha256:[0-9a-f]{64})+", str(one))


@pytest.mark.parametrize(
    ("name", "platform", "python", "fits"),
    [
        ("click-8-py3-none-any.whl", AMD64, "3.11", True),
        ("click-8-py3-none-any.whl", ARM64, "3.14", True),
        ("cffi-2-cp311-cp311-manylinux_2_17_x86_64.whl", AMD64, "3.11", True),
        ("cffi-2-cp311-cp311-manylinux_2_17_x86_64.whl", AMD64, "3.12", False),
        ("cffi-2-cp311-cp311-manylinux_2_17_x86_64.whl", ARM64, "3.11", False),
        ("cffi-2-cp311-cp311-manylinux_2_17_aarch64.whl", ARM64, "3.11", True),
        ("cryptography-50-cp311-abi3-manylinux_2_28_x86_64.whl", AMD64, "3.14", True),
        ("cryptography-50-cp311-abi3-manylinux_2_28_x86_64.whl", ARM64, "3.14", False),
        ("x-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", AMD64, "3.11", True),
        ("x-1-cp311-cp311-macosx_11_0_arm64.whl", ARM64, "3.11", False),
        ("x-1-cp311-cp311-win_amd64.whl", AMD64, "3.11", False),
    ],
)
def test_a_wheel_fits_where_its_name_says(
    name: str, platform: Platform, python: str, fits: bool
) -> None:
    assert Wheel(name, b"").fits(platform, python) is fits


def locked(data: bytes) -> Requirement:
    return Requirement("some-thing", "1.0", frozenset({hashlib.sha256(data).hexdigest()}))


def test_a_wheel_is_found_in_the_cache_by_its_hash(tmp_path: Path) -> None:
    name = "some_thing-1.0-py3-none-any.whl"
    (tmp_path / name).write_bytes(b"wheel")
    assert find_wheel(locked(b"wheel"), AMD64, "3.11", tmp_path) == Wheel(name, b"wheel")
    assert find_wheel(locked(b"other"), AMD64, "3.11", tmp_path) is None


def test_a_wheel_that_does_not_fit_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "some_thing-1.0-cp312-cp312-manylinux_2_17_x86_64.whl").write_bytes(b"wheel")
    assert find_wheel(locked(b"wheel"), AMD64, "3.11", tmp_path) is None
    assert find_wheel(locked(b"wheel"), AMD64, "3.12", tmp_path) is not None


def test_there_is_nothing_in_a_cache_that_is_not_there(tmp_path: Path) -> None:
    assert find_wheel(locked(b"wheel"), AMD64, "3.11", tmp_path / "absent") is None


def test_a_full_cache_needs_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"wheel"
    name = "some_thing-1.0-py3-none-any.whl"
    (tmp_path / name).write_bytes(data)
    monkeypatch.setattr("airgap.tool.wheels.read_requirements", lambda: [locked(data)])
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    found = collect_wheels(AMD64, DEFAULT_PYTHONS, tmp_path, Progress())
    assert found == [Wheel(name, data)]


def test_pip_is_asked_for_wheels_alone_and_of_the_platform() -> None:
    command = pip_download(ARM64, "3.12")
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--only-binary=:all:" in command
    platforms = [after for word, after in pairwise(command) if word == "--platform"]
    assert platforms == [
        "manylinux_2_28_aarch64",
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
    ]
    assert command[command.index("--python-version") + 1] == "3.12"
    assert "cp312" in command


def test_a_connection_that_fails_is_told_not_what_pip_concludes_from_it() -> None:
    refused = (
        "WARNING: Retrying (Retry(total=0)) after connection broken by "
        "'NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at 0x7f>: "
        "Failed to establish a new connection: [Errno 111] Connection refused')': /simple/bcrypt/\n"
        "ERROR: Could not find a version that satisfies the requirement bcrypt==5.0.0\n"
        "ERROR: No matching distribution found for bcrypt==5.0.0\n"
    )
    assert _reason(refused) == "Connection refused"
    assert _reason(refused.partition("\n")[2]) == (
        "No matching distribution found for bcrypt==5.0.0"
    )
    assert _reason("") == "pip said nothing"
