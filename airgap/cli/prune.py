"""`airgap prune`."""

from __future__ import annotations

from contextlib import suppress

import click

from airgap.cli._shared.settings import Settings, pass_settings
from airgap.errors import HostError


@click.command(name="prune")
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    metavar="NUMBER",
    help="How many bundles of each name stay; 2 leaves one to go back to.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_settings
def command(settings: Settings, keep: int, dry_run: bool, as_json: bool) -> None:
    """Remove what no kept bundle needs.

    What people pushed is never touched, and a bundle stays for as long as it is the last one to
    have included a part of the installation.

    \b
    Examples:
      airgap prune --dry-run
      airgap prune --keep 1
    """
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.commands.prune import carry_out, plan_prune
    from airgap.isolated.host.user import User
    from airgap.isolated.services.docker_images import drop_unneeded
    from airgap.isolated.state.layout import State
    from airgap.progress import format_bytes
    from airgap.views.host import PruneResult
    from airgap.views.view import to_json

    state = State(settings.root)
    if not dry_run:
        state.check_writable()
    with settings.progress() as progress, state.lock("airgap prune"):
        plan = plan_prune(state, keep)
        if not dry_run:
            carry_out(state, plan, progress)
            with suppress(HostError):  # Docker does not answer: the next install does it
                drop_unneeded(load_context(state, User.behind_this_process(), progress))
    bundles = [receipt.bundle for receipt in plan.dropped]
    if as_json:
        click.echo(to_json(PruneResult(bundles, plan.images, plan.size)))
        return
    for bundle in bundles:
        click.echo(f"bundle {bundle}")
    for image in plan.images:
        click.echo(f"image {image}")
    click.echo(f"{'would be freed' if dry_run else 'freed'}: {format_bytes(plan.size)}")
