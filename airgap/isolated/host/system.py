"""Facts about this host."""

from __future__ import annotations

import os
from pathlib import Path

from airgap.builder.endpoint import docker_endpoint
from airgap.errors import HostError

_SYSTEMD = Path("/run/systemd/system")


_OUTPUT_LINES = 20


def docker_group() -> int:
    """Return the group whose members may use Docker; that of this process if it cannot be told."""
    try:
        return docker_endpoint().socket.stat().st_gid
    except (HostError, OSError):
        return os.getegid()


def is_root() -> bool:
    """Return whether this process may change the whole host."""
    return os.geteuid() == 0


def has_systemd() -> bool:
    """Return whether systemd runs this host (sd_booted(3))."""
    return _SYSTEMD.is_dir()


def last_lines(output: str) -> str:
    """Return the end of what a command printed, where its reason usually is."""
    return "\n".join(output.strip().splitlines()[-_OUTPUT_LINES:])
