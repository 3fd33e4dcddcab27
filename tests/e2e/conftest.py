"""What end-to-end tests share: the lab, a bundle of everything, and a host set up with it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import full_run, images
from lab.host import IsolatedHost
from lab.medium import Medium
from lab.parts import program
from lab.prepare import ready
from lab.upstream import Upstream

LEGACY = ("multiarch/qemu-user-static:x86_64-aarch64", "arm64v8/alpine")
"""Images for plain `docker build`, which Docker itself must have."""

FURTHER = ("ghcr.io/example/base:1", "docker/dockerfile:1.11", "multiarch/qemu-user-static")
"""Images that no ready-made spec names."""

MEDIUM_BYTES = 4 << 30
"""Enough for both ready-made specs."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A bundle on its way.

    Attributes:
        key: The private key it was signed with; its public half lies beside it.
        medium: The drive that holds it, in the folder `bundle`.
    """

    key: Path
    medium: Medium

    @property
    def public_key(self) -> Path:
        """What the hosts are to trust."""
        return self.key.with_suffix(".pub")


@pytest.fixture(scope="session", autouse=True)
def machine() -> None:
    """The machine has what the lab needs, and nothing is left from a killed run."""
    ready()


@pytest.fixture(scope="session")
def parts() -> Callable[..., Path]:
    """Path of a real part's program: `parts("crane")`, `parts("buildx", "arm64")`."""
    return program


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """The registry with all the lab's images, read-only; a test that writes starts its own."""
    with Upstream(images.storage()) as registry:
        yield registry


@pytest.fixture(scope="session")
def carried(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    """Both ready-made specs and what is not in them, in one bundle on one sealed medium."""
    key = full_run.make_key(tmp_path_factory.mktemp("keys"))
    specs = [full_run.BUNDLES / f"{name}.toml" for name in ("arm64-builder", "legacy-qemu")]
    with Medium(MEDIUM_BYTES) as medium:
        full_run.make_bundle(upstream, key, medium.path / "bundle", [*specs, *FURTHER])
        medium.seal()
        yield Carried(key, medium)


@pytest.fixture
def isolated_host() -> Iterator[Callable[..., IsolatedHost]]:
    """Starts hosts, proven to be isolated, without Docker; they end with the test.

    Takes the arguments of `IsolatedHost`.
    """
    with ExitStack() as stack:

        def start(*args: Any, **options: Any) -> IsolatedHost:  # noqa: ANN401 - passed on
            host = stack.enter_context(IsolatedHost(*args, **options))
            host.check_isolated()
            return host

        yield start


@pytest.fixture
def fresh_host(
    isolated_host: Callable[..., IsolatedHost], carried: Carried
) -> Callable[..., IsolatedHost]:
    """Starts hosts with Docker and the medium, whose tool was checked; nothing is installed.

    Takes the arguments of `IsolatedHost`.
    """

    def start(*args: Any, **options: Any) -> IsolatedHost:  # noqa: ANN401 - passed on
        host = isolated_host(*args, **options)
        visit(host, carried)
        return host

    return start


@pytest.fixture(scope="module")
def installed(carried: Carried) -> Iterator[IsolatedHost]:
    """A host that was set up from the medium; tests of one file share it and leave it set up."""
    with IsolatedHost() as host:
        host.check_isolated()
        visit(host, carried)
        full_run.install(host, *(option for name in LEGACY for option in ("--load", name)))
        yield host


@pytest.fixture
def medium() -> Iterator[Callable[[int], Medium]]:
    """Makes media of a size in bytes, mounted writable; they end with the test."""
    with ExitStack() as stack:
        yield lambda size: stack.enter_context(Medium(size))


def visit(host: IsolatedHost, carried: Carried) -> None:
    """Starts Docker, plugs the medium in, and checks its tool by hand."""
    host.start_docker()
    host.attach(carried.medium)
    full_run.check_by_hand(host, carried.public_key)


@contextmanager
def started(
    host: IsolatedHost, argv: Sequence[str], user: str = "root"
) -> Iterator[subprocess.Popen[str]]:
    """A command that runs in the host beside the test, and no longer."""
    command = host.command(argv, user=user)
    with subprocess.Popen(command, stdin=-3, stdout=-1, stderr=-1, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    """Kills nsenter(1) and all that descends from it: the command would outlive it, in the host."""
    processes = [process.pid]
    for one in processes:  # grows
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                processes += map(int, children.read_text().split())
    for one in processes:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
