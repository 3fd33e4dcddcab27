"""Without systemd: a container that registers the emulators again whenever dockerd starts."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from airgap.builder.engine import ContainerSpec
from airgap.isolated.context import Context
from airgap.isolated.host.files import write_file
from airgap.isolated.services.containers import image_id
from airgap.oci.platform import native_platform

NAME = "airgap-emulator"
_PROGRAM = "keeper"


def spec(context: Context, folder: Path, rules: Path) -> ContainerSpec:
    """Return the container: our own static program, in the registry's image.

    Args:
        context: The context.
        folder: Holds the emulators; seen under the same path, as the rules name it.
        rules: The file with the registrations, inside `folder`.
    """
    return ContainerSpec(
        name=NAME,
        image=image_id(context, "registry"),
        entrypoint=[str(folder / _PROGRAM), str(rules)],
        binds={str(folder): f"{folder}:ro"},
        privileged=True,
        config_digest=hashlib.sha256(rules.read_bytes()).hexdigest(),
    )


def run(context: Context, folder: Path, rules: Path) -> None:
    """Put the program beside the emulators and start the container."""
    name = f"keeper-{native_platform().architecture}"
    program = resources.files("airgap.isolated").joinpath("programs", name).read_bytes()
    write_file(folder / _PROGRAM, program, 0o755)
    context.engine.run(spec(context, folder, rules))
