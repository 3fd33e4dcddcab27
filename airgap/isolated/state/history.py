"""What was installed when, by whom, and what of it is still in use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from airgap.bundle.contents import Contents, ImageEntry, RecordingEntry
from airgap.isolated.state.layout import State
from airgap.isolated.state.receipts import Receipt, ReceiptLog
from airgap.store.bundle_set import BundleSet

_BASE = "base"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an image or a recording is from.

    Attributes:
        bundle: `NAME-SERIAL` of the bundle that included it as it is now.
        since: When that was installed.
    """

    bundle: str
    since: str


@dataclass(frozen=True, slots=True)
class ActiveBundle:
    """A bundle that makes up this host, and what of it counts.

    Attributes:
        receipt: Of its install.
        roles: What this host is set up with from it: `builder`, `registry` and the like.
        images: Name of each image that is unchanged since this bundle, to its origin.
        recordings: The same for recordings.
    """

    receipt: Receipt
    roles: Sequence[str]
    images: Mapping[str, Origin]
    recordings: Mapping[str, Origin]


def active(state: State) -> list[ActiveBundle]:
    """Return the bundles that make up this host, in the order of their install.

    Raises:
        TrustError: The receipts are broken.
    """
    log = ReceiptLog.read(state)
    return active_bundles(log.active(), log.installed())


def active_bundles(record: Sequence[Receipt], bundles: Sequence[Contents]) -> list[ActiveBundle]:
    """Return what is in use of each bundle: an image that never changed is the earliest one's.

    Args:
        record: The receipt of each bundle, in the order of their install.
        bundles: Their contents.
    """
    desired = BundleSet.of(bundles)
    images = _origins(record, [bundle.images for bundle in bundles])
    recordings = _origins(record, [bundle.recordings for bundle in bundles])
    return [
        ActiveBundle(
            receipt,
            sorted(
                role
                for role, image in desired.roles.items()
                if role != _BASE and images[image.name].bundle == receipt.bundle
            ),
            _of(images, receipt),
            _of(recordings, receipt),
        )
        for receipt in record
    ]


def _origins(
    record: Sequence[Receipt], included: Sequence[Iterable[ImageEntry | RecordingEntry]]
) -> dict[str, Origin]:
    """Return name to the bundle since which it has the digest that it has now."""
    found: dict[str, tuple[str, Origin]] = {}
    for receipt, entries in zip(record, included, strict=True):
        for entry in entries:
            if entry.name not in found or found[entry.name][0] != entry.digest:
                found[entry.name] = (entry.digest, Origin(receipt.bundle, receipt.at))
    return {name: origin for name, (_, origin) in found.items()}


def _of(origins: Mapping[str, Origin], receipt: Receipt) -> dict[str, Origin]:
    return {name: origin for name, origin in origins.items() if origin.bundle == receipt.bundle}
