"""`airgap help`."""

from __future__ import annotations

import click


@click.command(name="help")
@click.argument("words", metavar="[VERB…]", nargs=-1)
@click.pass_context
def command(context: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of airgap or of a verb.

    \b
    Examples:
      airgap help
      airgap help bundle
      airgap help node add
    """
    shown = context.find_root()
    for word in words:
        group = shown.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{shown.command_path} has no command {word!r}", shown)
        _, verb, _ = group.resolve_command(shown, [word])
        shown = click.Context(verb or group, parent=shown, info_name=word)
    click.echo(shown.get_help())
