"""What the machine must have for the lab; Debian packages are installed where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from airgap.errors import HostError
from lab.cache import locked, say
from lab.run import run

PACKAGES = {
    "apache2-utils": "htpasswd, for registries with accounts",
    "arch-test": "tells mmdebstrap whether an architecture runs here",
    "binutils": "which libraries a program needs",
    "busybox-static": "the user land of the small images",
    "cpio": "packs and unpacks first roots of kernels",
    "e2fsprogs": "file systems for media",
    "gcc": "runc is partly C",
    "gcc-aarch64-linux-gnu": "for arm64 too",
    "gpg": "signs an apt repository",
    "gpg-agent": "keeps its key",
    "iproute2": "the network of an isolated host",
    "iptables": "dockerd's own need",
    "kmod": "which modules of its kernel an arm64 machine needs",
    "libc6-dev": "runc, linked statically",
    "libc6-dev-arm64-cross": "for arm64 too",
    "libseccomp-dev": "runc with seccomp",
    "mmdebstrap": "Debian root file systems",
    "netcat-openbsd": "leads ssh to the socket of an arm64 machine",
    "openssh-client": "runs commands in an arm64 machine",
    "pkg-config": "finds libseccomp",
    "qemu-system-arm": "boots a real arm64 kernel",
    "qemu-user-static": "runs arm64 programs",
    "skopeo": "checks archives as people would",
    "strace": "shows in which order things reach the disk",
    "tini": "docker-init",
}
"""Debian package to the reason why the lab needs it."""


def require_machine() -> None:
    """Makes sure of everything the lab needs from this machine, once per run.

    Raises:
        HostError: Something is missing that the lab cannot install; all of it is named.
    """
    if os.geteuid() != 0:
        message = "the lab needs root: it makes namespaces, mounts and loop devices"
        raise HostError(message, remedy="run it as root, e.g. with sudo, on a machine for tests")
    _require_packages()
    _require_commands()
    _require_kernel()


def _require_packages() -> None:
    with locked("packages"):
        missing = [package for package in PACKAGES if not _is_installed(package)]
        if not missing:
            return
        if shutil.which("apt-get") is None:
            message = f"the lab lacks {', '.join(missing)}, and this machine has no apt"
            raise HostError(message, remedy="install these by hand; the names are Debian's")
        say(f"installing Debian packages: {' '.join(missing)}")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], env=quiet)
        install = ["apt-get", "install", "-q", "-y", "--no-install-recommends"]
        run([*install, *missing], env=quiet)


def _is_installed(package: str) -> bool:
    if shutil.which("dpkg-query") is None:
        return False
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}\n", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return "installed" in done.stdout.split()


def _require_commands() -> None:
    needed = ("go", "ip", "losetup", "mkfs.ext2", "mkfs.ext4", "mount", "nsenter", "unshare")
    missing = [command for command in needed if shutil.which(command) is None]
    if missing:
        message = f"the lab lacks the commands {', '.join(missing)}"
        remedy = "install Go 1.26 or newer (https://go.dev/dl) and util-linux"
        raise HostError(message, remedy=remedy)


def _require_kernel() -> None:
    supported = Path("/proc/filesystems").read_text().split()
    missing = [name for name in ("overlay", "ext4", "ext2", "binfmt_misc") if name not in supported]
    if not Path("/dev/loop-control").exists():
        missing.append("loop devices")
    if missing:
        message = f"this kernel lacks {', '.join(missing)}"
        remedy = "load the modules (modprobe NAME), or use another machine"
        raise HostError(message, remedy=remedy)
