"""What a host has, so that it can be compared with what it had before."""

from __future__ import annotations

import hashlib

from airgap import log
from lab.host import IsolatedHost


def files(host: IsolatedHost, *folders: str) -> set[str]:
    """Every file, link and folder below these, with what it holds and its mode.

    Each command adds to the log, so that its content is left out.
    """
    found = set()
    for folder in folders:
        for path in host.path(folder).rglob("*"):
            name = path.relative_to(host.path("/")).as_posix()
            what = str(path.readlink()) if path.is_symlink() else ""
            if path.is_file() and not path.is_symlink() and path.name != log.NAME:
                what = hashlib.sha256(path.read_bytes()).hexdigest()
            found.add(f"{name} {what} {path.lstat().st_mode:o}")
    return found


def docker(host: IsolatedHost) -> dict[str, list[str]]:
    """Everything that Docker keeps."""
    lists = {
        "containers": ["ps", "--all", "--format", "{{.Names}}"],
        "images": ["images", "--all", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"],
        "volumes": ["volume", "ls", "--format", "{{.Name}}"],
        "networks": ["network", "ls", "--format", "{{.Name}}"],
    }
    return {
        what: sorted(host.run(["docker", *command]).stdout.splitlines())
        for what, command in lists.items()
    }


def emulators(host: IsolatedHost) -> list[str]:
    """The entries of the kernel's table of foreign formats."""
    table = host.path("/proc/sys/fs/binfmt_misc")
    return sorted({path.name for path in table.iterdir()} - {"register", "status"})
