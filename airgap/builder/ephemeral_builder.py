"""BuildKit and a mirror for a short time, from a bundle's own images: to record and to rehearse.

Everything of it is removed at the end: containers, their volumes, the network, images, and
emulators that it registered.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from airgap.builder.binfmt_table import TABLE, foreign_architectures, not_registered
from airgap.builder.buildx import Builder, Buildx
from airgap.builder.config import buildkitd_toml
from airgap.builder.engine import ContainerSpec, Engine
from airgap.builder.ephemeral_containers import (
    buildkit_container,
    registry_container,
    registry_yml,
    wait_for_buildkit,
)
from airgap.builder.registry_server import RegistryServer
from airgap.bundle.contents import ImageEntry
from airgap.errors import HostError
from airgap.limits import LIMITS
from airgap.oci.platform import Platform
from airgap.ownership import changeable_by_others, open_locked
from airgap.progress import Progress
from airgap.store.export import export
from airgap.store.store import Store

ROLES = ("registry", "builder", "buildx")
"""Roles without which there is no workshop; to build for other platforms it needs an emulator."""

_NAME = "airgap-workshop"
_FOLDER, _LOCK = "workshop", "workshop.lock"
_MIRROR = f"{_NAME}-mirror"
_BUILDER = f"{_NAME}-buildkitd"
_EMULATOR = f"{_NAME}-emulator"


@dataclass(frozen=True, slots=True)
class BuilderInputs:
    """What an ephemeral builder is made of.

    Attributes:
        store: Holds the images, and is what the mirror serves.
        roles: Role to image.
        native: What this host runs without an emulator.
        platforms: What is built for.
        folder: For its own files, short-lived; see `ephemeral_folder`.
    """

    store: Store
    roles: Mapping[str, ImageEntry]
    native: Platform
    platforms: Sequence[Platform]
    folder: Path


@dataclass(frozen=True, slots=True)
class _Place:
    """Where things are: this host as the builder sees it, the mirror, and the network they share.

    Without a network of its own that is the host's.
    """

    host: str
    mirror: str
    network: str = ""


@contextmanager
def ephemeral_folder(cache: Path) -> Iterator[Path]:
    """Make the folder of a user's only ephemeral builder, and remove it at the end.

    Args:
        cache: Where it is made; what a killed run left there is removed first.

    Raises:
        HostError: There is one already, or the folder cannot be written.
    """
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_safe(cache)
        lock = open_locked(cache / _LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HostError(
            "another airgap records or rehearses builds on this machine",
            remedy="wait until it has ended",
        ) from error
    except OSError as error:
        raise HostError(f"cannot write {cache}: {error.strerror}") from error
    folder = cache / _FOLDER
    try:
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise HostError(f"cannot write {folder}: {error.strerror}") from error
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def open_ephemeral_builder(
    material: BuilderInputs, hosts: Sequence[str], progress: Progress, *, closed: bool
) -> Iterator[Builder]:
    """Start the builder, and remove it at the end.

    Args:
        material: What it is made of.
        hosts: The registry hosts that images come from.
        progress: Sees what happens.
        closed: On a network of its own without a way out, rather than the host's.

    Raises:
        HostError: Docker is not there, or refuses; or the bundle lacks a role.
    """
    _check(material)
    engine = Engine(Path(_NAME, str(os.geteuid())))
    engine.check()
    _check_alone(engine)
    progress.message("starting BuildKit and a mirror from the bundle's images")
    with ExitStack() as stack:
        for name in (_MIRROR, _BUILDER):  # of a run that was killed
            engine.remove_container(name)
        engine.remove_network(_NAME)
        images = {role: _loaded(engine, material, role, stack) for role in _needed(material)}
        if "emulator" in images:
            _register_emulators(engine, images["emulator"], material, stack)
        place = _Place("127.0.0.1", f"127.0.0.1:{_free_port()}")
        if closed:
            place = _Place(engine.make_closed_network(_NAME), f"{_MIRROR}:5000", _NAME)
            stack.callback(engine.remove_network, _NAME)
        _run(engine, stack, _mirror(material, images["registry"], place))
        _run(engine, stack, _builder(material, images["builder"], place, hosts))
        wait_for_buildkit(engine, _BUILDER)
        yield Builder(_buildx(engine, material, images["buildx"]), place.host)


def _check_safe(cache: Path) -> None:
    """Nobody else may change what is run from there.

    Raises:
        HostError: Somebody can.
    """
    part = changeable_by_others(cache)
    if part is not None:
        raise HostError(
            f"other users can change {part}",
            meaning=f"airgap runs programs that it keeps in {cache}.",
            remedy="name another folder: export XDG_CACHE_HOME=DIR",
        )


def _check_alone(engine: Engine) -> None:
    """No other user has an ephemeral builder: it would have the same containers.

    Raises:
        HostError: Somebody has.
    """
    for name in (_MIRROR, _BUILDER):
        owner = Path(engine.owner_of(name))
        if owner.parent == Path(_NAME) and not engine.is_ours(name):
            raise HostError(
                f"the user {owner.name} records or rehearses builds on this machine",
                meaning=f"The container {name} is theirs.",
                remedy="wait until that has ended; if it was killed: "
                f"docker rm --force {_MIRROR} {_BUILDER}",
            )


def _check(material: BuilderInputs) -> None:
    missing = [role for role in _needed(material) if role not in material.roles]
    if missing:
        raise HostError(
            f"the bundle has no image for the role {', '.join(missing)}",
            meaning="A build is recorded and rehearsed with what the bundle includes.",
            remedy="make it without --no-roles",
        )
    for role in _needed(material):
        if not material.roles[role].serves(material.native):
            raise HostError(
                f"the bundle's {role} is not made for {material.native}",
                meaning="This machine cannot run it.",
                remedy=f'add "{material.native}" to host_platforms',
            )


def _needed(material: BuilderInputs) -> list[str]:
    emulated = foreign_architectures(material.platforms, material.native)
    return [*ROLES, "emulator"] if emulated else list(ROLES)


def _loaded(engine: Engine, material: BuilderInputs, role: str, stack: ExitStack) -> str:
    """Return the id of a role's image in Docker, under a name that nobody else has."""
    image = material.roles[role]
    name = f"docker.io/{_NAME}/{role}:latest"
    familiar = f"{_NAME}/{role}:latest"
    stack.callback(engine.remove_image, familiar)
    engine.load(familiar, export(material.store, image, [str(material.native)], name))
    found = engine.image_id(familiar)
    if not found:
        raise HostError(f"Docker does not have {image.reference.familiar} after it was loaded")
    return found


def _register_emulators(
    engine: Engine, image: str, material: BuilderInputs, stack: ExitStack
) -> None:
    """Have the emulator's image register what is needed; what was there before stays.

    Raises:
        HostError: The kernel's table does not have it afterwards. The image's program says so,
            and ends as if all was well.
    """
    if not (TABLE / "register").exists():
        raise HostError(
            f"the kernel's table of foreign program formats is not mounted at {TABLE}",
            meaning="Emulators that are registered for a recording could not be removed again.",
            remedy=f"sudo mount -t binfmt_misc binfmt_misc {TABLE}",
        )
    foreign = foreign_architectures(material.platforms, material.native)
    before = _registered()

    def unregister() -> None:
        for entry in sorted(_registered() - before):
            engine.run_once(_EMULATOR, image, ["--uninstall", entry])

    stack.callback(unregister)
    # The contract of tonistiigi/binfmt; one that is there already is left alone.
    said = engine.run_once(_EMULATOR, image, ["--install", ",".join(foreign)])
    if missing := not_registered(foreign):
        raise HostError(
            f"the bundle's emulator image did not register {', '.join(missing)}: {said}",
            meaning="Programs of that platform do not run on this machine.",
            remedy="build for other platforms, or name another image with the role emulator",
        )


def _registered() -> set[str]:
    return {path.name for path in TABLE.glob("qemu-*")}


def _mirror(material: BuilderInputs, image: str, place: _Place) -> ContainerSpec:
    config = material.folder / "registry.yml"
    address = ":5000" if place.network else place.mirror
    config.write_text(registry_yml(read_only=True, address=address))
    spec = registry_container(_MIRROR, image, material.store.root, config, read_only=True)
    return _for_a_while(spec, place)


def _builder(
    material: BuilderInputs, image: str, place: _Place, hosts: Sequence[str]
) -> ContainerSpec:
    """BuildKit, which reaches the mirror and our server; what else it asks for fails at once."""
    config = material.folder / "buildkitd.toml"
    config.write_text(
        buildkitd_toml(hosts, [RegistryServer(place.mirror, http=True)], proxied=True)
    )
    reached = [place.host, place.mirror.partition(":")[0]]
    return _for_a_while(buildkit_container(_BUILDER, image, config, reached), place)


def _for_a_while(spec: ContainerSpec, place: _Place) -> ContainerSpec:
    return replace(spec, host_network=not place.network, network=place.network, temporary=True)


def _run(engine: Engine, stack: ExitStack, spec: ContainerSpec) -> None:
    stack.callback(engine.remove_container, spec.name)
    engine.run(spec)


def _buildx(engine: Engine, material: BuilderInputs, image: str) -> Buildx:
    data = engine.read_file(image, ["/buildx"], LIMITS.plugin_bytes)
    if data is None:
        raise HostError("the bundle's buildx image has no file /buildx")
    program = material.folder / "buildx"
    program.write_bytes(data)
    program.chmod(0o700)
    variables = {"BUILDX_CONFIG": str(material.folder / "config")}
    buildx = Buildx([str(program)], _NAME, variables)
    buildx.create(f"docker-container://{_BUILDER}")
    return buildx


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
