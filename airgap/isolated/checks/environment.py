"""What the installation lives with and did not make: Docker, disks, the clock, the kernel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from airgap.bundle.contents import Contents
from airgap.canonical import parse_time
from airgap.disk import nearest_existing
from airgap.isolated.context import CheckResult, Context, run_check
from airgap.isolated.state.receipts import ReceiptLog
from airgap.limits import MIB
from airgap.oci.platform import native_platform
from airgap.progress import format_bytes

_SPARE_BYTES = 1024 * MIB
_SELINUX = Path("/sys/fs/selinux/enforce")
_CGROUP_V2 = Path("/sys/fs/cgroup/cgroup.controllers")
_BINFMT = Path("/proc/sys/fs/binfmt_misc/register")


def surroundings(context: Context) -> dict[str, CheckResult]:
    """Return what each check saw, by name."""
    checks = {
        "docker": (_docker, "start Docker: systemctl start docker"),
        "space": (_space, "make room: airgap prune, docker image prune, docker builder prune"),
        "clock": (_clock, "set the clock: date --set 'YYYY-MM-DD HH:MM'"),
        "kernel": (_kernel, "modprobe binfmt_misc"),
    }
    found = {}
    for name, (check, remedy) in checks.items():
        finding = run_check(name, partial(check, context))
        found[name] = finding if finding.ok else replace(finding, remedy=finding.remedy or remedy)
    return found


def _docker(context: Context) -> CheckResult:
    context.engine.check()
    cgroups = "v2" if _CGROUP_V2.exists() else "v1"
    return CheckResult(True, f"Docker {context.engine.version()}, cgroup {cgroups}")


def _space(context: Context) -> CheckResult:
    return space([context.state.root, Path(context.engine.image_folder())], _SPARE_BYTES)


def space(folders: Sequence[Path], spare: int) -> CheckResult:
    """Check that the disk of each folder has this many bytes free."""
    said = []
    for folder in folders:
        free = shutil.disk_usage(nearest_existing(folder)).free
        said.append(f"{format_bytes(free)} free for {folder}")
        if free < spare:
            return CheckResult(False, f"only {said[-1]}")
    return CheckResult(True, ", ".join(said))


def _clock(context: Context) -> CheckResult:
    bundles = ReceiptLog.read(context.state).installed()
    return clock(bundles, datetime.now(UTC))


def clock(bundles: Sequence[Contents], now: datetime) -> CheckResult:
    """Check that the clock is not earlier than the newest bundle here."""
    newest = max(bundles, key=_made)
    if now < _made(newest):
        detail = f"it is {now:%Y-%m-%d %H:%M} UTC here, and {newest.identity} was made later"
        return CheckResult(False, f"{detail}, on {newest.created}")
    return CheckResult(True, f"{now:%Y-%m-%d %H:%M} UTC")


def _made(contents: Contents) -> datetime:
    return parse_time(contents.created)


def _kernel(context: Context) -> CheckResult:
    release = f"Linux {os.uname().release}, SELinux {_selinux()}"
    if context.desired.emulated(native_platform()) and not _BINFMT.exists():
        return CheckResult(False, f"{release}, without binfmt_misc: no emulator can be registered")
    return CheckResult(True, release)


def _selinux() -> str:
    try:
        return "enforcing" if _SELINUX.read_text().strip() == "1" else "permissive"
    except OSError:
        return "not in use"
