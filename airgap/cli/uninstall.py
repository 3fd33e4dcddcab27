"""`airgap uninstall`."""

from __future__ import annotations

import click

from airgap.cli.settings import Settings, pass_settings


@click.command(name="uninstall")
@click.option("--purge", is_flag=True, help="Forget also which bundles were installed.")
@click.option("--purge-pushed", is_flag=True, help="Delete also the images that people pushed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def command(settings: Settings, purge: bool, purge_pushed: bool, yes: bool) -> None:
    """Take back what install did to this host. Trusted keys stay, and what people pushed.

    \b
    Example:
      airgap uninstall
    """
    from airgap.isolated.host import User
    from airgap.isolated.state import State
    from airgap.isolated.status import standing_work
    from airgap.isolated.uninstall import uninstall

    if purge_pushed and not yes:
        click.confirm("Delete all images that people pushed to this host?", abort=True)
    with settings.progress() as progress:
        work = standing_work(State(settings.root), User.behind_this_process(), progress)
        uninstall(
            work,
            purge=purge,
            purge_pushed=purge_pushed,
            show=lambda step: click.echo(f"undone {step}"),
        )
    if not purge_pushed:
        click.echo(f"kept: {work.state.pushed} (what people pushed)")
