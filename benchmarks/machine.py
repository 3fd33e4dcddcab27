"""What was measured where: the machine, and the versions of all tools."""

from __future__ import annotations

import os
import platform
import re
import ssl
from pathlib import Path

from airgap import __version__
from benchmarks.tools import Programs
from lab.parts import PARTS
from lab.run import run

_GIB = 1 << 30


def describe_machine(folder: Path) -> dict[str, str]:
    """The machine, in words.

    Args:
        folder: Where everything is written.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory / _GIB:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": run(["findmnt", "-no", "FSTYPE", "-T", folder]).strip(),
    }


def _processor() -> str:
    match = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return match[1] if match else platform.machine()


def versions(programs: Programs) -> dict[str, str]:
    """Each tool's version."""
    by_tool = {
        "airgap": __version__,
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "skopeo": run([programs.skopeo, "--version"]).split()[-1],
    }
    by_tool |= {name: PARTS[name].version for name in ("crane", "oras", "regctl", "registry")}
    if programs.hauler:
        said = run([programs.hauler, "version"])
        git = re.search(r"GitVersion:\s*(\S+)", said)
        by_tool["hauler"] = git[1] if git else "unknown"
    return by_tool
