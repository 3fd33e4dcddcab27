"""The tags of somebody's registry, which other hosts may set too: when this host may move one.

Whoever installs a newer bundle there moves tags, and no other host is to move them back without
being told so. A tag may be moved

- from what this host has set there, or an install has found as it wanted it: both are noted;
- by a bundle that comes, from what any bundle of this host had under that name, and by one that is
  rolled back, from its own;
- wherever the operator says so, for the images of the bundle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from airgap.bundle.contents import ImageEntry, canonical
from airgap.isolated.state import State, write_file

_FILE = "registry-tags.json"


@dataclass(frozen=True, slots=True)
class Moves:
    """What a bundle that comes or goes does to tags.

    Attributes:
        meant: Name of each of its images to the digests that its tag may be moved from.
        always: They are moved whatever they mean.
        required: Each of them has to be moved, or nothing is.
    """

    meant: Mapping[str, frozenset[str]]
    always: bool = False
    required: bool = False

    @classmethod
    def of(
        cls,
        images: Iterable[ImageEntry],
        earlier: Sequence[ImageEntry],
        *,
        always: bool = False,
        required: bool = False,
    ) -> Moves:
        """Those of a bundle's images, from what bundles had under their names before."""
        meant: dict[str, set[str]] = {image.name: {image.digest} for image in images}
        for image in earlier:
            if image.name in meant:
                meant[image.name].add(image.digest)
        frozen = {name: frozenset(digests) for name, digests in meant.items()}
        return cls(frozen, always, required)

    def allow(self, name: str, digest: str) -> bool:
        """Whether the tag of an image may be moved from what it means."""
        return name in self.meant and (self.always or digest in self.meant[name])


def noted_tags(state: State) -> dict[str, str]:
    """`SERVER/REPOSITORY:TAG` to the digest that it had when it was last this host's."""
    try:
        document = json.loads((state.root / _FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in document.items()}


def note_tags(state: State, tags: Mapping[str, str]) -> None:
    """Notes what tags mean that are as this host wants them."""
    noted = noted_tags(state)
    if noted != {**noted, **tags}:
        write_file(state.root / _FILE, canonical({**noted, **tags}))


def forget_tags(state: State) -> None:
    """Forgets them all."""
    (state.root / _FILE).unlink(missing_ok=True)
