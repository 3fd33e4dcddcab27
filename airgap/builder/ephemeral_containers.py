"""A registry and a BuildKit in containers, as hosts and ephemeral builders run them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from airgap.builder.engine import ContainerSpec, Engine
from airgap.errors import HostError
from airgap.waiting import wait_until

_REGISTRY_CONFIG = "/etc/airgap/registry.yml"
_SECRETS = "/etc/airgap/secrets"
_REGISTRY_STORAGE = "/var/lib/registry"
_BUILDKIT_CONFIG = "/etc/buildkit/buildkitd.toml"
_SECURED = f"""\
  tls:
    certificate: {_SECRETS}/tls.crt
    key: {_SECRETS}/tls.key
    minimumtls: tls1.2
auth:
  htpasswd:
    realm: airgap
    path: {_SECRETS}/htpasswd
"""
# Nothing listens there: what BuildKit would ask an upstream fails at once, also on a host whose
# packets are dropped.
_CLOSED_PROXY = "http://127.0.0.1:9"
_PATIENCE = 60.0


def registry_container(
    name: str,
    image: str,
    storage: Path,
    config: Path,
    *,
    read_only: bool,
    secrets: Path | None = None,
) -> ContainerSpec:
    """Return a registry.

    Args:
        name: Of the container.
        image: Id of its image.
        storage: What it serves.
        config: The file with `registry_yml`.
        read_only: Nobody can write to it, in any way.
        secrets: The folder that a configuration with `secured` reads; a folder, so that a file in
            it can be replaced.
    """
    bound = {str(secrets): f"{_SECRETS}:ro,z"} if secrets else {}
    return ContainerSpec(
        name=name,
        image=image,
        command=["serve", _REGISTRY_CONFIG],
        environment={"OTEL_TRACES_EXPORTER": "none"},
        binds={
            str(storage): f"{_REGISTRY_STORAGE}:{'ro' if read_only else 'rw'},z",
            str(config): f"{_REGISTRY_CONFIG}:ro,z",
            **bound,
        },
        read_only=read_only,
    )


def registry_yml(*, read_only: bool, secured: bool = False, address: str = ":5000") -> str:
    """Configuration for distribution 2.x and 3.x (its `docs/content/about/configuration.md`).

    Args:
        read_only: It takes no pushes.
        secured: It speaks TLS, and wants an account of a file `htpasswd`.
        address: Where it listens, in its own network.
    """
    return f"""\
version: 0.1
log:
  level: warn
storage:
  filesystem:
    rootdirectory: {_REGISTRY_STORAGE}
  delete:
    enabled: {str(not read_only).lower()}
  maintenance:
    uploadpurging:
      enabled: false
    readonly:
      enabled: {str(read_only).lower()}
http:
  addr: {address}
{_SECURED if secured else ""}"""


def buildkit_container(
    name: str, image: str, config: Path, reached: Iterable[str]
) -> ContainerSpec:
    """BuildKit.

    Args:
        name: Of the container.
        image: Id of its image.
        config: The file with `buildkitd_toml`.
        reached: Hosts that its own requests reach; all others fail at once.
    """
    return ContainerSpec(
        name=name,
        image=image,
        environment={
            "HTTP_PROXY": _CLOSED_PROXY,
            "HTTPS_PROXY": _CLOSED_PROXY,
            "NO_PROXY": ",".join(reached),
        },
        binds={str(config): f"{_BUILDKIT_CONFIG}:ro,z"},
        privileged=True,
    )


def wait_for_buildkit(engine: Engine, name: str) -> None:
    """Return once BuildKit answers.

    Raises:
        HostError: It does not; shows the end of its log.
    """

    def answers() -> bool:
        with suppress(HostError):
            return bool(buildkit_version(engine, name))
        return False

    if not wait_until(answers, seconds=_PATIENCE):
        raise HostError(f"BuildKit in {name} does not answer", meaning=engine.logs(name))


def buildkit_version(engine: Engine, name: str) -> str:
    """`BuildKit v0.32.2`, as the running daemon says.

    Raises:
        HostError: It does not answer.
    """
    said = engine.output(name, ["buildctl", "debug", "info"])
    found = re.search(r"v\d\S*", said)
    return f"BuildKit {found[0] if found else 'of unknown version'}"


def running_builds(engine: Engine, name: str) -> int:
    """Return how many builds run in a container with BuildKit.

    Raises:
        HostError: It does not answer.
    """
    records = engine.output(name, ["buildctl", "debug", "histories"]).splitlines()
    return sum(record.startswith("STARTED") for record in records)
