"""The data sets that are measured."""

from __future__ import annotations

from dataclasses import dataclass

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class DataSet:
    """Images that all tools are given.

    Attributes:
        name: As in `--sizes` and in the tables.
        image_bytes: Bytes of each image's layers, of all platforms together.
        rounds: How often each tool does its work, if `--rounds` does not say.
        count: How many images there are.
    """

    name: str
    image_bytes: int
    rounds: int
    count: int = 1

    @property
    def repositories(self) -> list[str]:
        """Where the images lie in the registry."""
        if self.count == 1:
            return [f"bench/{self.name.lower()}"]
        return [f"bench/small-{number:04}" for number in range(self.count)]

    @property
    def images(self) -> list[str]:
        """The same with tags: `bench/1gb:1`."""
        return [f"{repository}:1" for repository in self.repositories]


DATA_SETS = {
    data.name: data
    for data in (
        DataSet("100MB", 100 * MB, rounds=5),
        DataSet("1GB", 1_000 * MB, rounds=3),
        DataSet("5GB", 5_000 * MB, rounds=3),
        DataSet("2000", 4_000, rounds=3, count=2_000),
    )
}
