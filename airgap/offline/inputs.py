"""What builds are fed from: images and recordings, on this host or in a rehearsal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airgap.store.bundle_set import BundleSet
from airgap.store.store import Store


@dataclass(frozen=True, slots=True)
class BuildInputs:
    """What an offline build is fed from: images and recordings.

    Attributes:
        desired: Which there are.
        mirror: Holds the images.
        replay: Holds the recordings.
        registries: `HOST[:PORT]` of others that the builder may ask, such as a host's own.
    """

    desired: BundleSet
    mirror: Store
    replay: Store
    registries: Sequence[str] = ()
