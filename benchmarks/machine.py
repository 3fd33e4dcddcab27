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
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()


def versions(programs: Programs) -> dict[str, str]:
    """Each tool's version."""
    found = {
        "airgap": __version__,
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "skopeo": run([programs.skopeo, "--version"]).split()[-1],
    }
    found |= {name: PARTS[name].version for name in ("crane", "oras", "regctl", "registry")}
    if programs.hauler:
        said = run([programs.hauler, "version"])
        git = re.search(r"GitVersion:\s*(\S+)", said)
        found["hauler"] = git[1] if git else "unknown"
    return found
