"""`airgap trust`."""

from __future__ import annotations

from pathlib import Path

import click

from airgap.cli._shared.settings import Settings, pass_settings


@click.group(name="trust")
def command() -> None:
    """Manage the public keys whose bundles are accepted.

    \b
    Examples:
      airgap trust add site.pub
      airgap trust list
      airgap trust remove site
    """


@command.command()
@click.argument("public_key", metavar="PUB", type=click.Path(path_type=Path))
@click.option("--name", default="", help="What to call it [default: the file's name].")
@pass_settings
def add(settings: Settings, public_key: Path, name: str) -> None:
    """Trust a public key. Compare the fingerprint that is printed.

    It must be the one that airgap keygen printed; if it is not: airgap trust remove NAME.
    A key inside or beside a bundle, or on its medium, is refused. What is trusted is kept in
    /etc/airgap/trust, which only root can change.

    \b
    Example:
      airgap trust add site.pub
    """
    from airgap.trust.folder import add_key

    key = add_key(settings.trust_dir, public_key, name)
    click.echo(f"trusted: {key.name}, {key.algorithm}, fingerprint {key.fingerprint}")
    click.echo(
        f"Is it the fingerprint that airgap keygen printed? If not: airgap trust remove {key.name}",
        err=True,
    )


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print names and fingerprints as JSON.")
@pass_settings
def list_keys(settings: Settings, as_json: bool) -> None:
    """Show the trusted keys.

    \b
    Example:
      airgap trust list
    """
    from airgap.trust.folder import trusted_keys
    from airgap.views.view import to_json, view_of
    from airgap.views.workstation import TrustedKey

    keys = trusted_keys(settings.trust_dir)
    if as_json:
        click.echo(to_json([view_of(TrustedKey, key) for key in keys]))
        return
    for key in keys:
        click.echo(f"{key.name}  {key.algorithm}  {key.fingerprint}")


@command.command()
@click.argument("name")
@pass_settings
def remove(settings: Settings, name: str) -> None:
    """Stop trusting a key, by the name that airgap trust list shows.

    \b
    Example:
      airgap trust remove site
    """
    from airgap.trust.folder import remove_key

    remove_key(settings.trust_dir, name)
    click.echo(f"no longer trusted: {name}")
