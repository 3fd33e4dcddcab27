"""`airgap account add|list|remove`."""

from __future__ import annotations

import secrets
import sys

import click

from airgap.cli._shared.settings import Settings, pass_settings
from airgap.errors import UsageError
from airgap.limits import LIMITS

_GENERATED_BYTES = 18


@click.group(name="account")
def command() -> None:
    """Manage accounts for access from other machines.

    \b
    Example:
      airgap account add ci
    """


@command.command(name="add")
@click.argument("name", metavar="NAME")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--generate", is_flag=True, help="Make a password up, and print it.")
@pass_settings
def add(settings: Settings, name: str, password_stdin: bool, generate: bool) -> None:
    """Add an account, or give it another password. It counts at once.

    \b
    Examples:
      airgap account add ci
      airgap account add ci --generate
      docker login 192.0.2.10:5000 --username ci
    """
    from airgap.isolated.state.accounts import add_account
    from airgap.isolated.state.layout import State

    if password_stdin and generate:
        raise UsageError("--password-stdin and --generate exclude each other")
    if generate:
        password = secrets.token_urlsafe(_GENERATED_BYTES)
    elif password_stdin:
        password = sys.stdin.read(LIMITS.key_bytes).rstrip("\r\n")
    else:
        password = click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True)
    state = State(settings.root)
    with state.lock("airgap account"):
        add_account(state, name, password)
    if generate:
        click.echo(password)
    click.echo(f"account {name} may use mirror and registry", err=generate)


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print the names as JSON.")
@pass_settings
def list_(settings: Settings, as_json: bool) -> None:
    """List the accounts.

    \b
    Example:
      airgap account list
    """
    from airgap.isolated.state.accounts import accounts
    from airgap.isolated.state.layout import State
    from airgap.views.view import to_json

    names = sorted(accounts(State(settings.root)))
    click.echo(to_json(names) if as_json else "\n".join(names), nl=as_json or bool(names))


@command.command(name="remove")
@click.argument("name", metavar="NAME")
@pass_settings
def remove(settings: Settings, name: str) -> None:
    """Remove an account; its next request is refused.

    \b
    Example:
      airgap account remove ci
    """
    from airgap.isolated.state.accounts import remove_account
    from airgap.isolated.state.layout import State

    state = State(settings.root)
    with state.lock("airgap account"):
        remove_account(state, name)
    click.echo(f"account {name} is gone")
