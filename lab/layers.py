"""Layers of images, as gzipped tar files with the same bytes every time."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

_LEVEL = 4
"""Of gzip: the big layers take seconds, not minutes."""


@dataclass(slots=True)
class Layer:
    """A layer in the making: later entries win over earlier ones, as in the kernel's view.

    Paths are without a leading slash; folders above an entry need no entry of their own.
    """

    _entries: dict[str, tuple[tarfile.TarInfo, Path | bytes | None]] = field(default_factory=dict)

    def file(self, path: str, content: Path | bytes | str, mode: int = 0o644) -> Layer:
        """Adds a file with the content of another file, or these bytes."""
        data = content.encode() if isinstance(content, str) else content
        entry = tarfile.TarInfo(path)
        entry.size = data.stat().st_size if isinstance(data, Path) else len(data)
        return self._add(entry, mode, data)

    def program(self, path: str, content: Path | bytes | str) -> Layer:
        """Adds a file that can be executed."""
        return self.file(path, content, 0o755)

    def folder(self, path: str, mode: int = 0o755) -> Layer:
        """Adds an empty folder."""
        entry = tarfile.TarInfo(path)
        entry.type = tarfile.DIRTYPE
        return self._add(entry, mode, None)

    def link(self, path: str, target: str) -> Layer:
        """Adds a symbolic link."""
        entry = tarfile.TarInfo(path)
        entry.type = tarfile.SYMTYPE
        entry.linkname = target
        return self._add(entry, 0o777, None)

    def without(self, path: str) -> Layer:
        """Leaves out what was added at a path and below it."""
        for name in [name for name in self._entries if f"{name}/".startswith(f"{path}/")]:
            del self._entries[name]
        return self

    def tree(self, source: Path, below: str = "") -> Layer:
        """Adds everything in a folder, but devices and sockets."""
        for path in sorted(source.rglob("*")):
            name = str(PurePosixPath(below, path.relative_to(source).as_posix()))
            if path.is_symlink():
                self.link(name, str(path.readlink()))
            elif path.is_dir():
                self.folder(name, path.stat().st_mode & 0o7777)
            elif path.is_file():
                self.file(name, path, path.stat().st_mode & 0o7777)
        return self

    def _add(self, entry: tarfile.TarInfo, mode: int, data: Path | bytes | None) -> Layer:
        entry.mode = mode
        self._entries[entry.name] = (entry, data)
        return self

    def write(self, target: Path) -> Path:
        """Writes the compressed tar and returns its path."""
        with (
            target.open("wb") as raw,
            gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for entry, data in self._entries.values():
                with _opened(data) as stream:
                    tar.addfile(entry, stream)
        return target


@contextmanager
def _opened(data: Path | bytes | None) -> Iterator[io.BufferedIOBase | None]:
    if data is None:
        yield None
    elif isinstance(data, bytes):
        yield io.BytesIO(data)
    else:
        with data.open("rb") as stream:
            yield stream
