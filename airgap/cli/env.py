"""`airgap env`."""

from __future__ import annotations

import shlex

import click

from airgap.builder.build import POLICY_VARIABLE
from airgap.builder.instance import INSTANCE


@click.command(name="env")
def command() -> None:
    """Print what sends plain docker build, too, to the builder `airgap`.

    These are lines for the shell, and hold for that shell alone. In a folder where airgap serve
    runs, they also send builds to its recording.

    \b
    Example:
      eval "$(airgap env)"
    """
    from airgap.isolated.serve import POLICY_ARGUMENT, SOURCE_POLICY

    click.echo(f"export BUILDX_BUILDER={INSTANCE}")
    if SOURCE_POLICY.exists():
        click.echo(f"export {POLICY_VARIABLE}={shlex.quote(str(SOURCE_POLICY.absolute()))}")
        click.echo(f"# docker buildx build --policy {POLICY_ARGUMENT} .")
        click.echo(f"# docker buildx bake --set '*.policy={POLICY_ARGUMENT}'")
