"""What is downloaded in builds: files of a web site, and Dockerfiles that fetch them."""

from __future__ import annotations

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
    """Files of a site, with bytes that do not compress; some are the same as others.

    Attributes:
        name: Their folder.
        count: How many there are.
        smallest: Bytes of the smallest, at least.
        largest: Bytes of the largest, at most.
        repeated: Every so manieth has the bytes of the one before.
    """

    name: str
    count: int
    smallest: int
    largest: int
    repeated: int

    def write(self, site: Path) -> None:
        """Writes them, the same for the same numbers."""
        folder = site / self.name
        folder.mkdir()
        source = random.Random(self.name)
        seed, size = 0, 0
        for number, name in enumerate(self.names):
            if (number + 1) % self.repeated:
                seed, size = number, source.randint(self.smallest, self.largest)
            _write(folder / name, f"{self.name} {seed}", size)

    @property
    def names(self) -> list[str]:
        """The names of all, in order."""
        return [f"{number:05}" for number in range(self.count)]


SMALL = Files("small", count=3_000, smallest=1_000, largest=40_000, repeated=10)
LARGE = Files("large", count=4, smallest=100 * MB, largest=100 * MB, repeated=4)


_SMALL_STEPS = f"""\
COPY one-by-one at-once /lists/
RUN wget -q -P /one-by-one -i /lists/one-by-one
RUN curl -fsSL --parallel --parallel-max {_PARALLEL} --create-dirs -K /lists/at-once
"""
"""One after the other on one connection, then several at once."""
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
        files: What they fetch.
    """

    name: str
    steps: str
    files: Sequence[Files]

    @property
    def downloaded(self) -> int:
        """How many files it fetches."""
        return sum(files.count for files in self.files)

    def write(self, folder: Path, site: str) -> None:
        """Writes the context.

        Args:
            folder: Where; it is made.
            site: Address of the site.
        """
        folder.mkdir()
        (folder / "Dockerfile").write_text(f"FROM {BASE}\n{self.steps}")
        small, large = (
            [f"{site}/{one.name}/{name}" for name in one.names] for one in (SMALL, LARGE)
        )
        half = len(small) // 2
        (folder / "one-by-one").write_text("".join(f"{url}\n" for url in small[:half]))
        (folder / "at-once").write_text(_curl_config(small[half:]))
        (folder / "large").write_text(_curl_config(large))


DOWNLOADS = {
    one.name: one
    for one in (
        Downloads("small", _SMALL_STEPS, (SMALL,)),
        Downloads("large", _LARGE_STEPS, (LARGE,)),
        Downloads("both", _SMALL_STEPS + _LARGE_STEPS, (SMALL, LARGE)),
    )
}


def _curl_config(urls: Sequence[str]) -> str:
    return "".join(f"url={url}\noutput=/files/{Path(url).name}\n" for url in urls)


def _write(path: Path, seed: str, size: int) -> None:
    source = random.Random(seed)
    with path.open("wb") as file:
        for start in range(0, size, _CHUNK):
            file.write(source.randbytes(min(_CHUNK, size - start)))
