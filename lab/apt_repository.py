"""A signed apt repository with one package, whose release file is good for a short time only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from lab.run import run
from lab.site import Page

URL = "https://download.example.com/apt"
"""Where the pages of a repository are to be."""

_CONTROL = """\
Package: greeting
Version: 1.0
Architecture: all
Maintainer: Alice <alice@example.com>
Description: says hello
"""
_DEB = "pool/greeting.deb"
_INDEX = "main/binary-amd64/Packages"


class AptRepository:
    """The repository.

    Args:
        folder: For the package and a key that is made for it.
        seconds: For how long a release file is good, from when it is asked for.
    """

    def __init__(self, folder: Path, seconds: int) -> None:
        self._folder, self._good_for = folder, timedelta(seconds=seconds)
        self._deb = self._package()
        home = folder / "gnupg"
        home.mkdir(mode=0o700)
        self._gpg: list[str | Path] = [
            "gpg",
            "--homedir",
            home,
            "--batch",
            "--quiet",
            "--passphrase",
            "",
        ]
        run([*self._gpg, "--quick-generate-key", "alice@example.com", "ed25519", "sign", "1d"])
        self.key = folder / "key.gpg"
        run([*self._gpg, "--output", self.key, "--export"])

    @property
    def packages(self) -> bytes:
        """The index."""
        digest = hashlib.sha256(self._deb).hexdigest()
        about = f"Filename: {_DEB}\nSize: {len(self._deb)}\nSHA256: {digest}\n"
        return (_CONTROL + about).encode()

    def pages(self) -> Mapping[str, Page | Callable[[], Page]]:
        """What a site is to serve for it."""
        return {
            "/apt/dists/stable/InRelease": self._release,
            f"/apt/dists/stable/{_INDEX}": Page(self.packages),
            f"/apt/{_DEB}": Page(self._deb),
        }

    def _package(self) -> bytes:
        root = self._folder / "root"
        for path, text, mode in (
            ("DEBIAN/control", _CONTROL, 0o644),
            ("usr/bin/greeting", "#!/bin/sh\necho hello\n", 0o755),
        ):
            file = root / path
            file.parent.mkdir(parents=True, mode=0o755)
            file.write_text(text)
            file.chmod(mode)
        run(["dpkg-deb", "--build", "--root-owner-group", root, self._folder / "greeting.deb"])
        return (self._folder / "greeting.deb").read_bytes()

    def _release(self) -> Page:
        now = datetime.now(UTC)
        lines = [
            "Suite: stable",
            f"Date: {format_datetime(now, usegmt=True)}",
            f"Valid-Until: {format_datetime(now + self._good_for, usegmt=True)}",
            "Architectures: amd64",
            "Components: main",
            "SHA256:",
            f" {hashlib.sha256(self.packages).hexdigest()} {len(self.packages)} {_INDEX}",
        ]
        text = "\n".join(lines) + "\n"
        return Page(run([*self._gpg, "--clear-sign", "--output", "-"], stdin=text).encode())
