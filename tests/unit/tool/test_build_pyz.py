"""The tool's zip: reproducible, with each part where bootstrap.py finds it."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import pytest

from airgap.errors import UsageError
from airgap.oci.platform import Platform, parse_platform
from airgap.progress import Progress
from airgap.tool.build_pyz import (
    DEFAULT_PYTHONS,
    HOST_PLATFORMS,
    MAIN,
    add_files,
    build_tool,
    describe_native,
    package_files,
    split_wheel,
    wheels_of,
    zip_files,
)
from airgap.tool.wheels import Wheel

FILES = {"lib/b.py": b"b", "__main__.py": b"print('hello')\n", "lib/a/__init__.py": b"x" * 5000}


def test_a_zip_depends_on_nothing_but_its_files() -> None:
    backwards = dict(reversed(FILES.items()))
    assert zip_files(dict(FILES)) == zip_files(backwards)
    assert zip_files(dict(FILES)) == zip_files(dict(FILES))
    assert zip_files(dict(FILES)) != zip_files({**FILES, "lib/b.py": b"c"})


def test_a_zip_is_the_same_from_every_python_and_zlib() -> None:
    """Should this fail, a lock of yesterday gives no bundle today: see `--locked`."""
    digest = "aa46d28b51506b3298e91b827bb2eb7644e63a850946e24784c1c8e9d430c4af"
    assert hashlib.sha256(zip_files(dict(FILES))).hexdigest() == digest


def test_a_zip_says_nothing_of_when_and_where_it_was_made() -> None:
    with zipfile.ZipFile(io.BytesIO(zip_files(dict(FILES)))) as archive:
        entries = archive.infolist()
        assert archive.testzip() is None
    assert [entry.filename for entry in entries] == sorted(FILES)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
    assert {entry.create_system for entry in entries} == {3}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert not any(entry.extra or entry.comment for entry in entries)


def test_a_zip_runs(tmp_path: Path) -> None:
    (tmp_path / "tool.pyz").write_bytes(zip_files(dict(FILES), b"#!/usr/bin/env python3\n"))
    command = [sys.executable, "-I", str(tmp_path / "tool.pyz")]
    assert subprocess.check_output(command, text=True) == "hello\n"


def wheel(files: dict[str, bytes]) -> Wheel:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return Wheel("x-1-py3-none-any.whl", stream.getvalue())


def test_a_pure_wheel_stays_in_the_zip() -> None:
    files = {"click/__init__.py": b"", "click/core.py": b"x"}
    assert split_wheel(wheel(files)) == (files, {})


def test_a_package_with_machine_code_is_unpacked_as_a_whole() -> None:
    native = {"cryptography/__init__.py": b"", "cryptography/hazmat/_rust.abi3.so": b"x"}
    pure = {"cryptography-1.dist-info/METADATA": b"x"}
    assert split_wheel(wheel(native | pure)) == (pure, native)


def test_a_module_of_machine_code_is_unpacked_alone() -> None:
    native = {"_cffi_backend.cpython-311-x86_64-linux-gnu.so": b"x"}
    pure = {"cffi/__init__.py": b"", "cffi/api.py": b""}
    assert split_wheel(wheel(native | pure)) == (pure, native)


def test_certificates_must_be_a_real_file() -> None:
    files = {"certifi/__init__.py": b"", "certifi/cacert.pem": b"x"}
    assert split_wheel(wheel(files)) == ({}, files)


def test_what_only_installers_read_is_left_out() -> None:
    kept = {"a/__init__.py": b"", "a-1.dist-info/METADATA": b"", "a-1.dist-info/licenses/L": b""}
    left = ["a-1.dist-info/RECORD", "a-1.dist-info/WHEEL", "a/py.typed", "a/x.pyi", "a/"]
    left += ["a-1.dist-info/sboms/x.json"]
    pure, native = split_wheel(wheel({**kept, **dict.fromkeys(left, b"")}))
    assert (pure, native) == (kept, {})


def test_the_same_file_from_two_wheels_is_one() -> None:
    files: dict[str, bytes] = {}
    add_files(files, "lib", {"a.py": b"x"})
    add_files(files, "lib", {"a.py": b"x", "b.py": b"y"})
    assert files == {"lib/a.py": b"x", "lib/b.py": b"y"}
    with pytest.raises(ValueError, match=r"two different files are to be lib/a\.py"):
        add_files(files, "lib", {"a.py": b"z"})


def test_a_tool_says_of_which_wheels_it_is_made() -> None:
    wheels = {"click-8-py3-none-any.whl": "0" * 64}
    tool = b"#!/usr/bin/env python3\n" + zip_files({"wheels.json": json.dumps(wheels).encode()})
    assert wheels_of(tool) == wheels


def test_native_parts_are_described_for_each_python_and_platform() -> None:
    digests = {"linux-amd64": {"a.so": "0" * 64}, "linux-arm64": {}}
    found = json.loads(describe_native(HOST_PLATFORMS, ["3.11", "3.12"], digests))
    assert found == {
        "files": digests,
        "glibc": "2.28",
        "platforms": {
            "cpython-311-x86_64-linux-gnu": "linux-amd64",
            "cpython-312-x86_64-linux-gnu": "linux-amd64",
            "cpython-311-aarch64-linux-gnu": "linux-arm64",
            "cpython-312-aarch64-linux-gnu": "linux-arm64",
        },
        "serves": "CPython 3.11, 3.12 on linux/amd64 and linux/arm64 with glibc 2.28 or later",
    }


def test_the_package_is_carried_whole_and_without_caches() -> None:
    files = package_files(resources.files("airgap"))
    assert {"__init__.py", "cli/main.py", "tool/bootstrap.py", "tool/requirements.txt"} <= set(
        files
    )
    assert not [name for name in files if "__pycache__" in name or "/." in name]
    folder = Path(importlib.import_module("airgap").__path__[0])
    for name, data in files.items():
        assert (folder / name).read_bytes() == data


@pytest.mark.parametrize(
    ("platforms", "pythons", "why"),
    [
        ([parse_platform("linux/riscv64")], ["3.11"], "host platform linux/riscv64"),
        ([parse_platform("windows/amd64")], ["3.11"], "host platform windows/amd64"),
        ([HOST_PLATFORMS[0]], ["2.7"], r"Python 2\.7"),
    ],
)
def test_what_has_no_wheels_is_refused_before_anything_is_fetched(
    platforms: list[Platform], pythons: list[str], why: str
) -> None:
    with pytest.raises(UsageError, match=f"cannot be built for {why}"):
        build_tool(platforms, pythons, progress=Progress())


def test_the_tool_prepares_its_parts_before_it_imports_the_command_line(tmp_path: Path) -> None:
    files = {
        "__main__.py": MAIN,
        "bootstrap.py": b"import sys\ndef prepare():\n    sys.path[0] += '/lib'\n",
        "lib/airgap/__init__.py": b"",
        "lib/airgap/cli/__init__.py": b"",
        "lib/airgap/cli/start.py": b"def main():\n    print('ran')\n",
    }
    pyz = tmp_path / "airgap.pyz"
    pyz.write_bytes(zip_files(files))
    done = subprocess.run(
        [sys.executable, "-I", pyz], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "ran\n"


def test_this_python_is_served() -> None:
    assert "3.11" in DEFAULT_PYTHONS
