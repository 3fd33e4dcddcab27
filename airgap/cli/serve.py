"""`airgap serve`."""

from __future__ import annotations

import os

import click

from airgap.cli._shared.settings import Settings, pass_settings
from airgap.spec.request_file import DEFAULT_PATH, add_to_request


@click.command(name="serve")
@click.option("--recording", default="", metavar="NAME", help="Serve this one of several.")
@click.option(
    "--build-arg",
    "build_args",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A build argument of the builds; repeatable.",
)
@pass_settings
def command(settings: Settings, recording: str, build_args: tuple[str, ...]) -> None:
    """Replay a recording to builds that you start yourself.

    In another terminal:

    \b
      eval "$(airgap env)"
      docker buildx build .
      docker buildx bake

    Unlike airgap build it cannot tell tools of BuildKit's CA that do not read the system's trust
    store, nor apt to take release files that have expired.

    \b
    Example:
      airgap serve --recording app
    """
    from airgap.isolated.commands.build import host_inputs
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.commands.serve import serve
    from airgap.isolated.host.user import User
    from airgap.isolated.state.layout import State
    from airgap.offline.build import requested_urls
    from airgap.replay.request import RequestKey
    from airgap.spec.builds import read_args

    def ready(name: str) -> None:
        click.echo(f"serving the recording {name or 'of nothing'}; end it with Ctrl-C")

    def missed(request: RequestKey) -> None:
        click.echo(f"not in the recording: {request.shown}", err=True)
        add_to_request(DEFAULT_PATH, requested_urls([request]))

    with settings.progress() as progress:
        work = load_context(State(settings.root), User.behind_this_process(), progress)
        try:
            args = read_args(build_args, os.environ)
            serve(*host_inputs(work), recording, args, ready, missed)
        except KeyboardInterrupt:
            click.echo("ended")
