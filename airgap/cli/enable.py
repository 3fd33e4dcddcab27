"""`airgap enable`."""

from __future__ import annotations

from dataclasses import replace

import click

from airgap.cli._shared.settings import Settings, pass_settings


@click.command(name="enable")
@click.option("--user", "name", default="", help="For another user; only root can do that.")
@click.option(
    "--use/--no-use",
    "select",
    default=None,
    help="Make airgap the selected builder [default: if none was selected].",
)
@click.option("--undo", is_flag=True, help="Take the builder away again.")
@pass_settings
def command(settings: Settings, name: str, select: bool | None, undo: bool) -> None:
    """Let a user build with the `airgap` builder.

    The user must be allowed to use Docker. Root is not needed. Builders that they create
    themselves use the mirror from then on, too.

    \b
    Examples:
      airgap enable
      airgap enable --undo
    """
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.context import Options
    from airgap.isolated.host.user import User
    from airgap.isolated.state.layout import State
    from airgap.isolated.steps.enable import disable, enable

    user = User.called(name) if name else User.behind_this_process()
    with settings.progress() as progress:
        state = State(settings.root)
        work = replace(load_context(state, user, progress), options=Options(select=select))
        with state.lock("airgap enable"):
            if undo:
                disable(work, user)
                click.echo(f"{user.name} no longer has the builder airgap")
            else:
                click.echo(enable(work).detail)
