"""`airgap rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airgap.cli._shared.settings import Settings, pass_settings

if TYPE_CHECKING:
    from airgap.isolated.commands.apply import Outcome


@click.command(name="rollback")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@pass_settings
def command(settings: Settings, as_json: bool) -> None:
    """Return to the state before the last bundle.

    Tags, builder and emulator become those of the bundles before; airgap itself stays, and so
    does what people pushed. An install that did not end is undone first. To go forward again,
    install the newer bundle.

    \b
    Example:
      airgap rollback
    """
    from airgap.cli._shared.table import outcome_line
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.commands.rollback import rollback
    from airgap.isolated.host.user import User
    from airgap.isolated.state.layout import State
    from airgap.views.host import RollbackResult, StepResult
    from airgap.views.view import to_json, view_of

    def show(outcome: Outcome) -> None:
        if not as_json:
            click.echo(outcome_line(outcome))

    with settings.progress() as progress:
        context = load_context(State(settings.root), User.behind_this_process(), progress)
        done = rollback(context, show)
    if as_json:
        steps = [view_of(StepResult, outcome) for outcome in done.outcomes]
        click.echo(to_json(view_of(RollbackResult, done, outcomes=steps)))
    else:
        click.echo(f"rolled back: from {done.from_bundle} to {done.to_bundle}")
