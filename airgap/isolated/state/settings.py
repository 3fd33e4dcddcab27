"""What the operator chose at install."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What the operator chose at install.

    Attributes:
        mirror_port: Where the mirror listens.
        registry_port: Where the registry for pushed images listens.
        site_registries: Registries of the site that the builder may reach: `HOST[:PORT]`.
        listen: An address of this host, IP or name, at which other machines reach mirror and
            registry too, with TLS and accounts; empty for none.
        registry_mirror: `HOST[:PORT][/PREFIX]` of the site's registry that holds the mirror;
            empty where this host does.
        registry_mirror_ca: A PEM file with the CA that signed that registry; empty
            for those that this host knows.
        rewrite_indexes: It gets indexes that name only what is carried.
        docker_mirror: dockerd is told of the mirror.
    """

    mirror_port: int = 5001
    registry_port: int = 5000
    site_registries: tuple[str, ...] = ()
    listen: str = ""
    registry_mirror: str = ""
    registry_mirror_ca: str = ""
    rewrite_indexes: bool = False
    docker_mirror: bool = True

    @property
    def mirror(self) -> str:
        """The mirror's address for this host."""
        return f"127.0.0.1:{self.mirror_port}"

    @property
    def registry(self) -> str:
        """The registry's address for this host."""
        return f"127.0.0.1:{self.registry_port}"
