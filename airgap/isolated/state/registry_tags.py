"""The tags of the site's registry, which other hosts may set too: when this host may move one.

Whoever installs a newer bundle there moves tags, and no other host is to move them back without
being told so. A tag may be moved

- from what this host has set there, or an install has found as it wanted it: both are noted;
- by a bundle that comes, from what any bundle of this host had under that tag;
- wherever the operator says so, for the images of the bundle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from airgap.bundle.contents import ImageEntry
from airgap.canonical import canonical
from airgap.isolated.host.files import write_file
from airgap.isolated.state.layout import State
from airgap.store.tags import tags_of
from airgap.trust.policy import SeenBundle

_FILE = "registry-tags.json"


@dataclass(frozen=True, slots=True)
class TagMoves:
    """What a bundle that comes does to tags.

    Attributes:
        meant: Each tag that it sets, as `REPOSITORY:TAG` in the mirror, to the digests that it may
            be moved from.
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
        history: Sequence[SeenBundle],
        *,
        always: bool = False,
        required: bool = False,
    ) -> TagMoves:
        """Return those of a bundle's images, from what bundles had under the same tags before."""
        meant = {
            tag: frozenset([digest] + [known.tags[tag] for known in history if tag in known.tags])
            for tag, digest in tags_of(images).items()
        }
        return cls(meant, always, required)

    def allow(self, tag: str, digest: str) -> bool:
        """Return whether a tag, `REPOSITORY:TAG` in the mirror, may be moved from a digest."""
        return tag in self.meant and (self.always or digest in self.meant[tag])


def noted_tags(state: State) -> dict[str, list[str]]:
    """`SERVER/REPOSITORY:TAG` to what it means if nobody else has set it since: digests.

    Those are one, and two where a push was about to change it.
    """
    try:
        document = json.loads((state.root / _FILE).read_bytes())
        return {
            str(name): [str(digest) for digest in digests] for name, digests in document.items()
        }
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def note_tags(state: State, tags: Mapping[str, Sequence[str]]) -> None:
    """Note what tags mean, or are about to mean."""
    noted = noted_tags(state)
    new = {**noted, **{name: list(digests) for name, digests in tags.items()}}
    if noted != new:
        write_file(state.root / _FILE, canonical(new))


def forget_tags(state: State) -> None:
    """Remove the list of tags."""
    (state.root / _FILE).unlink(missing_ok=True)
