"""A registry as an engine reaches it: what configuration of engines is made of."""

from __future__ import annotations

from dataclasses import dataclass

from airgap.store.layout import mirror_host


@dataclass(frozen=True, slots=True)
class RegistryServer:
    """A registry that serves a mirror, or takes pushes.

    Attributes:
        address: `HOST` or `HOST:PORT`.
        http: It speaks plain HTTP.
        ca: PEM file with the CA that signed it, under the path at which the engine
            reads it; empty for those that the engine knows.
        prefix: Path below which it holds the mirror; empty for none.
        flat: The names of upstream hosts are no part of the mirror's paths.
    """

    address: str
    http: bool = False
    ca: str = ""
    prefix: str = ""
    flat: bool = False

    def mirrored(self, host: str) -> str:
        """Return the address and path of an upstream host's repositories in the mirror."""
        parts = (self.address, self.prefix, "" if self.flat else mirror_host(host))
        return "/".join(part for part in parts if part)
