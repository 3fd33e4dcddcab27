"""`airgap doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from airgap.cli._shared.settings import Settings, pass_settings
from airgap.errors import AirgapError, HostError

if TYPE_CHECKING:
    from airgap.isolated.commands.apply import Outcome


@click.command(name="doctor")
@click.option("--fix", is_flag=True, help="Fix what can be fixed without the medium.")
@click.option("--deep", is_flag=True, help="Hash every blob in storage too.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_settings
def command(settings: Settings, fix: bool, deep: bool, as_json: bool) -> None:
    """Check the installation, and suggest or make fixes.

    The exit status is 9 if a check fails. With --fix it starts, writes and registers again what
    is wrong, from what is in storage, and finishes an interrupted installation. It rebuilds a
    broken install log from the bundles that are kept. Problems it cannot fix are reported; it then
    continues. Damaged blobs need the medium: airgap install DIR --repair.

    \b
    Examples:
      airgap doctor
      sudo airgap doctor --fix
    """
    from airgap.cli._shared.table import findings_table
    from airgap.isolated.commands.doctor import Host, diagnose
    from airgap.isolated.commands.doctor import fix as fix_all
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.host.user import User
    from airgap.isolated.state.layout import State
    from airgap.trust.folder import trusted_keys
    from airgap.views.host import Check
    from airgap.views.view import to_json, view_of

    def show(outcome: Outcome) -> None:
        if outcome.changed:
            click.echo(f"fixed {outcome.name}: {outcome.detail}", err=as_json)

    def failed(step: str, error: AirgapError) -> None:
        click.echo(f"not fixed {step}: {error.message}", err=as_json)

    with settings.progress() as progress:
        state, user = State(settings.root), User.behind_this_process()
        if fix:
            fix_all(Host(state, user, trusted_keys(settings.trust_dir), progress), show, failed)
        context = load_context(state, user, progress)
        results = diagnose(context, deep=deep)
    if as_json:
        click.echo(to_json({name: view_of(Check, result) for name, result in results.items()}))
    else:
        click.echo(findings_table(results))
    failing = {name: result.remedy for name, result in results.items() if not result.ok}
    if failing:
        remedies = "\n     ".join(f"{name}: {remedy}" for name, remedy in failing.items())
        raise HostError(f"checks failed: {', '.join(failing)}", remedy=remedies)
