"""What builds download: files of a web site, and the Dockerfiles that fetch them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import MB

BASE = "buildpack-deps:trixie-curl"

_PARALLEL = 8
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Files:
    """Files of a site, with bytes that do not compress.

    Attributes:
        name: Their folder.
        count: How many there are.
        smallest: Bytes that the smallest may have; as many have less than ten times that as have
            ten to a hundred times that, and so on.
        largest: Bytes that the largest may have.
        repeated: One in so many has the bytes of the one before.
    """

    name: str
    count: int
    smallest: int
    largest: int
    repeated: int

    @property
    def names(self) -> list[str]:
        """The names of all, in order."""
        return [f"{number:05}" for number in range(self.count)]

    def write(self, site: Path) -> None:
        """Writes them, the same for the same numbers."""
        folder = site / self.name
        folder.mkdir()
        source = random.Random(self.name)
        seed, size = "", 0
        for number, name in enumerate(self.names, 1):
            if number % self.repeated:
                seed = f"{self.name} {name}"
                size = self._size(source.random())
            _write(folder / name, seed, size)

    def _size(self, share: float) -> int:
        return round(self.smallest * math.pow(self.largest / self.smallest, share))


SMALL = Files("small", count=1_000, smallest=500, largest=500_000, repeated=10)
LARGE = Files("large", count=4, smallest=100 * MB, largest=100 * MB, repeated=4)

_SMALL_STEPS = f"""\
COPY one-by-one at-once /lists/
RUN wget -q -P /one-by-one -i /lists/one-by-one
RUN curl -fsSL --parallel --parallel-max {_PARALLEL} --create-dirs -K /lists/at-once
"""
_LARGE_STEPS = """\
COPY large /lists/
RUN curl -fsSL --create-dirs -K /lists/large
"""


@dataclass(frozen=True, slots=True)
class Downloads:
    """A build that downloads.

    Attributes:
        name: As in the tables.
        steps: Of its Dockerfile.
    """

    name: str
    steps: str

    def write(self, folder: Path, site: str) -> None:
        """Writes the context.

        Args:
            folder: Where; made here.
            site: The site's URL.
        """
        folder.mkdir()
        (folder / "Dockerfile").write_text(f"FROM {BASE}\n{self.steps}")
        small = [f"{site}/{SMALL.name}/{name}" for name in SMALL.names]
        half = len(small) // 2
        (folder / "one-by-one").write_text("".join(f"{url}\n" for url in small[:half]))
        (folder / "at-once").write_text(_curl_config(small[half:]))
        large = [f"{site}/{LARGE.name}/{name}" for name in LARGE.names]
        (folder / "large").write_text(_curl_config(large))


DOWNLOADS = {
    downloads.name: downloads
    for downloads in (
        Downloads("small", _SMALL_STEPS),
        Downloads("large", _LARGE_STEPS),
        Downloads("both", _SMALL_STEPS + _LARGE_STEPS),
    )
}


def _curl_config(urls: Sequence[str]) -> str:
    return "".join(f"url={url}\noutput=/files/{Path(url).name}\n" for url in urls)


def _write(path: Path, seed: str, size: int) -> None:
    source = random.Random(seed)
    with path.open("wb") as file:
        for start in range(0, size, _CHUNK):
            file.write(source.randbytes(min(_CHUNK, size - start)))
