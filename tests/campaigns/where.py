"""When and where results come from: the machine, and the versions of what takes part."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from airgap import __version__
from lab.parts import PARTS


def machine() -> dict[str, str]:
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "processors": str(os.cpu_count()),
        "memory": f"{kilobytes / (1 << 20):.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    return {
        "airgap": f"{__version__}, commit {_commit()}",
        "Python": platform.python_version(),
        "registry (distribution)": PARTS["registry"].version,
        "Docker Engine (Go module moby/v2)": PARTS["dockerd"].version,
    }


def _commit() -> str:
    """The commit that is checked out, and whether there are changes beside it."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty= with changes"]
    folder = Path(__file__).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
