"""What is started in parts, and ends with all of them, also when its start fails half-way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from types import TracebackType
from typing import Self


class Resource(ABC):
    """A context: entering it starts everything, leaving it ends and removes everything."""

    def __init__(self) -> None:
        self._resources = ExitStack()

    @abstractmethod
    def _begin(self) -> None:
        """Starts, and leaves in `_resources` what takes back each part."""

    def __enter__(self) -> Self:
        """Starts it.

        Raises:
            HostError: It cannot start; what had begun is taken back.
        """
        try:
            self._begin()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends it, and removes all it had."""
        self._resources.close()
