"""`airgap uninstall`."""

from __future__ import annotations

import click

from airgap.cli._shared.settings import Settings, pass_settings


@click.command(name="uninstall")
@click.option("--purge", is_flag=True, help="Also forget which bundles were installed.")
@click.option("--purge-pushed", is_flag=True, help="Also delete the images that people pushed.")
@click.option(
    "--yes", is_flag=True, help="Do not ask before images that people pushed are deleted."
)
@pass_settings
def command(settings: Settings, purge: bool, purge_pushed: bool, yes: bool) -> None:
    """Undo the installation; keys and pushed images stay.

    The memory of which bundles were installed stays too, so that an older one is recognised
    later.

    \b
    Examples:
      airgap uninstall
      airgap uninstall --purge --purge-pushed
    """
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.commands.uninstall import uninstall
    from airgap.isolated.host.user import User
    from airgap.isolated.state.layout import State

    if purge_pushed and not yes:
        click.confirm("Delete all images that people pushed to this host?", abort=True)
    with settings.progress() as progress:
        state, user = State(settings.root), User.behind_this_process()
        work = load_context(state, user, progress, unfinished=True)
        uninstall(
            work,
            purge=purge,
            purge_pushed=purge_pushed,
            show=lambda step: click.echo(f"undone {step}"),
        )
    if work.state.pushed.exists():
        click.echo(f"kept: {work.state.pushed} (what people pushed)")
    click.echo("users who enabled themselves take it back with: docker buildx rm airgap")
