"""What end-to-end tests share: the lab, made once and removed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lab import images
from tests.lab.host import IsolatedHost
from tests.lab.medium import Medium
from tests.lab.parts import program
from tests.lab.prepare import ready
from tests.lab.upstream import Upstream


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
def medium() -> Iterator[Callable[[int], Medium]]:
    """Makes media of a size in bytes, mounted writable; they end with the test."""
    with ExitStack() as stack:
        yield lambda size: stack.enter_context(Medium(size))
