"""The tool itself: the verified `airgap.pyz` on the host, and a command that starts it."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
from pathlib import Path
from zipimport import ZipImportError, zipimporter

from airgap import processes
from airgap.bundle.contents import TOOL_NAME, FileEntry
from airgap.bundle.verify import read_file
from airgap.errors import HostError, IntegrityError
from airgap.isolated.context import CheckResult, Context, OpenBundle
from airgap.isolated.host.files import write_file
from airgap.isolated.steps.base import Step
from airgap.limits import LIMITS
from airgap.oci.platform import native_platform
from airgap.tool import bootstrap
from airgap.versions import version_in

# A folder for each version, and a link to the current one: the tool that is running while it
# installs a newer one still reads its own file.
FOLDER = Path("/usr/local/lib/airgap")
_CURRENT = FOLDER / "current"
_PYZ = _CURRENT / "airgap.pyz"
_COMMAND = Path("/usr/local/bin/airgap")
# The same Python that runs now: another one on this host may be too old.
_LAUNCHER = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I {_PYZ} "$@"\n'


class ToolStep(Step):
    """`airgap` on this host is the bundle's, or newer."""

    name = "tool"
    needs_root = True
    needs_docker = False

    def check(self, context: Context) -> CheckResult:
        """Hash the installed tool and run it."""
        if context.desired.tool is None:
            return CheckResult(True, "no bundle includes it")
        if not _COMMAND.exists():
            return CheckResult(False, f"{_COMMAND} is not there")
        if str(_PYZ) not in _text(_COMMAND):
            return CheckResult(True, f"{_COMMAND} was installed in another way, and is kept")
        file, version = context.desired.tool
        installed = _installed_version()
        if context.bundle is not None and _tool_of(context.bundle) != file:
            # The tool of a newer bundle counts, and this bundle does not have it.
            return CheckResult(bool(installed), f"airgap {installed or 'does not start'}")
        is_older = version_in(installed) < version_in(version)
        if is_older or (installed == version and not _is_whole(context, file)):
            return CheckResult(False, f"airgap {installed or 'that does not start'} is installed")
        return CheckResult(True, f"airgap {installed}")

    def places(self, context: Context) -> list[Path]:
        """Return where the tool and its command are, if a bundle includes it."""
        return [FOLDER, _COMMAND] if context.bundle is not None else []

    def apply(self, context: Context) -> None:
        """Write the tool, its native parts beside it, and the command."""
        if context.bundle is None:
            return
        contents = context.bundle.signed.contents
        data = read_file(context.bundle.media, contents, TOOL_NAME, LIMITS.tool_bytes)
        context.changes.add(self.name, str(FOLDER))
        folder = FOLDER / hashlib.sha256(data).hexdigest()[:16]
        write_file(folder / _PYZ.name, data)
        _unpack_native_parts(folder / _PYZ.name)
        _make_current(folder)
        if not _COMMAND.exists() or str(_PYZ) in _text(_COMMAND):
            context.changes.add(self.name, str(_COMMAND))
            write_file(_COMMAND, _LAUNCHER.encode(), 0o755)

    def undo(self, context: Context) -> None:
        """Remove what it wrote."""
        changed = context.changes.of(self.name)
        if str(_COMMAND) in changed and str(_PYZ) in _text(_COMMAND):
            _COMMAND.unlink()
        if str(FOLDER) in changed and FOLDER.exists():
            shutil.rmtree(FOLDER)


def _tool_of(bundle: OpenBundle) -> FileEntry:
    """Return the tool of a bundle."""
    return next(file for file in bundle.signed.contents.files if file.name == TOOL_NAME)


def _is_whole(context: Context, file: FileEntry) -> bool:
    """Return whether the installed tool has the bytes that were included.

    Another bundle may have included the same version in other bytes; it stays when that one is
    rolled back. A tool's folder is named after what it was installed with.
    """
    actual = _sha256(_PYZ)
    return actual == file.sha256 if context.bundle else actual.startswith(_CURRENT.resolve().name)


def _unpack_native_parts(pyz: Path) -> None:
    """So that users who cannot write there need not unpack their own (`airgap.tool.bootstrap`)."""
    try:
        data = zipimporter(str(pyz)).get_data("native.json")
        files = json.loads(data)["files"]
    except (ZipImportError, OSError, ValueError, KeyError) as error:
        raise IntegrityError(f"the bundle's {TOOL_NAME} is not airgap") from error
    tree = str(native_platform()).replace("/", "-")
    if tree not in files:
        raise HostError(f"the bundle's tool does not serve {native_platform()}")
    folder = pyz.parent / f"native-{hashlib.sha256(data).hexdigest()[:16]}"
    try:
        bootstrap.unpack(pyz, tree, files[tree], folder)
    except bootstrap.BootError as error:
        raise IntegrityError(str(error)) from error


def _make_current(folder: Path) -> None:
    """Move the link, and remove versions but this one and the one before."""
    before = _CURRENT.resolve().name
    link = FOLDER / ".current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    link.replace(_CURRENT)
    for old in FOLDER.iterdir():
        if old.name not in (folder.name, before, _CURRENT.name):
            shutil.rmtree(old)


def _installed_version() -> str:
    """Return what the installed tool says of itself; empty if it does not start."""
    command = [sys.executable, "-I", str(_PYZ), "--version"]
    done = processes.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split()[-1] if done.returncode == 0 and done.stdout else ""


def _text(path: Path) -> str:
    """Return a small file's text; empty if there is none, or it is not one."""
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
