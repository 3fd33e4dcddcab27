"""The containers that run on the isolated host, as they should be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from airgap.builder.config import buildkitd_toml
from airgap.builder.containers import buildkit_container, registry_container, registry_yml
from airgap.builder.engine import ContainerSpec
from airgap.builder.registry_server import RegistryServer
from airgap.errors import HostError
from airgap.isolated.joined import joined
from airgap.isolated.registry_mirror import RegistryMirror
from airgap.isolated.state import write_file
from airgap.isolated.step import Finding, Work
from airgap.oci.platform import native_platform
from airgap.oci.registries import bracketed

MIRROR = "airgap-mirror"
REGISTRY = "airgap-registry"
MIRROR_TLS, REGISTRY_TLS = f"{MIRROR}-tls", f"{REGISTRY}-tls"
BUILDER = "airgap-buildkitd"
REPLAYER = "airgap-replay"
"""The builder for builds from recordings; each builder's cache is a volume of its name."""

_AUTHORITIES = "/etc/airgap/ca"

BUILDERS = (BUILDER, REPLAYER)


def mirror_spec(work: Work) -> ContainerSpec:
    """The mirror: read-only in every way, for this host and for containers on its bridge."""
    storage, port = work.state.mirror.root, work.settings.mirror_port
    return _registry_spec(work, MIRROR, storage, mirror_addresses(work), port, read_only=True)


def mirror_addresses(work: Work) -> list[str]:
    """Where the mirror listens: on loopback, and on the bridge if there is one."""
    gateway = work.engine.bridge_gateway()
    return ["127.0.0.1", gateway] if gateway else ["127.0.0.1"]


def mirror_servers(work: Work) -> list[RegistryServer]:
    """The mirror, at every address at which this host's engines reach it, the first asked first."""
    somebodys = RegistryMirror.of(work.settings)
    if somebodys is not None:
        return [somebodys.as_engines_reach_it()]
    port = work.settings.mirror_port
    return [RegistryServer(f"{address}:{port}", http=True) for address in mirror_addresses(work)]


def registry_servers(work: Work) -> list[RegistryServer]:
    """The registries that people push to, and those that are trusted by our own means."""
    return [RegistryServer(work.settings.registry, http=True), *trusted_servers(work)]


def trusted_servers(work: Work) -> list[RegistryServer]:
    """All that have TLS by an authority of an airgap, which this host's programs are told of."""
    node = joined(work.state)
    return [*listening(work), *(node.registries if node else ())]


def listening(work: Work) -> list[RegistryServer]:
    """Mirror and registry as other machines reach them, if they do and are here."""
    settings = work.settings
    if not settings.listen:
        return []
    ports = [] if settings.registry_mirror else [settings.mirror_port]
    addresses = [
        f"{bracketed(settings.listen)}:{port}" for port in (*ports, settings.registry_port)
    ]
    return [
        RegistryServer(address, ca=str(work.state.authority / "ca.crt")) for address in addresses
    ]


def registry_spec(work: Work) -> ContainerSpec:
    """The registry for what people push, for this host alone."""
    port = work.settings.registry_port
    return _registry_spec(work, REGISTRY, work.state.pushed, ["127.0.0.1"], port, read_only=False)


def builder_spec(work: Work, name: str) -> ContainerSpec:
    """One of `BUILDERS`. Its own requests reach loopback and the site's registries, no others.

    That for recordings gives all RUN steps BuildKit's proxy network. For a single build, buildx
    can ask for it with a policy: that costs each request milliseconds, and BusyBox's wget fails.
    """
    config, digest = _config(work, name)
    own = ["127.0.0.1", "localhost", "::1"]
    servers = [*_builders_mirror(work), *registry_servers(work)]
    reached = [*own, *work.settings.site_registries, *(server.address for server in servers)]
    authorities = {server.ca: f"{_inside(server)}:ro,z" for server in servers if server.ca}
    node = joined(work.state) if name == BUILDER else None
    read = authorities | (node.binds if node else {})
    # A key changes only with its certificate, and not everybody may read it.
    public = [file for file in read if not file.endswith(".key")]
    spec = buildkit_container(name, image_id(work, "builder"), config, reached)
    return replace(
        spec,
        binds={name: "/var/lib/buildkit:rw", **read, **spec.binds},
        host_network=True,
        config_digest=_with_files(digest, public),
    )


def check_container(work: Work, spec: ContainerSpec) -> Finding:
    """Whether a container runs as it should, with its configuration as it should be."""
    path, _ = _config(work, spec.name)
    try:
        same = path.read_text() == config_text(work, spec.name)
    except OSError:
        same = False
    if not same:
        return Finding(False, f"{path} is not as it should be")
    problem = work.engine.container_problem(spec)
    return Finding(not problem, problem or "running")


def run_container(work: Work, spec: ContainerSpec) -> None:
    """Writes a container's configuration and runs it."""
    path, _ = _config(work, spec.name)
    write_file(path, config_text(work, spec.name).encode())
    work.progress.message(f"starting {spec.name}")
    work.engine.run(spec)


def config_text(work: Work, container: str) -> str:
    """The configuration file of one of our containers."""
    if container in BUILDERS:
        node = joined(work.state) if container == BUILDER else None
        return buildkitd_toml(
            work.wanted.hosts,
            [replace(server, ca=_inside(server)) for server in _builders_mirror(work)],
            [replace(server, ca=_inside(server)) for server in registry_servers(work)],
            proxied=container == REPLAYER,
            listener=node.listener if node else None,
        )
    return registry_yml(read_only=container == MIRROR)


def _builders_mirror(work: Work) -> list[RegistryServer]:
    """The mirror as our builders reach it: on the host's network one address is enough."""
    return mirror_servers(work)[:1]


def _inside(server: RegistryServer) -> str:
    """Where a builder reads the authority that vouches for a registry."""
    return f"{_AUTHORITIES}/{Path(server.ca).name}" if server.ca else ""


def _with_files(digest: str, files: Iterable[str]) -> str:
    """A digest of a configuration and of files that it names, which may be renewed."""
    for file in files:
        digest = hashlib.sha256(digest.encode() + Path(file).read_bytes()).hexdigest()
    return digest


def _registry_spec(
    work: Work, name: str, storage: Path, addresses: list[str], port: int, *, read_only: bool
) -> ContainerSpec:
    config, digest = _config(work, name)
    image = image_id(work, "registry")
    return replace(
        registry_container(name, image, storage, config, read_only=read_only),
        ports={5000: [(address, port) for address in addresses]},
        config_digest=digest,
    )


def _config(work: Work, container: str) -> tuple[Path, str]:
    """The configuration file of a container, and the digest of what it should hold."""
    suffix = "toml" if container in BUILDERS else "yml"
    digest = hashlib.sha256(config_text(work, container).encode()).hexdigest()
    return work.state.config / f"{container}.{suffix}", digest


def image_id(work: Work, role: str) -> str:
    """Docker's id of the image for a role.

    Raises:
        HostError: No bundle brought one, or it is not loaded.
    """
    image = work.wanted.role(role)
    found = work.engine_id(image, native_platform())
    if not found:
        raise HostError(
            f"Docker has not the image {image.reference.familiar}",
            remedy="airgap install DIR --only load",
        )
    return found
