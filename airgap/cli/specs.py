"""`airgap specs`."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from airgap.spec.ready_made import ready_made


class _Name(click.ParamType):  # type: ignore[type-arg]  # generic only in recent versions
    """The name of a ready-made spec, and tab completion for it."""

    name = "spec"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so."""
        return [CompletionItem(name) for name in ready_made() if name.startswith(incomplete)]


@click.command(name="specs")
@click.argument("name", required=False, type=_Name())
def command(name: str | None) -> None:
    """List the ready-made bundle specs, or print one.

    `airgap bundle NAME` takes such a name. An image of the same name needs its tag: NAME:latest.

    \b
    Examples:
      airgap specs
      airgap specs arm64-builder > my.toml
    """
    from airgap.cli._shared.table import table
    from airgap.errors import UsageError
    from airgap.spec.ready_made import summary

    specs = ready_made()
    if not specs:
        raise UsageError(
            "this airgap has no ready-made specs",
            meaning="airgap.pyz, the program for hosts, does not include them.",
            remedy="run airgap specs on the workstation",
        )
    if name is None:
        click.echo(table([(name, summary(path)) for name, path in specs.items()]))
    elif name in specs:
        click.echo(specs[name].read_text(), nl=False)
    else:
        raise UsageError(
            f"no such ready-made spec: {name!r}", remedy=f"choose from {', '.join(specs)}"
        )
