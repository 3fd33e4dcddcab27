"""`airgap env`."""

from __future__ import annotations

import shlex

import click

from airgap.builder.buildx_build import POLICY_VARIABLE
from airgap.builder.buildx_instance import INSTANCE, REPLAY_INSTANCE


@click.command(name="env")
def command() -> None:
    """Print shell variables that select the `airgap` builder.

    While airgap serve runs, they are sent to the recording that it serves. These are lines for
    the shell, and hold for that shell alone.

    \b
    Example:
      eval "$(airgap env)"
    """
    from airgap.isolated.commands.serve import policy_path

    path = policy_path()
    served = path.exists()
    click.echo(f"export BUILDX_BUILDER={REPLAY_INSTANCE if served else INSTANCE}")
    if served:
        click.echo(f"export {POLICY_VARIABLE}={shlex.quote(str(path))}")
