"""Running a benchmark as a command: errors as people read them, and as exit codes."""

from __future__ import annotations

import sys

import click

from airgap.errors import AirgapError, ExitCode


def run(command: click.Command) -> None:
    """Runs it, and ends the process where it fails."""
    try:
        command(standalone_mode=False)
    except AirgapError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted: everything is removed, no results are written", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
