"""What the connected side asks of registries: a protocol, so that plans are tested as data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from airgap.oci.manifest import Descriptor
from airgap.oci.reference import Reference
from airgap.oci.retry import RetryBudget


class BlobStream(Protocol):
    """The bytes of a blob from some byte on: `airgap.oci.blob_reader.BlobReader`."""

    server: str
    start: int

    def read(self, most: int, /) -> bytes:
        """Return what came next; empty at the end."""


class Registry(Protocol):
    """`airgap.oci.registry.RegistryClient`, which documents errors."""

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """Return a manifest or index by digest, or else by tag, with its bytes."""

    def small_blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """Return the verified bytes of a config."""

    def blob(
        self, reference: Reference, digest: str, size: int, start: int
    ) -> AbstractContextManager[BlobStream]:
        """Return the bytes of a blob, from `start` if the server can do that, not verified yet."""

    def attempts(self, pause: Callable[[float], object]) -> RetryBudget:
        """Return the tries of one piece of work."""

    def avoid(self, server: str) -> None:
        """Have a server asked after the others for a while."""
