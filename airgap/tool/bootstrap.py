"""What `python3 -I airgap.pyz` runs first: put the parts in place, before `airgap` takes over.

The tool has this file at its top, and a `__main__.py` that calls it. Pure Python parts are
imported from the zip itself; native ones must be files, so they are unpacked once, below the
folder that holds airgap's state.

It runs before any part is in place, so it uses the standard library alone, and only syntax that
older Pythons can read: they are to say what they lack, not to fail on an annotation. Once the host
is known to be served, it asks `airgap.ownership`, which needs no more.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import sys
import zlib
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any
from zipimport import zipimporter

# Exit codes, the same as in airgap/errors.py.
INTEGRITY, SPACE, HOST = 6, 8, 9


class BootError(Exception):
    """The tool cannot start; the text says why and what helps."""

    def __init__(self, message: str, exit_code: int = HOST) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def prepare() -> None:
    """Make the parts importable, or end this process with a sentence."""
    pyz = Path(__file__).parent.resolve()
    # The check of the folder allows no extra files, so Python must not add its caches.
    sys.dont_write_bytecode = True
    sys.path[0:1] = [str(pyz / "lib")]
    try:
        folder = native_folder(pyz)
        sys.path.insert(1, str(folder))
        import_native_part(folder)
    except BootError as error:
        print(f"airgap: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def native_folder(pyz: Path) -> Path:
    """Return the folder with this host's native parts, unpacked and checked.

    Raises:
        BootError: this Python or host is not served, or the folder cannot be written, or others
            could change it.
    """
    native_json = zipimporter(str(pyz)).get_data("native.json")
    native = json.loads(native_json)
    platform = choose_platform(native, EXTENSION_SUFFIXES[0], glibc_version())
    files = native["files"][platform]
    name = hashlib.sha256(native_json).hexdigest()[:16]

    # The installed tool has its parts beside it, so that users need not unpack their own.
    installed = pyz.parent / f"native-{name}"
    if is_intact(installed, files, owners=[0]):
        return installed

    folder = state_root(sys.argv[1:]) / "tool" / name
    try:
        make_safe(folder.parent)
        if not is_intact(folder, files, owners=[0, os.geteuid()]):
            unpack(pyz, platform, files, folder)
    except OSError as error:
        code = SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else HOST
        raise BootError(
            f"the tool's parts cannot be unpacked into {folder}: {error.strerror}; "
            "name another folder with --root DIR",
            code,
        ) from error
    return folder


def choose_platform(native: "dict[str, Any]", suffix: str, glibc: str) -> str:
    """Return the name of the native tree that fits.

    Args:
        native: What native.json says.
        suffix: How this Python's extension modules end, `.cpython-311-x86_64-linux-gnu.so`: it
            tells implementation, minor version, machine and C library (PEP 3149).
        glibc: This host's glibc, such as `2.36`; empty where there is another C library.

    Raises:
        BootError: none fits.
    """
    abi = suffix[len(".") : -len(".so")]
    if abi not in native["platforms"]:
        version = ".".join(str(part) for part in sys.version_info[:2])
        found = f"Python {version} ({abi})"
    elif version_of(glibc) < version_of(native["glibc"]):
        found = f"glibc {glibc or 'missing'}"
    else:
        return str(native["platforms"][abi])
    raise BootError(f"this airgap.pyz serves {native['serves']}, but this host has {found}")


def glibc_version() -> str:
    """Return the version of this host's glibc, or nothing where there is another C library."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2]
    except (OSError, ValueError):
        return ""


def version_of(text: str) -> "list[int]":
    """`2.36` as numbers that compare; nothing compares as older than anything."""
    return [int(part) for part in text.split(".") if part]


def state_root(arguments: "list[str]") -> Path:
    """Return the state folder, by the same rule as the command line's `--root`."""
    root = os.environ.get("AIRGAP_ROOT", "")
    for number, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == "--root" and number + 1 < len(arguments):
            root = arguments[number + 1]
        if argument.startswith("--root="):
            root = argument[len("--root=") :]
    if root:
        return Path(root).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/airgap")
    # XDG base directory specification: a relative path is to be ignored.
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else Path.home() / ".local" / "share") / "airgap"


def is_intact(folder: Path, files: "dict[str, str]", owners: "list[int]") -> bool:
    """Return whether `folder` has exactly `files`, and only `owners` can change it."""
    found = set()
    try:
        if not is_private(folder, owners):
            return False
        for path in folder.rglob("*"):
            if not is_private(path, owners):
                return False
            if not path.is_dir():
                found.add(path.relative_to(folder).as_posix())
        return found == set(files) and all(
            hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
            for name, digest in files.items()
        )
    except OSError:
        return False


def is_private(path: Path, owners: "list[int]") -> bool:
    """Return whether `path` is a folder or regular file, no link, that only `owners` can change."""
    status = path.lstat()
    kept = stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)
    writable_by_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return kept and status.st_uid in owners and not writable_by_others


def make_safe(tool: Path) -> None:
    """Make the folder of the tool's parts, which nobody else can change or replace.

    Raises:
        BootError: others can.
        OSError: the folder cannot be made.
    """
    check_safe(tool)
    umask = os.umask(0o022)
    try:
        tool.mkdir(parents=True, exist_ok=True)
    finally:
        os.umask(umask)
    check_safe(tool)  # somebody may have been quicker, in a folder like /tmp


def check_safe(tool: Path) -> None:
    """Check the folder and all that is passed on the way to it.

    Raises:
        BootError: others can change or replace it.
        OSError: a part cannot be looked at.
    """
    from airgap.ownership import changeable_by_others

    part = changeable_by_others(tool)
    if part is not None:
        raise BootError(
            f"other users can change {part}, so the tool's parts are not safe in {tool}; "
            "name another folder with --root DIR"
        )


def unpack(pyz: Path, platform: str, files: "dict[str, str]", folder: Path) -> None:
    """Write the native parts to `folder`, which appears only when it is complete.

    Raises:
        BootError: the zip is damaged, or others could change the parts.
        OSError: the folder cannot be written.
    """
    from airgap.ownership import open_locked

    tool = folder.parent
    owners = [0, os.geteuid()]
    umask = os.umask(0o022)
    try:
        tool.mkdir(parents=True, exist_ok=True)
        if not is_private(tool, owners):
            raise BootError(
                f"{tool} belongs to another user or others can write to it, so the tool's parts "
                "are not safe there; name another folder with --root DIR"
            )
        with os.fdopen(open_locked(tool / "lock", fcntl.LOCK_EX)):
            if is_intact(folder, files, owners):
                return  # another start of the tool was quicker
            unfinished = tool / "unfinished"
            for leftover in (unfinished, folder):
                if leftover.exists():
                    shutil.rmtree(str(leftover))
            write_parts(pyz, platform, files, unfinished)
            unfinished.rename(folder)
    finally:
        os.umask(umask)


def write_parts(pyz: Path, platform: str, files: "dict[str, str]", folder: Path) -> None:
    """Write one platform's native parts from the zip, each checked on the way.

    Raises:
        BootError: a part is not what native.json says.
    """
    importer = zipimporter(str(pyz))
    for name, digest in files.items():
        try:
            data = importer.get_data(f"native/{platform}/{name}")
        except (ImportError, EOFError, OSError, zlib.error):
            data = b""
        if hashlib.sha256(data).hexdigest() != digest:
            raise BootError(f"{pyz} is damaged: {name} is not what it should be", INTEGRITY)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def import_native_part(folder: Path) -> None:
    """Import one small native module, to see early whether the host allows it.

    Raises:
        BootError: it does not; mostly because of a file system mounted noexec.
    """
    try:
        import_module("_cffi_backend")
    except ImportError as error:
        raise BootError(
            f"this host does not let programs in {folder} run (is it mounted noexec?): {error}; "
            "name another folder with --root DIR"
        ) from error
