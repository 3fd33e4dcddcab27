"""What a step of the installation is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from airgap.disk import check_writable
from airgap.errors import HostError
from airgap.isolated.context import CheckResult, Context, run_check


class Step(ABC):
    """One part of the installation.

    Attributes:
        name: For `--only`, and in tables.
        needs_root: Whether it changes the host beyond Docker and the user's own files.
        needs_docker: Whether it asks Docker.
        roles: Without images for these it cannot be applied.
    """

    name: ClassVar[str]
    needs_root: ClassVar[bool] = False
    needs_docker: ClassVar[bool] = True
    roles: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def check(self, context: Context) -> CheckResult:
        """Look at the host: is everything as it should be?"""

    def places(self, context: Context) -> Sequence[Path]:
        """Return the files and folders outside of the state that `apply` writes or makes."""
        del context
        return ()

    def require(self, context: Context) -> None:
        """Look beforehand for what would stop `apply`.

        It is called for every step before the first one changes anything.

        Raises:
            HostError: Something would; nothing was changed.
        """
        for path in self.places(context):
            try:
                check_writable(path)
            except OSError as error:
                raise HostError(
                    f"the step {self.name} cannot write to {path}: {error.strerror}",
                    meaning="Nothing was changed.",
                    remedy="make it writable, or leave out that step: --only names those to do",
                ) from error

    @abstractmethod
    def apply(self, context: Context) -> Mapping[str, int] | None:
        """Make the change. It is called only after a check that failed.

        Returns:
            How much was done, in numbers, by a step that counts.
        """

    @abstractmethod
    def undo(self, context: Context) -> None:
        """Take back what `apply` did; called also where it did nothing, or not all."""


def check_step(step: Step, context: Context) -> CheckResult:
    """Return a step's check, with every foreseeable error as its finding."""
    return run_check(step.name, lambda: step.check(context))
