"""`python -m benchmarks.profile`: what the parts of `airgap bundle` cost for 1 GB, each alone.

The sum is what a bundle takes of all processors together; `crane pull` does all of it but the
second hash and the reading back, which the checksum of the tar needs.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from airgap.limits import MIB
from airgap.oci.credentials import Credentials
from airgap.oci.manifest import Index, Manifest, parse
from airgap.oci.reference import parse_reference
from airgap.oci.registries import Registries
from airgap.oci.registry import RegistryClient
from benchmarks.data import DATA_SETS
from benchmarks.images import storage
from lab.cache import cache_root
from lab.upstream import Upstream

_PIECES = 1_000
_DATA = DATA_SETS["1GB"]


def main() -> None:
    """Prints CPU and wall seconds of each part."""
    piece = os.urandom(MIB)
    with TemporaryDirectory(dir=cache_root()) as folder:
        path = Path(folder, "file")
        _show("receiving it from the registry", _receive)
        _show("hashing it once", lambda: _hash(piece))
        _show("writing it to a file", lambda: _write(path, piece))
        _show("reading it back from the page cache", lambda: _read(path))


def _show(what: str, work: Callable[[], None]) -> None:
    best = min(_measured(work) for _ in range(3))
    print(f"| {what} | {best[0]:.2f} | {best[1]:.2f} |")


def _measured(work: Callable[[], None]) -> tuple[float, float]:
    """CPU and wall seconds."""
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return time.process_time() - cpu, time.monotonic() - wall


def _hash(piece: bytes) -> None:
    digest = hashlib.sha256()
    for _ in range(_PIECES):
        digest.update(piece)


def _write(path: Path, piece: bytes) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb", buffering=0) as file:
        for number in range(_PIECES):
            os.pwrite(file.fileno(), piece, number * MIB)


def _read(path: Path) -> None:
    buffer = bytearray(MIB)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _receive() -> None:
    """All layers, one after the other, through airgap's own client."""
    with (
        Upstream(storage(_DATA)) as registry,
        closing(RegistryClient(Registries(), Credentials())) as client,
    ):
        reference = parse_reference(f"{registry.address}/{_DATA.images[0]}")
        top, body = client.manifest(reference)
        index = parse(body, top.media_type, str(reference))
        if not isinstance(index, Index):
            raise TypeError
        for child in index.manifests:
            image = parse_reference(f"{registry.address}/{_DATA.repositories[0]}@{child.digest}")
            _, inner = client.manifest(image)
            manifest = parse(inner, child.media_type, str(image))
            for layer in manifest.layers if isinstance(manifest, Manifest) else ():
                with client.blob(image, layer.digest, layer.size) as reader:
                    while reader.read():
                        pass


if __name__ == "__main__":
    main()
