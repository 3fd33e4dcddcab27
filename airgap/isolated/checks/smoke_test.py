"""The postcondition: an image with a RUN step is built for every platform, and pushed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from airgap.builder import buildx_instance
from airgap.builder.buildx_instance import INSTANCE, local_node
from airgap.bundle.contents import ImageEntry
from airgap.errors import BuildError
from airgap.isolated.context import CheckResult, Context
from airgap.isolated.host import binfmt
from airgap.isolated.host.system import last_lines
from airgap.isolated.nodes.registered import nodes
from airgap.isolated.services.containers import BUILDER
from airgap.oci.platform import Platform, native_platform

_REPOSITORY = "airgap/probe"
# The program prints the machine's name; `#7 0.123 aarch64` is how buildx shows it.
_DOCKERFILE = """\
FROM {base}
ARG TARGETARCH
COPY --chmod=755 probe-$TARGETARCH /airgap-probe
RUN ["/airgap-probe"]
"""


def probe(context: Context) -> CheckResult:
    """Build and push, as the user would.

    Raises:
        BuildError: The build failed, or a platform's step ran on another machine.
    """
    native = native_platform()
    emulated = context.desired.emulated(native)
    platforms = [platform for platform in (native, *emulated) if binfmt.is_known(platform)]
    base = _base(context, platforms)
    with tempfile.TemporaryDirectory(prefix="airgap-probe-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # buildx runs as the user
        (folder / "Dockerfile").write_text(_DOCKERFILE.format(base=base))
        for platform in platforms:
            program = folder / f"probe-{platform.architecture}"
            program.write_bytes(binfmt.probe_program(platform))
        command = _command(context, platforms, folder)
        with _this_host(context) as prefix:
            done = context.user.run([*prefix, *command])
    if done.returncode != 0:
        raise BuildError(
            "the host is set up, but a test build fails",
            meaning=last_lines(done.stderr),
            remedy="airgap status shows what is not well",
        )
    machines = set(re.findall(r"^#\d+ \d+\.\d+ (\S+)$", done.stderr, re.M))
    for platform in platforms:
        if not any(binfmt.is_machine_of(platform, machine) for machine in machines):
            raise BuildError(f"a RUN step for {platform} ran on {', '.join(sorted(machines))}")
    names = ", ".join(map(str, platforms))
    return CheckResult(
        True, f"built for {names} from {base}, and pushed to {context.settings.registry}"
    )


@contextmanager
def _this_host(context: Context) -> Iterator[list[str]]:
    """Make buildx build on this host alone: its nodes do not reach its loopback."""
    if not nodes(context.state):
        yield []
        return
    with buildx_instance.alone(context.user.run, [local_node(INSTANCE, BUILDER)]) as variable:
        yield ["env", variable]


def _base(context: Context, platforms: Sequence[Platform]) -> str:
    """Return an image of the mirror that is there for all platforms, else none at all."""

    def fits(image: ImageEntry) -> bool:
        return "base" in image.roles and all(map(image.serves, platforms))

    found = next((image for image in context.desired.images.values() if fits(image)), None)
    return found.reference.familiar if found else "scratch"


def _command(context: Context, platforms: Sequence[Platform], folder: Path) -> list[str]:
    """Without a time stamp or attestation the pushed image has the same digest every time."""
    name = f"{context.settings.registry}/{_REPOSITORY}:latest"
    return [
        *["docker", "buildx", "build", "--builder", INSTANCE, "--progress", "plain", "--no-cache"],
        *["--platform", ",".join(map(str, platforms)), "--provenance", "false"],
        *["--build-arg", "SOURCE_DATE_EPOCH=0"],
        *["--output", f"type=image,name={name},push=true,rewrite-timestamp=true", str(folder)],
    ]
