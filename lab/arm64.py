"""What an arm64 machine is made of: Debian's kernel, an initramfs, and a disk with a Debian 13."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

from lab import debian
from lab.cache import cached
from lab.engine import arm64_folders
from lab.run import run

_HERE = Path(__file__).parent
_DISK_BYTES = 12 << 30
"""The file is sparse: what nobody writes takes no room."""

_ROOT_MODULES = ("virtio_blk", "ext4")
"""Without these there is no disk to load others from; virtio on PCI is in Debian's kernel."""

_LINKS = {
    "usr/bin/awk": "mawk",
    "usr/bin/which": "which.debianutils",
    "usr/sbin/ip6tables": "ip6tables-nft",
    "usr/sbin/iptables": "iptables-nft",
    "var/run": "/run",
}
"""What the installation of the packages would have made."""

_WIRE_CONFIG = """\
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/wire_key.pub
PermitRootLogin prohibit-password
UsePAM no
MaxSessions 100
"""
"""See sshd_config(5)."""


def kernel() -> Path:
    """Debian 13's kernel for arm64, with all it has beside it in `/usr/lib/modules`."""
    (path,) = (_kernel_package() / "boot").glob("vmlinuz-*")
    return path


def release() -> str:
    """What `uname -r` says of the kernel."""
    return kernel().name.removeprefix("vmlinuz-")


def initramfs() -> Path:
    """What the kernel starts with: a static busybox, and the modules that its disk needs."""
    busybox = debian.unpacked("busybox-static", arch="arm64") / "bin" / "busybox"
    start = (_HERE / "arm64-start.sh").read_text()
    modules = _needed_modules()

    def make(folder: Path) -> None:
        root = folder / "root"
        for name in ("bin", "dev", "disk", "modules"):
            (root / name).mkdir(parents=True)
        shutil.copy2(busybox, root / "bin" / "busybox")
        (root / "init").write_text(start)
        (root / "init").chmod(0o755)
        for number, module in enumerate(modules):  # in the order in which they are loaded
            data = lzma.decompress(module.read_bytes())
            (root / "modules" / f"{number}-{module.stem}").write_bytes(data)
        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        archive = ["cpio", "--quiet", "--create", "--format=newc", "--owner=0:0"]
        run([*archive, f"--file={folder / 'initramfs'}"], cwd=root, stdin=names)
        shutil.rmtree(root)

    ingredients = [str(busybox), start, *map(str, modules)]
    return cached("arm64 initramfs", ingredients, make) / "initramfs"


def disk() -> Path:
    """An ext4 file system with a Debian, a Docker Engine and the kernel's modules.

    Beside it is `wire_key`, with which ssh becomes root there.
    """
    folders, modules = arm64_folders(), _modules()
    init = (_HERE / "arm64-init.sh").read_text()

    def make(folder: Path) -> None:
        root, key = folder / "root", folder / "wire_key"
        for lower in reversed(folders):
            run(["cp", "--archive", f"{lower}/.", root])
        run(["cp", "--archive", modules / "usr", root])
        (root / "usr" / "sbin" / "machine-init").write_text(init)
        (root / "usr" / "sbin" / "machine-init").chmod(0o755)
        (root / "var" / "run").rmdir()
        for name, target in _LINKS.items():
            (root / name).symlink_to(target)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
        _configure_ssh(root, key.with_suffix(".pub"))
        with (folder / "disk").open("wb") as image:
            image.truncate(_DISK_BYTES)
        run(["mkfs.ext4", "-q", "-F", "-m", "0", "-d", root, folder / "disk"])
        shutil.rmtree(root)

    ingredients = [*map(str, folders), str(modules), init, Path(__file__).read_text()]
    return cached("arm64 disk", ingredients, make) / "disk"


def _configure_ssh(root: Path, key: Path) -> None:
    """Gives sshd its configuration and keys, and that of the wire the key that it lets in."""
    folder = root / "etc" / "ssh"
    shutil.copy2(root / "usr" / "share" / "openssh" / "sshd_config", folder)
    (folder / "sshd_config.d" / "lab.conf").write_text("UsePAM no\n")
    (folder / "wire_config").write_text(_WIRE_CONFIG)
    shutil.copy2(key, folder)
    run(["ssh-keygen", "-A", "-f", root])


def _kernel_package() -> Path:
    return debian.unpacked("linux-image-arm64", suite=debian.TRIXIE, arch="arm64")


def _modules() -> Path:
    """A folder with the kernel's `usr/lib/modules`, and the tables that modprobe(8) reads."""
    package = _kernel_package()

    def make(folder: Path) -> None:
        (folder / "usr").mkdir()
        run(["cp", "--archive", "--parents", "usr/lib/modules", folder], cwd=package)
        (folder / "lib").symlink_to("usr/lib")
        run(["depmod", "--basedir", folder, release()])
        (folder / "lib").unlink()

    return cached("arm64 modules", [str(package)], make)


def _needed_modules() -> list[Path]:
    """The files of `_ROOT_MODULES` and of all they depend on, in the order of their loading."""
    folder = _modules() / "usr" / "lib" / "modules" / release()
    tables = dict(line.split(":") for line in (folder / "modules.dep").read_text().splitlines())
    by_name = {Path(path).name.partition(".")[0]: path for path in tables}
    files: list[str] = []
    for name in ("crc32c_generic", *_ROOT_MODULES):
        path = by_name[name]
        files += [*reversed(tables[path].split()), path]
    return [folder / path for path in dict.fromkeys(files)]
