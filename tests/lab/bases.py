"""What the lab's images start from, as layers."""

from __future__ import annotations

from pathlib import Path

from tests.lab import debian
from tests.lab.layers import Layer
from tests.lab.parts import go_toolchain
from tests.lab.run import run

AMD64 = "linux/amd64"
ARM64 = "linux/arm64"
ARMV7 = "linux/arm/v7"

_DEBIAN_ARCHITECTURES = {AMD64: "amd64", ARM64: "arm64", ARMV7: "armhf"}

_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"
_FOLDERS = ("dev", "etc", "home", "proc", "run", "sys", "usr/bin", "usr/local/bin", "var/lib")


def debian_architecture(platform: str) -> str:
    """Debian's name of a platform's architecture, e.g. `armhf`."""
    return _DEBIAN_ARCHITECTURES[platform]


def busybox(platform: str, *, os_release: str = "") -> Layer:
    """A user land of one static program.

    Args:
        platform: One of those above.
        os_release: Content of /etc/os-release, if it has one.
    """
    files = debian.unpacked("busybox-static", arch=debian_architecture(platform))
    layer = Layer()
    for folder in _FOLDERS:
        layer.folder(folder)
    layer.folder("tmp", 0o1777).folder("root", 0o700)
    layer.file("etc/passwd", _PASSWD).file("etc/group", _GROUP)
    layer.file("etc/hosts", "127.0.0.1 localhost\n")
    layer.program("bin/busybox", files / "bin" / "busybox")
    for applet in run(["busybox", "--list"]).split():
        if applet != "busybox":
            layer.link(f"bin/{applet}", "busybox")
    return layer.file("etc/os-release", os_release) if os_release else layer


def alpine(platform: str) -> Layer:
    """What goes by the name of alpine here: busybox, without a package manager."""
    return busybox(platform, os_release='ID=alpine\nNAME="Alpine Linux"\nVERSION_ID=3.20.0\n')


def debian_slim(platform: str) -> Layer:
    """A minimal Debian 12."""
    arch = debian_architecture(platform)
    return Layer().tree(debian.root_file_system(debian.BOOKWORM, arch=arch))


def golang(platform: str) -> Layer:
    """Go itself, to be laid over `alpine`."""
    toolchain = go_toolchain(debian_architecture(platform))
    return Layer().tree(toolchain, "usr/local/go").folder("go", 0o777)


def shared_libraries(package: str, platform: str) -> Layer:
    """The shared libraries of a Debian package and of all it depends on."""
    root = debian.unpacked(package, arch=debian_architecture(platform))
    layer = Layer()
    for path in sorted(root.rglob("*.so*")):
        if path.is_symlink():
            layer.link(_inside(root, path), str(path.readlink()))
        elif path.is_file():
            layer.program(_inside(root, path), path)
    return layer


def _inside(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
