"""`airgap status`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from airgap.cli._shared.settings import Settings, pass_settings
from airgap.errors import HostError


@click.command(name="status")
@click.option("--deep", is_flag=True, help="Hash every blob in storage too; takes long.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print it as JSON, with all images and recordings."
)
@pass_settings
def command(settings: Settings, deep: bool, as_json: bool) -> None:
    """Check every part of this host's set-up; exit status 9 if one is not well.

    It shows the bundles that were installed, and what of each counts now. Then it looks at the
    containers, the mirror's images, the recordings, the emulators and your own builder; it changes
    nothing.

    \b
    Examples:
      airgap status
      airgap status --deep
      airgap status --json
    """
    from airgap.cli._shared.table import bundles_table, findings_table
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.commands.status import status
    from airgap.isolated.host.user import User
    from airgap.isolated.state.history import active
    from airgap.isolated.state.layout import State

    with settings.progress() as progress:
        state = State(settings.root)
        work = load_context(state, User.behind_this_process(), progress)
        bundles = active(state)
        findings = status(work, deep=deep)
    if as_json:
        images, recordings = work.desired.images.values(), work.desired.recordings.values()
        origins = {name: asdict(origin) for one in bundles for name, origin in one.images.items()}
        recorded = {name: asdict(one) for each in bundles for name, one in each.recordings.items()}
        document = {
            "bundles": [{**asdict(one.receipt), "roles": one.roles} for one in bundles],
            "images": {image.name: {**asdict(image), **origins[image.name]} for image in images},
            "recordings": {one.name: {**asdict(one), **recorded[one.name]} for one in recordings},
            "steps": {step: asdict(finding) for step, finding in findings.items()},
        }
        click.echo(json.dumps(document))
    else:
        click.echo(f"{bundles_table(bundles)}\n\n{findings_table(findings)}")
    unwell = [step for step, finding in findings.items() if not finding.ok]
    if unwell:
        raise HostError(f"not well: {', '.join(unwell)}", remedy="what helps: airgap doctor")
