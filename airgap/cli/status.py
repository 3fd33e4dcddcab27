"""`airgap status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from airgap.cli._shared.settings import Settings, pass_settings
from airgap.errors import HostError

if TYPE_CHECKING:
    from airgap.isolated.context import CheckResult
    from airgap.isolated.state.history import ActiveBundle
    from airgap.store.bundle_set import BundleSet
    from airgap.views.host import Status


@click.command(name="status")
@click.option("--deep", is_flag=True, help="Hash every blob in storage too; takes long.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print it as JSON, with all images and recordings."
)
@pass_settings
def command(settings: Settings, deep: bool, as_json: bool) -> None:
    """Check every part of the installation.

    It shows the installed bundles, and what this host uses of each. Then it checks the containers,
    the mirror's images, the recordings, the emulators and your own builder. It changes nothing.
    The exit status is 9 if a check fails.

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
    from airgap.views.view import to_json

    with settings.progress() as progress:
        state = State(settings.root)
        context = load_context(state, User.behind_this_process(), progress)
        bundles = active(state)
        results = status(context, deep=deep)
    if as_json:
        click.echo(to_json(_view(context.desired, bundles, results)))
    else:
        click.echo(f"{bundles_table(bundles)}\n\n{findings_table(results)}")
    failing = [step for step, result in results.items() if not result.ok]
    if failing:
        raise HostError(f"checks failed: {', '.join(failing)}", remedy="what helps: airgap doctor")


def _view(
    desired: BundleSet, bundles: Sequence[ActiveBundle], results: Mapping[str, CheckResult]
) -> Status:
    from airgap.views import host
    from airgap.views.view import view_of

    images, recordings = {}, {}
    for bundle in bundles:
        for name, origin in bundle.images.items():
            source, since = desired.images[name], origin.since
            images[name] = view_of(host.InstalledImage, source, bundle=origin.bundle, since=since)
        for name, origin in bundle.recordings.items():
            recording, since = desired.recordings[name], origin.since
            recordings[name] = view_of(
                host.InstalledRecording, recording, bundle=origin.bundle, since=since
            )
    return host.Status(
        [view_of(host.ActiveBundle, bundle.receipt, roles=bundle.roles) for bundle in bundles],
        images,
        recordings,
        {step: view_of(host.Check, result) for step, result in results.items()},
    )
