"""`airgap env`."""

from __future__ import annotations

import click

from airgap.builder.instance import INSTANCE


@click.command(name="env")
def command() -> None:
    """Print what sends plain docker build, too, to the builder `airgap`.

    It is a line for the shell, and holds for that shell alone.

    \b
    Example:
      eval "$(airgap env)"
    """
    click.echo(f"export BUILDX_BUILDER={INSTANCE}")
