"""`airgap mirrors`."""

from __future__ import annotations

from pathlib import Path

import click

from airgap.builder.mirrors.engines import ENGINES
from airgap.cli._shared.settings import Settings, pass_settings


@click.command(name="mirrors")
@click.option(
    "--for", "engine", type=click.Choice(list(ENGINES)), required=True, help="The engine."
)
@click.option(
    "--elsewhere",
    is_flag=True,
    help="The engine is on another host, or in a pod: name only addresses that others reach.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the files below DIR, in the tree that they belong to; / puts them in place.",
)
@click.option("--json", "as_json", is_flag=True, help="Print files and notes as JSON.")
@pass_settings
def command(
    settings: Settings, engine: str, elsewhere: bool, output: Path | None, as_json: bool
) -> None:
    """Print the configuration that other engines need.

    podman is for Podman, Buildah, skopeo and CRI-O, containerd also for Kubernetes and nerdctl.
    Nothing is written without --output. Give the command again after a bundle with images of
    further registries.

    \b
    Examples:
      airgap mirrors --for containerd
      airgap mirrors --for podman --output /
      airgap mirrors --for k3s --elsewhere --output /media/usb/node
    """
    from airgap.isolated.commands.engine_config import engine_config, write
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.host.user import User
    from airgap.isolated.state.layout import State
    from airgap.views.host import EngineConfig
    from airgap.views.view import to_json, view_of

    with settings.progress() as progress:
        work = load_context(State(settings.root), User.behind_this_process(), progress)
        config = engine_config(work, engine, elsewhere=elsewhere)
    written = write(config.files, output) if output else []
    if as_json:
        click.echo(to_json(view_of(EngineConfig, config)))
        return
    for path in written:
        click.echo(f"written: {path}")
    if not written:
        for name, text in config.files.items():
            click.echo(f"==> {name} <==\n{text}")
    for note in config.notes:
        click.echo(f"note: {note}")
