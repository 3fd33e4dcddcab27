"""Options that a command gets as one value, so that a command has few parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any, TypeVar

_Command = TypeVar("_Command", bound=Callable[..., None])
Decorator = Callable[..., Any]
"""What click's `option` and `argument` return."""


@dataclass(frozen=True)
class OptionGroup:
    """The base of option groups: each field is the value of the option of that name."""

    @classmethod
    def add(cls, parameter: str, options: Sequence[Decorator]) -> Callable[[_Command], _Command]:
        """Make a decorator that gives a command these options.

        Args:
            parameter: The parameter of the command that takes the group.
            options: One of click's decorators for each field.
        """
        names = [field.name for field in fields(cls)]

        def decorate(command: _Command) -> _Command:
            @wraps(command)
            def grouped(*args: Any, **values: Any) -> None:  # noqa: ANN401 - passed on
                group = cls(**{name: values.pop(name) for name in names})
                command(*args, **{parameter: group}, **values)

            decorated: Any = grouped
            for option in reversed(options):
                decorated = option(decorated)
            return decorated  # type: ignore[no-any-return]

        return decorate
