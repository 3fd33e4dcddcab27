"""What builds download: files of a web site, and the Dockerfiles that fetch them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import MB
from benchmarks.node_packages import PACKAGE_JSON
from benchmarks.wheels import REQUIREMENTS

_CURL, _PYTHON, _NODE = "buildpack-deps:trixie-curl", "python:3.13-slim", "node:24-slim"
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


_PIP_STEPS = """\
COPY requirements.txt /
RUN pip install --no-cache-dir --index-url SITE/simple -r /requirements.txt
"""
_NPM_STEPS = """\
WORKDIR /app
COPY package.json ./
RUN npm install --no-audit --no-fund --registry SITE/npm/
"""


def _lists(site: str) -> Mapping[str, str]:
    small = [f"{site}/{SMALL.name}/{name}" for name in SMALL.names]
    large = [f"{site}/{LARGE.name}/{name}" for name in LARGE.names]
    half = len(small) // 2
    return {
        "one-by-one": "".join(f"{url}\n" for url in small[:half]),
        "at-once": _curl_config(small[half:]),
        "large": _curl_config(large),
    }


def _requirements(_site: str) -> Mapping[str, str]:
    return {"requirements.txt": REQUIREMENTS.read_text()}


def _package_json(_site: str) -> Mapping[str, str]:
    return {"package.json": PACKAGE_JSON.read_text()}


@dataclass(frozen=True, slots=True)
class Downloads:
    """A build that downloads.

    Attributes:
        name: As in the tables.
        base: Its base image.
        steps: Of its Dockerfile; `SITE` stands for the site's URL.
        beside: From the site's URL to the files beside the Dockerfile.
    """

    name: str
    base: str
    steps: str
    beside: Callable[[str], Mapping[str, str]]

    def write(self, folder: Path, site: str) -> None:
        """Writes the context.

        Args:
            folder: Where; made here.
            site: The site's URL.
        """
        folder.mkdir()
        steps = self.steps.replace("SITE", site)
        (folder / "Dockerfile").write_text(f"FROM {self.base}\n{steps}")
        for name, text in self.beside(site).items():
            (folder / name).write_text(text)


DOWNLOADS = {
    downloads.name: downloads
    for downloads in (
        Downloads("small", _CURL, _SMALL_STEPS, _lists),
        Downloads("large", _CURL, _LARGE_STEPS, _lists),
        Downloads("both", _CURL, _SMALL_STEPS + _LARGE_STEPS, _lists),
        Downloads("pip", _PYTHON, _PIP_STEPS, _requirements),
        Downloads("npm", _NODE, _NPM_STEPS, _package_json),
    )
}


def _curl_config(urls: Sequence[str]) -> str:
    return "".join(f"url={url}\noutput=/files/{Path(url).name}\n" for url in urls)


def _write(path: Path, seed: str, size: int) -> None:
    source = random.Random(seed)
    with path.open("wb") as file:
        for start in range(0, size, _CHUNK):
            file.write(source.randbytes(min(_CHUNK, size - start)))
