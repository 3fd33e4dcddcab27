"""Defaults of options, from the user's configuration file.

A section for each verb has the names of its options:

    [bundle]
    key = "site.key"
    jobs = 8
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from airgap.errors import HostError, UsageError


def read_defaults(path: Path, verb: str, command: click.Command) -> dict[str, Any]:
    """Return the defaults that a configuration file has for a verb, by parameter name.

    Args:
        path: The file; without it there are no defaults. Paths in it begin at its folder.
        verb: The section.
        command: Has the options.

    Raises:
        HostError: Other users can change the file.
        UsageError: The file is not TOML, or names an option that the verb does not have.
    """
    if not os.path.exists(path):  # noqa: PTH110 - False also where a folder cannot be read
        return {}
    from airgap.bounded import read_toml
    from airgap.disk import read_user_file
    from airgap.limits import LIMITS
    from airgap.ownership import changeable_by_others

    if part := changeable_by_others(path):
        raise HostError(
            f"other users can change {part}",
            meaning=f"What {path} says is done without a question.",
            remedy=f"chmod go-w {part}, or remove the file",
        )
    data = read_user_file(path, LIMITS.spec_bytes, "the configuration ")
    try:
        document = read_toml(data, LIMITS.spec_bytes)
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    section = document.get(verb, {})
    if not isinstance(section, dict):
        raise UsageError(f"{path}: {verb} must be a section: write [{verb}]")
    options = {
        name.removeprefix("--"): option
        for option in command.params
        if isinstance(option, click.Option)
        for name in option.opts
        if name.startswith("--")
    }
    if unknown := sorted(section.keys() - options.keys()):
        raise UsageError(
            f"{path}: {verb} has no option {unknown[0][:80]!r}",
            remedy=f"options of {verb}: {', '.join(sorted(options))}",
        )
    return {
        str(options[name].name): _value(options[name], value, path.parent)
        for name, value in section.items()
    }


def _value(option: click.Option, value: object, folder: Path) -> object:
    """Return a value as the command line would have it: click checks its type."""
    if isinstance(value, list):
        return [_value(option, item, folder) for item in value]
    if isinstance(option.type, click.Path) and isinstance(value, str):
        return str(folder / Path(value).expanduser())
    return value
