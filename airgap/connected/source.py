"""What the connected side asks of registries: a protocol, so that plans are tested as data."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from airgap.oci.manifest import Descriptor
from airgap.oci.reference import Reference


class Readable(Protocol):
    """A body that fills buffers."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fills the buffer's beginning; 0 at the end."""


class Source(Protocol):
    """`airgap.oci.registry.RegistryClient`, which documents errors."""

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """A manifest or index by digest, or else by tag, with its bytes."""

    def small_blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """The verified bytes of a config."""

    def blob(
        self, reference: Reference, digest: str, size: int
    ) -> AbstractContextManager[Readable]:
        """The bytes of a blob, not verified yet."""
