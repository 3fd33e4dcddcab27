"""The containers that run on the isolated host, as they should be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from airgap.builder.config import buildkitd_toml
from airgap.builder.engine import ContainerSpec, Engine
from airgap.builder.ephemeral_containers import buildkit_container, registry_container, registry_yml
from airgap.builder.registry_server import RegistryServer
from airgap.errors import HostError
from airgap.isolated.context import CheckResult, Context
from airgap.isolated.host.addresses import local_ip
from airgap.isolated.host.files import write_file
from airgap.isolated.nodes.membership import joined
from airgap.isolated.services import docker_images
from airgap.isolated.services.drain import let_builds_end
from airgap.isolated.services.site_registry import RegistryMirror
from airgap.oci.platform import native_platform
from airgap.oci.registries import bracketed

MIRROR = "airgap-mirror"
REGISTRY = "airgap-registry"
MIRROR_TLS, REGISTRY_TLS = f"{MIRROR}-tls", f"{REGISTRY}-tls"
"""The same once more over the same storage, for other machines: with TLS and accounts."""

BUILDER = "airgap-buildkitd"
REPLAYER = "airgap-replay"
"""The builder for builds from recordings; each builder's cache is a volume of its name."""

_AUTHORITIES = "/etc/airgap/ca"

BUILDERS = (BUILDER, REPLAYER)


def mirror_spec(context: Context) -> ContainerSpec:
    """Return the mirror: read-only in every way, for this host and for containers on its bridge."""
    return _registry_spec(context, MIRROR, mirror_addresses(context), context.settings.mirror_port)


def mirror_addresses(context: Context) -> list[str]:
    """Return where the mirror listens: on loopback, and on the bridge if there is one."""
    gateway = context.engine.bridge_gateway()
    return ["127.0.0.1", gateway] if gateway else ["127.0.0.1"]


def mirror_servers(context: Context) -> list[RegistryServer]:
    """Return the mirror at every address for this host's engines, the preferred one first."""
    somebodys = RegistryMirror.of(context.settings)
    if somebodys is not None:
        return [somebodys.as_engines_reach_it()]
    port = context.settings.mirror_port
    return [RegistryServer(f"{address}:{port}", http=True) for address in mirror_addresses(context)]


def registry_servers(context: Context) -> list[RegistryServer]:
    """Return the registries that people push to, and those that are trusted by our own means."""
    return [RegistryServer(context.settings.registry, http=True), *trusted_servers(context)]


def trusted_servers(context: Context) -> list[RegistryServer]:
    """Return all that have TLS by a CA of an airgap, which this host's programs are told of."""
    node = joined(context.state)
    return [*listening(context).values(), *(node.registries if node else ())]


def listening(context: Context) -> dict[str, RegistryServer]:
    """Mirror and registry as other machines reach them, if they do and are here, by container."""
    settings = context.settings
    if not settings.listen:
        return {}
    ports = {MIRROR_TLS: settings.mirror_port, REGISTRY_TLS: settings.registry_port}
    if settings.registry_mirror:
        del ports[MIRROR_TLS]
    host, ca = bracketed(settings.listen), str(context.state.authority / "ca.crt")
    return {name: RegistryServer(f"{host}:{port}", ca=ca) for name, port in ports.items()}


def owners(engine: Engine) -> set[str]:
    """Return the folders of all states whose containers run under the names of ours."""
    return {engine.owner_of(name) for name in (MIRROR, REGISTRY, *BUILDERS)} - {""}


def registry_spec(context: Context) -> ContainerSpec:
    """Return the registry for what people push, for this host alone."""
    return _registry_spec(context, REGISTRY, ["127.0.0.1"], context.settings.registry_port)


def listening_spec(context: Context, name: str) -> ContainerSpec:
    """Return one of those that `listening` names.

    It reads its certificate when it starts: a new one means a new container.
    """
    is_mirror = name == MIRROR_TLS
    port = context.settings.mirror_port if is_mirror else context.settings.registry_port
    spec = _registry_spec(context, name, [local_ip(context.settings.listen)], port)
    certificate = str(context.state.secrets / "tls.crt")
    return replace(spec, config_digest=_with_files(spec.config_digest, [certificate]))


def builder_spec(context: Context, name: str) -> ContainerSpec:
    """Return one of `BUILDERS`. Its own requests reach only loopback and the site's registries.

    That for recordings gives all RUN steps BuildKit's proxy network. For a single build, buildx
    can ask for it with a policy: that costs each request milliseconds, and BusyBox's wget fails.
    """
    config, digest = _config(context, name)
    own = ["127.0.0.1", "localhost", "::1"]
    servers = [*_builders_mirror(context), *registry_servers(context)]
    reached = [*own, *context.settings.site_registries, *(server.address for server in servers)]
    authorities = {server.ca: f"{_inside(server)}:ro,z" for server in servers if server.ca}
    node = joined(context.state) if name == BUILDER else None
    read = authorities | (node.binds if node else {})
    # A key changes only with its certificate, and not everybody may read it.
    public = [file for file in read if not file.endswith(".key")]
    spec = buildkit_container(name, image_id(context, "builder"), config, reached)
    return replace(
        spec,
        binds={name: "/var/lib/buildkit:rw", **read, **spec.binds},
        host_network=True,
        config_digest=_with_files(digest, public),
    )


def check_container(context: Context, spec: ContainerSpec) -> CheckResult:
    """Return whether a container runs as it should, with its configuration as it should be."""
    path, _ = _config(context, spec.name)
    try:
        same = path.read_text() == config_text(context, spec.name)
    except OSError:
        same = False
    if not same:
        return CheckResult(False, f"{path} is not as it should be")
    problem = context.engine.container_problem(spec)
    return CheckResult(not problem, problem or "running")


def run_container(context: Context, spec: ContainerSpec) -> None:
    """Write a container's configuration and run it, instead of an older one of ours.

    Builds that run may end first, and the image that only the older one used goes.
    """
    if context.engine.is_running(spec.name):
        let_builds_end(context, BUILDERS, spec.name)
    path, _ = _config(context, spec.name)
    write_file(path, config_text(context, spec.name).encode())
    context.progress.message(f"starting {spec.name}")
    context.engine.run(spec)
    docker_images.drop_unneeded(context)


def config_text(context: Context, container: str) -> str:
    """Return the configuration file of one of our containers."""
    if container in BUILDERS:
        node = joined(context.state) if container == BUILDER else None
        return buildkitd_toml(
            context.desired.hosts,
            [replace(server, ca=_inside(server)) for server in _builders_mirror(context)],
            [replace(server, ca=_inside(server)) for server in registry_servers(context)],
            proxied=container == REPLAYER,
            listener=node.listener if node else None,
        )
    return registry_yml(read_only=_is_mirror(container), secured=_is_secured(container))


def _builders_mirror(context: Context) -> list[RegistryServer]:
    """Return the mirror as our builders reach it: on the host's network one address is enough."""
    return mirror_servers(context)[:1]


def _inside(server: RegistryServer) -> str:
    """Return where a builder reads the CA that signed a registry."""
    return f"{_AUTHORITIES}/{Path(server.ca).name}" if server.ca else ""


def _with_files(digest: str, files: Iterable[str]) -> str:
    """Return a digest of a configuration and of files that it names, which may be renewed."""
    for file in files:
        digest = hashlib.sha256(digest.encode() + Path(file).read_bytes()).hexdigest()
    return digest


def _is_mirror(container: str) -> bool:
    return container in (MIRROR, MIRROR_TLS)


def _is_secured(container: str) -> bool:
    return container in (MIRROR_TLS, REGISTRY_TLS)


def _registry_spec(context: Context, name: str, addresses: list[str], port: int) -> ContainerSpec:
    config, digest = _config(context, name)
    spec = registry_container(
        name,
        image_id(context, "registry"),
        context.state.mirror.root if _is_mirror(name) else context.state.pushed,
        config,
        read_only=_is_mirror(name),
        secrets=context.state.secrets if _is_secured(name) else None,
    )
    ports = {5000: [(address, port) for address in addresses]}
    return replace(spec, ports=ports, config_digest=digest)


def _config(context: Context, container: str) -> tuple[Path, str]:
    """Return the configuration file of a container, and the digest of what it should hold."""
    suffix = "toml" if container in BUILDERS else "yml"
    digest = hashlib.sha256(config_text(context, container).encode()).hexdigest()
    return context.state.config / f"{container}.{suffix}", digest


def image_id(context: Context, role: str) -> str:
    """Return Docker's id of the image for a role.

    Raises:
        HostError: No bundle included one, or it is not loaded.
    """
    image = context.desired.role(role)
    found = context.engine_id(image, native_platform())
    if not found:
        raise HostError(
            f"Docker does not have the image {image.reference.familiar}",
            remedy="airgap install DIR --only load",
        )
    return found
