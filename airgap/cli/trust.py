"""`airgap trust`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from airgap.cli.settings import Settings, pass_settings


@click.group(name="trust")
def command() -> None:
    """The public keys whose bundles this host accepts."""


@command.command()
@click.argument("public_key", metavar="PUB", type=click.Path(path_type=Path))
@click.option("--name", default="", help="What to call it [default: the file's name].")
@pass_settings
def add(settings: Settings, public_key: Path, name: str) -> None:
    """Take in a key. Compare the fingerprint with one that came another way.

    \b
    Example:
      airgap trust add site.pub
    """
    from airgap.trust.folder import add_key

    key = add_key(settings.trust_dir, public_key, name)
    click.echo(f"trusted: {key.name}, {key.algorithm}, fingerprint {key.fingerprint}")


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True)
@pass_settings
def list_keys(settings: Settings, as_json: bool) -> None:
    """Show the trusted keys."""
    from airgap.trust.folder import trusted_keys

    keys = trusted_keys(settings.trust_dir)
    if as_json:
        shown = [{"name": key.name, "fingerprint": key.fingerprint} for key in keys]
        click.echo(json.dumps(shown))
        return
    for key in keys:
        click.echo(f"{key.name}  {key.algorithm}  {key.fingerprint}")


@command.command()
@click.argument("name")
@pass_settings
def remove(settings: Settings, name: str) -> None:
    """Stop trusting a key.

    \b
    Example:
      airgap trust remove site
    """
    from airgap.trust.folder import remove_key

    remove_key(settings.trust_dir, name)
    click.echo(f"no longer trusted: {name}")
