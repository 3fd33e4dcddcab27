"""Builds `airgap.pyz`, one file that a bare CPython runs with `python3 -I airgap.pyz`.

    __main__.py             has bootstrap.py prepare this Python, and runs the command line
    bootstrap.py                 what runs first
    native.json             names and SHA-256 of all native files, and which hosts are served
    wheels.json             names and SHA-256 of the wheels that it is made of
    lib/…                   airgap and pure Python parts, imported from the zip
    native/OS-ARCH/…        parts that must be real files; bootstrap.py unpacks them

The same airgap, wheels and arguments give the same bytes, on any machine. That is why nothing is
compressed: zlib, zlib-ng and their versions come to different bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from platformdirs import user_cache_path

from airgap.errors import UsageError
from airgap.oci.platform import Platform
from airgap.progress import Progress
from airgap.tool.cache import kept
from airgap.tool.wheels import GLIBC, Wheel, collect_wheels

ToolBuilder = Callable[[Sequence[Platform], Progress], bytes]
"""Gives the bytes of `airgap.pyz` for hosts; see `build_tool`."""
DEFAULT_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
HOST_PLATFORMS = (Platform("linux", "amd64"), Platform("linux", "arm64"))
MAIN = b"""\
import bootstrap

bootstrap.prepare()

from airgap.cli.start import main

main()
"""
"""The tool's `__main__.py`: it may import the command line, which stands above this package."""

_SHEBANG = b"#!/usr/bin/env python3\n"
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
_FILE_MODE = 0o100644
_WHEELS_NAME = "wheels.json"
_UNIX = 3  # ZipInfo.create_system, so that the mode counts

# certifi's file of certificates: requests asks for its path, and a zip has none.
_NEEDS_REAL_FILES = frozenset({"certifi"})
# Of a wheel: what only installers, type checkers and scanners read. Licences stay.
_LEFT_OUT = re.compile(r".*/|[^/]+\.dist-info/(RECORD|WHEEL|sboms/.*)|.*(\.pyi|/py\.typed)")


def build_tool(
    host_platforms: Sequence[Platform],
    pythons: Sequence[str] = DEFAULT_PYTHONS,
    *,
    progress: Progress,
) -> bytes:
    """Return the bytes of `airgap.pyz` for these hosts.

    Args:
        host_platforms: Of `HOST_PLATFORMS`; glibc is assumed.
        pythons: Minor versions of CPython, of `DEFAULT_PYTHONS`.
        progress: Hears when wheels are fetched.

    Raises:
        UsageError: a platform or Python has no wheels in the lock.
        UpstreamError: wheels are not in the cache and the package index does not give them.
        HostError: wheels are not in the cache and there is no pip.
    """
    _check_served(host_platforms, pythons)
    platforms = sorted(set(host_platforms))
    minors = [python for python in DEFAULT_PYTHONS if python in pythons]
    cache = user_cache_path("airgap")
    own = package_files(resources.files("airgap"))
    # A wheel has the ready-made specs in the package, a checkout beside it; a host needs none.
    own = {name: data for name, data in own.items() if not name.startswith("bundles/")}

    def build() -> bytes:
        return _build(own, platforms, minors, cache / "wheels", progress)

    # What the wheels are follows from `requirements.txt`, which is among airgap's own files.
    targets = [*map(str, platforms), *minors]
    ingredients = [repr((targets, sorted(own))).encode(), *(own[name] for name in sorted(own))]
    return kept(cache / "tool", ingredients, build)


def _build(
    own: dict[str, bytes],
    platforms: Sequence[Platform],
    minors: Sequence[str],
    cache: Path,
    progress: Progress,
) -> bytes:
    files: dict[str, bytes] = {"__main__.py": MAIN, "bootstrap.py": own["tool/bootstrap.py"]}
    add_files(files, "lib/airgap", own)
    digests: dict[str, dict[str, str]] = {}
    parts: dict[str, str] = {}
    for platform in platforms:
        native: dict[str, bytes] = {}
        for wheel in collect_wheels(platform, minors, cache, progress):
            pure_part, native_part = split_wheel(wheel)
            add_files(files, "lib", pure_part)
            native |= native_part
            parts[wheel.file_name] = hashlib.sha256(wheel.data).hexdigest()
        add_files(files, f"native/{_tree(platform)}", native)
        digests[_tree(platform)] = {
            name: hashlib.sha256(native[name]).hexdigest() for name in sorted(native)
        }
    files["native.json"] = describe_native(platforms, minors, digests)
    files[_WHEELS_NAME] = json.dumps(parts, sort_keys=True, indent=1).encode()
    return zip_files(files, _SHEBANG)


def wheels_of(tool: bytes) -> dict[str, str]:
    """Return the wheels that an `airgap.pyz` is made of: file name to SHA-256."""
    with zipfile.ZipFile(io.BytesIO(tool)) as archive:
        wheels: dict[str, str] = json.loads(archive.read(_WHEELS_NAME))
    return wheels


def package_files(folder: Traversable) -> dict[str, bytes]:
    """Return the files of an installed package, from a folder, an editable checkout or a zip."""
    files: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.name == "__pycache__" or entry.name.startswith("."):
            continue
        if entry.is_dir():
            add_files(files, entry.name, package_files(entry))
        else:
            files[entry.name] = entry.read_bytes()
    return files


def split_wheel(wheel: Wheel) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return a wheel's files that can stay in the zip, and those that must be real files.

    The latter are every top-level package or module with machine code in it, as a whole: a
    package cannot lie in two places.
    """
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if _is_needed(name)}
    tops = {_top(name) for name in files if name.endswith(".so")} | _NEEDS_REAL_FILES
    native = {name: data for name, data in files.items() if _top(name) in tops}
    pure = {name: data for name, data in files.items() if name not in native}
    return pure, native


def add_files(files: dict[str, bytes], folder: str, more: dict[str, bytes]) -> None:
    """Add `more` below `folder`. Wheels of one version have the same pure Python files."""
    for name, data in more.items():
        path = f"{folder}/{name}"
        if files.setdefault(path, data) != data:
            raise ValueError(f"two different files are to be {path}")


def describe_native(
    platforms: Sequence[Platform], pythons: Sequence[str], digests: dict[str, dict[str, str]]
) -> bytes:
    """native.json: what bootstrap.py needs to know about the native parts.

    `files` has the SHA-256 of each tree's files; `platforms` the tree for each kind of
    extension module (PEP 3149, without the dots); `serves` is for people.
    """
    names = " and ".join(str(platform) for platform in platforms)
    return json.dumps(
        {
            "files": digests,
            "glibc": GLIBC,
            "platforms": {
                f"cpython-{python.replace('.', '')}-{platform.machine}-linux-gnu": _tree(platform)
                for platform in platforms
                for python in pythons
            },
            "serves": f"CPython {', '.join(pythons)} on {names} with glibc {GLIBC} or later",
        },
        sort_keys=True,
        indent=1,
    ).encode()


def zip_files(files: dict[str, bytes], shebang: bytes = b"") -> bytes:
    """Return a zip of `files`, after a line for the kernel, that depends on nothing else.

    `files` is emptied on the way, so that nothing is in memory twice.
    """
    stream = io.BytesIO()
    stream.write(shebang)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=_TIMESTAMP)
            entry.create_system = _UNIX
            entry.external_attr = _FILE_MODE << 16
            archive.writestr(entry, files.pop(name))
    return stream.getvalue()


def _check_served(platforms: Sequence[Platform], pythons: Sequence[str]) -> None:
    for chosen, served in (platforms, HOST_PLATFORMS), (pythons, DEFAULT_PYTHONS):
        for name in chosen:
            if name not in served:
                kind = "host platform" if isinstance(name, Platform) else "Python"
                raise UsageError(
                    f"the tool cannot be built for {kind} {name}",
                    remedy=f"choose from {', '.join(str(choice) for choice in served)}",
                )


def _is_needed(name: str) -> bool:
    return not _LEFT_OUT.fullmatch(name)


def _tree(platform: Platform) -> str:
    """Return the folder below `native/`, such as `linux-amd64`."""
    return str(platform).replace("/", "-")


def _top(name: str) -> str:
    """Return the package, or module, at the top that a wheel's file belongs to."""
    return name.partition("/")[0]
