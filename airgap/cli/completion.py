"""`airgap completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print tab completion for bash, zsh or fish.

    \b
    Examples:
      source <(airgap completion bash)
      airgap completion fish > ~/.config/fish/completions/airgap.fish
    """
    completion = get_completion_class(shell)
    if completion is not None:
        root = context.find_root().command
        click.echo(completion(root, {}, "airgap", "_AIRGAP_COMPLETE").source())
