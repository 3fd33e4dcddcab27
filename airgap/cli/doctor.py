"""`airgap doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from airgap.cli._shared.settings import Settings, pass_settings
from airgap.errors import AirgapError, HostError

if TYPE_CHECKING:
    from airgap.isolated.commands.apply import Outcome


@click.command(name="doctor")
@click.option("--fix", is_flag=True, help="Mend what can be mended without the medium.")
@click.option("--deep", is_flag=True, help="Hash every blob in storage too.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_settings
def command(settings: Settings, fix: bool, deep: bool, as_json: bool) -> None:
    """Check the set-up and what it lives with, and say what helps; exit status 9 if not well.

    With --fix it starts, writes and registers again what is not as it should be, from what is in
    storage; what it cannot mend it names, and goes on. An install that did not end is finished,
    and receipts that are broken are made anew of the bundles that are kept. What the disk has
    damaged needs the medium: airgap install DIR --repair.

    \b
    Examples:
      airgap doctor
      sudo airgap doctor --fix
    """
    from airgap.cli._shared.table import findings_table
    from airgap.isolated.commands.doctor import Host, diagnose
    from airgap.isolated.commands.doctor import fix as mend
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.host.user import User
    from airgap.isolated.state.layout import State
    from airgap.trust.folder import trusted_keys

    def show(outcome: Outcome) -> None:
        if outcome.changed:
            click.echo(f"mended {outcome.name}: {outcome.detail}", err=as_json)

    def failed(step: str, error: AirgapError) -> None:
        click.echo(f"not mended {step}: {error.message}", err=as_json)

    with settings.progress() as progress:
        state, user = State(settings.root), User.behind_this_process()
        if fix:
            mend(Host(state, user, trusted_keys(settings.trust_dir), progress), show, failed)
        work = load_context(state, user, progress)
        found = diagnose(work, deep=deep)
    if as_json:
        click.echo(json.dumps({name: asdict(one) for name, one in found.items()}))
    else:
        click.echo(findings_table(found))
    unwell = {name: one.remedy for name, one in found.items() if not one.ok}
    if unwell:
        remedies = "\n     ".join(f"{name}: {remedy}" for name, remedy in unwell.items())
        raise HostError(f"not well: {', '.join(unwell)}", remedy=remedies)
