"""`airgap status`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from airgap.cli.settings import Settings, pass_settings
from airgap.errors import HostError


@click.command(name="status")
@click.option("--deep", is_flag=True, help="Hash every blob in storage too; takes long.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print it as JSON, with all images and recordings."
)
@pass_settings
def command(settings: Settings, deep: bool, as_json: bool) -> None:
    """Check every part of this host's set-up; exit status 9 if one is not well.

    It looks at the containers, the mirror's images, the recordings, the emulators and your own
    builder; it changes nothing.

    \b
    Examples:
      airgap status
      airgap status --deep
      airgap status --json
    """
    from airgap.cli.table import findings_table
    from airgap.isolated.host import User
    from airgap.isolated.state import State
    from airgap.isolated.status import standing_work, status

    with settings.progress() as progress:
        work = standing_work(State(settings.root), User.behind_this_process(), progress)
        findings = status(work, deep=deep)
    if as_json:
        document = {
            "images": {image.name: asdict(image) for image in work.wanted.images.values()},
            "recordings": {one.name: asdict(one) for one in work.wanted.recordings.values()},
            "steps": {step: asdict(finding) for step, finding in findings.items()},
        }
        click.echo(json.dumps(document))
    else:
        click.echo(findings_table(findings))
    unwell = [step for step, finding in findings.items() if not finding.well]
    if unwell:
        raise HostError(f"not well: {', '.join(unwell)}", remedy="what helps: airgap doctor")
