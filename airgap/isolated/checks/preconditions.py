"""What must hold before install changes anything."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import socket
from collections.abc import Sequence, Set
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from airgap.bundle.archive import Archive
from airgap.bundle.replay_tar import ReplayTar
from airgap.canonical import parse_time
from airgap.disk import nearest_existing
from airgap.errors import HostError, SpaceError, UsageError, translate_os_errors
from airgap.isolated.context import Context, OpenBundle
from airgap.isolated.host.addresses import local_ip
from airgap.isolated.host.system import is_root
from airgap.isolated.services import containers
from airgap.isolated.services.site_registry import check_reached, kept_as, kept_here
from airgap.isolated.services.users_docker import check_user
from airgap.isolated.state.receipts import seen_bundle
from airgap.isolated.state.requested_urls import answers_in
from airgap.isolated.steps.base import Step, check_step
from airgap.isolated.steps.push import check_registry_moves
from airgap.limits import MIB
from airgap.oci.image_tree import documents_of
from airgap.oci.manifest import blobs_of
from airgap.oci.platform import native_platform
from airgap.progress import format_bytes
from airgap.replay.contents_rules import Documents
from airgap.store.seed import missing_blobs, needed_by
from airgap.trust import policy
from airgap.trust.policy import SeenBundle

_SPARE_BYTES = 64 * MIB
# Docker keeps its images unpacked, and for a while packed as well.
_UNPACKED = 4


def check_policy(
    bundle: OpenBundle, history: Sequence[SeenBundle], *, is_gone: bool, allow_older: bool
) -> None:
    """Check that the bundle has not expired and restores nothing that was replaced.

    Raises:
        TrustError: It is refused.
    """
    contents, now = bundle.signed.contents, datetime.now(UTC)
    expires = parse_time(contents.expires) if contents.expires else None
    policy.check_created(parse_time(contents.created), now, history)
    policy.check_expiry(expires, now, history)
    policy.check_rollback(
        seen_bundle(contents, bundle.signed.digest, answers_in(bundle.replay)),
        history,
        is_gone=is_gone,
        allow_older=allow_older,
    )


def check_host(context: Context, steps: Sequence[Step]) -> None:
    """Check that this host can do what the steps need.

    Raises:
        HostError: It cannot; nothing was changed.
        NotFoundError: An image that --load names was not included.
        TrustError: Others have set tags there that the bundle would move.
        UsageError: The state's folder cannot be given to containers.
        CredentialsError: The registry that holds the mirror wants others.
        UpstreamError: That registry is unreachable, or refuses.
    """
    _check_root(steps)
    if any(step.needs_docker for step in steps):
        _check_name(context.state.root)
        context.engine.check()
        _check_only_one(context)
    for step in steps:
        for role in step.roles:
            image = context.desired.role(role)
            if not image.serves(native_platform()):
                raise HostError(
                    f"{image.reference.familiar} is carried for {', '.join(image.platforms)}, "
                    f"and this host is {native_platform()}",
                    remedy=f'install a bundle with host_platforms = ["{native_platform()}"]',
                )
    for name in context.options.load:
        context.desired.image(name)
    names = {step.name for step in steps}
    if "push" in names:
        check_reached(context)
        check_registry_moves(context)
    _check_ports(context, names)
    if names & {"buildx", "enable"}:
        check_user(context)
    for step in steps:
        _require(step, context)


def check_space(
    context: Context,
    steps: Sequence[Step],
    archive: Archive,
    replay: ReplayTar,
    documents: Documents,
) -> None:
    """Check that the disks have enough free space.

    Raises:
        SpaceError: One cannot; nothing was changed.
    """
    images = archive.contents.images
    own = {kept_as(image) for image in kept_here(context)}
    kept = needed_by([image for image in images if kept_as(image) in own], documents)
    missing = [item for item in missing_blobs(context.state.mirror, archive) if item.digest in kept]
    missing += missing_blobs(context.state.replay, replay)
    needed = {context.state.root: sum(blob.size for blob in missing) + _SPARE_BYTES}
    if any(step.needs_docker for step in steps):
        docker = Path(context.engine.image_folder())
        needed[docker] = needed.get(docker, 0) + _UNPACKED * _to_load(context, documents)
    by_disk: dict[int, int] = {}
    for folder, size in needed.items():
        disk = nearest_existing(folder).stat().st_dev
        by_disk[disk] = by_disk.get(disk, 0) + size
        free = shutil.disk_usage(nearest_existing(folder)).free
        if by_disk[disk] > free:
            raise SpaceError(
                f"{folder} has {format_bytes(free)} free, and {format_bytes(by_disk[disk])} "
                "are needed",
                meaning="Nothing was changed.",
                remedy="make room, or choose another disk with --root DIR",
            )


def _check_root(steps: Sequence[Step]) -> None:
    needy = [step.name for step in steps if step.needs_root]
    if needy and not is_root():
        others = ",".join(step.name for step in steps if not step.needs_root)
        without = f", or do without them: --only {others}" if others else ""
        raise HostError(
            f"only root can do these steps: {', '.join(needy)}", remedy=f"use sudo{without}"
        )


def _check_name(root: Path) -> None:
    """Docker splits what it binds at colons."""
    if ":" in str(root):
        raise UsageError(
            f"{root} has a colon, which Docker takes for the end of a folder's name",
            remedy="choose another folder with --root DIR",
        )


def _check_only_one(context: Context) -> None:
    """No other installation is on this host: its containers have the names of ours."""
    others = containers.owners(context.engine) - {str(context.state.root)}
    if others:
        root = shlex.quote(min(others))
        raise HostError(
            f"this host is set up already, with --root {root}",
            meaning="Nothing was changed.",
            remedy=f"give that option, or undo that installation: airgap --root {root} uninstall",
        )


def _to_load(context: Context, documents: Documents) -> int:
    """Return bytes of the images that Docker itself is to have and has not."""
    roles = ("builder", "registry", "emulator", "buildx")
    images = {context.desired.roles[role] for role in roles if role in context.desired.roles}
    images |= {context.desired.image(name) for name in context.options.load}
    size = 0
    for image in images:
        top = documents.get(image.digest)
        if top is not None and not context.engine.image_id(image.reference.familiar):
            part = documents_of(image.digest, documents)
            size += sum(blob.size for blob in blobs_of(part).values())
    return size


def _require(step: Step, context: Context) -> None:
    """Check the requirements of a step, unless the step has nothing to do."""
    try:
        with translate_os_errors(step.name):
            step.require(context)
    except HostError:
        if not check_step(step, context).ok:
            raise


def _check_ports(context: Context, steps: Set[str]) -> None:
    """Check that all ports of the steps are free, or are our own containers'."""
    settings = context.settings
    mirror, registry = settings.mirror_port, settings.registry_port
    if mirror == registry:
        raise UsageError(f"mirror and registry cannot both have the port {mirror}")
    if "mirror" in steps and not settings.registry_mirror:
        for address in containers.mirror_addresses(context):
            _check_port(context, address, mirror, containers.MIRROR, "--mirror-port")
    if "registry" in steps:
        _check_port(context, "127.0.0.1", registry, containers.REGISTRY, "--registry-port")
    if "listen" in steps and settings.listen:
        address = local_ip(settings.listen)
        _check_port(context, address, mirror, containers.MIRROR_TLS, "--mirror-port")
        _check_port(context, address, registry, containers.REGISTRY_TLS, "--registry-port")


def _check_port(context: Context, address: str, port: int, container: str, option: str) -> None:
    """Check that a port is free, or is our own container's."""
    if (
        context.engine.is_ours(container)
        and context.engine.publisher_of(address, port) == container
    ):
        return
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise HostError(
                    f"nothing can listen at {address}:{port}: {error.strerror}",
                    remedy=f"choose another port: {option} PORT",
                ) from error
            owner = (
                context.engine.publisher_of(address, port) or _listener(port) or "another program"
            )
            raise HostError(
                f"port {port} is taken by {owner}",
                meaning="Nothing was changed.",
                remedy=f"stop it, or choose another port: {option} PORT",
            ) from error


def _listener(port: int) -> str:
    """Return the process that listens on a port, as `NAME (process ID)`; only root sees all."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                # Fields 1, 3 and 9 of proc(5): local address, state (0A is LISTEN), inode.
                if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(os.readlink(fd) in inodes for fd in (process / "fd").iterdir()):  # noqa: PTH115
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return ""
