"""`airgap schema`."""

from __future__ import annotations

import json

import click
from click.shell_completion import CompletionItem


class _Commands(click.ParamType):  # type: ignore[type-arg]  # generic only in recent versions
    """A command that has `--json`, and tab completion for it."""

    name = "command"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the first words of the commands that begin so."""
        from airgap.views.schema import VIEWS

        words = dict.fromkeys(command.partition(" ")[0] for command in VIEWS)
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


@click.command(name="schema")
@click.argument("words", metavar="[VERB…]", nargs=-1, type=_Commands())
@click.option("--dry-run", is_flag=True, help="The output of `bundle --dry-run`.")
def command(words: tuple[str, ...], dry_run: bool) -> None:
    """Print the JSON Schema of what a verb prints with --json.

    Without VERB it lists the commands that have one.

    \b
    Examples:
      airgap schema
      airgap schema status
      airgap schema node list
      airgap schema bundle --dry-run
    """
    from airgap.errors import UsageError
    from airgap.views.schema import VIEWS, schema

    if not words:
        click.echo("\n".join(VIEWS))
        return
    name = " ".join([*words, *["--dry-run"] * dry_run])
    if name not in VIEWS:
        raise UsageError(f"no schema for {name!r}", remedy=f"choose from {', '.join(VIEWS)}")
    click.echo(json.dumps(schema(name), indent=2))
