"""Makes the images of a data set once, and keeps a registry's storage with them in the cache."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.data import DataSet
from lab import layers, publish
from lab.cache import cached
from lab.layers import Layer
from lab.publish import Image
from lab.run import run
from lab.upstream import Upstream

PLATFORMS = ("linux/amd64", "linux/arm64")
SHARES = (2, 4, 8, 16, 32, 32)
"""An image for one platform has a layer of a half of its bytes, one of a quarter and so on."""

_CHUNK = 1 << 20


def storage(data: DataSet) -> Path:
    """The storage folder of a registry with the images of a data set; it must not be changed."""

    def make(folder: Path) -> None:
        with Upstream() as registry, TemporaryDirectory(dir=folder) as scratch:
            if data.count == 1:
                _publish_large(registry, data, Path(scratch))
            else:
                _publish_small(registry, data, Path(scratch))
            run(["cp", "--archive", "--link", registry.storage, folder / "storage"])

    code = [Path(file).read_text() for file in (__file__, layers.__file__, publish.__file__)]
    ingredients = [data.name, str(data.image_bytes), str(data.count), *code]
    return cached(f"benchmark images {data.name}", ingredients, make) / "storage"


def _publish_large(registry: Upstream, data: DataSet, scratch: Path) -> None:
    """An index of two images, which share nothing."""
    images = []
    for platform in PLATFORMS:
        size = data.image_bytes // len(PLATFORMS)
        seeds = [f"{data.name} {platform} {number}" for number in range(len(SHARES))]
        parts = [
            _layer(scratch, seed, size // share) for seed, share in zip(seeds, SHARES, strict=True)
        ]
        images.append(Image(platform, parts))
    registry.publisher().publish(data.repositories[0], ["1"], images)


def _publish_small(registry: Upstream, data: DataSet, scratch: Path) -> None:
    """Images of one layer, for one platform, without an index."""
    publisher = registry.publisher()
    for repository in data.repositories:
        image = Image(PLATFORMS[0], [_layer(scratch, repository, data.image_bytes)])
        publisher.publish_single(repository, ["1"], image)


def _layer(scratch: Path, seed: str, size: int) -> Path:
    """A layer with one file of `size` bytes that do not compress, the same for the same seed."""
    name = seed.replace("/", "-").replace(" ", "-")
    content = scratch / f"{name}.data"
    source = random.Random(seed)
    with content.open("wb") as file:
        for start in range(0, size, _CHUNK):
            file.write(source.randbytes(min(_CHUNK, size - start)))
    return Layer().file("data", content).write(scratch / f"{name}.tar.gz")
