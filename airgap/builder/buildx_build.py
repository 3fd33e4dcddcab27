"""One build whose way out is a server: a recorder, or what replays a recording."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.x509 import Certificate

from airgap.builder.build_context import BuildSource
from airgap.builder.buildx import Buildx
from airgap.builder.policy import source_policy
from airgap.replay.dockerfile import is_foreign, is_outdated, with_settings, without_syntax
from airgap.replay.redaction import Arguments, arguments_of, mask
from airgap.replay.request import PREFIX, RequestKey, read_path
from airgap.replay.run_step_settings import settings, without_settings

POLICY_VARIABLE = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"
"""Names the file with the source policy, to buildx."""


@dataclass(frozen=True, slots=True)
class Egress:
    """What the RUN steps of a build reach.

    Attributes:
        base: `HOST:PORT/airgap-TOKEN` of the server, as the builder reaches it.
        ca: Of the builder's proxy network.
        any_date: Whether apt must take release files that have expired meanwhile.
    """

    base: str
    ca: Certificate
    any_date: bool


def build(source: BuildSource, buildx: Buildx, way_out: Egress) -> int:
    """Build; the user's own files stay as they are.

    Returns:
        The exit status of buildx.

    Raises:
        HostError: There is no buildx.
    """
    with _folder(source, way_out) as folder:
        file = folder / source.name
        arguments = source.arguments.words()
        secrets = [
            f"--secret=id={path.name},src={path}" for path in sorted((folder / "run").iterdir())
        ]
        policy = {POLICY_VARIABLE: str(folder / "policy.json")}
        return buildx.build(
            [f"--file={file}", *secrets, *arguments],
            policy,
            partial(shown, way_out.base, arguments_of(source.arguments.build_args())),
        )


def shown(base: str, arguments: Arguments, line: str) -> str:
    """Return a line of buildx's as people are to see it.

    BuildKit and buildx tell what was asked for through the proxy (`logProxyRequests` in BuildKit's
    `ops/exec.go`): from our server, or that of another build, and with all secrets. And they show
    RUN steps with the settings that they are given.

    Args:
        base: `HOST:PORT/airgap-TOKEN` of our server.
        arguments: The build's, whose values are not shown.
        line: As it was said.
    """
    address, _, first = base.partition("/")
    host = re.escape(address.partition(":")[0])
    run_settings = re.sub(
        rf"http://{host}:[0-9]+/{PREFIX}-[0-9a-f]+(/\S+?)(?=:?(?:\s|$))",
        lambda match: _without_base(match[1], arguments),
        without_settings(line),
    )
    return mask(run_settings.replace(first, PREFIX), arguments)


def _without_base(path: str, arguments: Arguments) -> str:
    route = read_path(path)
    return RequestKey(route.url, arguments=arguments).shown if route else "..."


@contextmanager
def _folder(source: BuildSource, way_out: Egress) -> Iterator[Path]:
    """Make a folder for everything that buildx gets beside the user's context."""
    run_settings = settings(way_out.ca, any_date=way_out.any_date)
    text = source.text
    if not is_foreign(source.dockerfile.syntax):
        text = with_settings(text, source.dockerfile, run_settings)
    if is_outdated(source.dockerfile.syntax):
        text = without_syntax(text, source.dockerfile)
    with TemporaryDirectory(prefix="airgap-build-") as name:
        folder = Path(name)
        (folder / source.name).write_text(text, "utf-8", newline="")
        for suffix, data in source.beside.items():
            (folder / f"{source.name}{suffix}").write_bytes(data)
        (folder / "policy.json").write_text(source_policy(way_out.base))
        (folder / "run").mkdir()
        for setting in run_settings:
            (folder / "run" / setting.id).write_bytes(setting.content)
        yield folder
