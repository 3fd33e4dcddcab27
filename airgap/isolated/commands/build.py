"""`airgap build`: what `install` has set up for builds from recordings."""

from __future__ import annotations

from airgap.builder.buildx import Builder, Buildx
from airgap.builder.buildx_instance import REPLAY_INSTANCE, started
from airgap.isolated.context import Context
from airgap.isolated.services.containers import REPLAYER, trusted_servers
from airgap.isolated.services.site_registry import RegistryMirror
from airgap.offline.inputs import BuildInputs

_LOOPBACK = "127.0.0.1"


def host_inputs(context: Context) -> tuple[BuildInputs, Builder]:
    """Return what `install` has set up.

    Raises:
        HostError: Docker does not answer.
    """
    began = started(REPLAYER)
    if not began:  # buildx would wait for it, and not say why
        context.engine.check()
    mirror = RegistryMirror.of(context.settings)
    registries = [context.settings.registry, *context.settings.site_registries]
    registries += [mirror.server] if mirror else []
    registries += [server.address for server in trusted_servers(context)]
    inputs = BuildInputs(context.desired, context.state.mirror, context.state.replay, registries)
    buildx = Buildx(["docker", "buildx"], REPLAY_INSTANCE)
    return inputs, Builder(buildx, _LOOPBACK, began)
