"""`airgap version`."""

from __future__ import annotations

import click

from airgap import __version__


@click.command(name="version")
def command() -> None:
    """Print the version of airgap.

    \b
    Example:
      airgap version
    """
    click.echo(f"airgap, version {__version__}")
