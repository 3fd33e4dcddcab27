"""`airgap node add|join|renew|list|remove|leave`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from airgap.cli._shared.settings import Settings, pass_settings

if TYPE_CHECKING:
    from airgap.isolated.commands.apply import Outcome
    from airgap.isolated.context import Context
    from airgap.progress import Progress

_Command = TypeVar("_Command", bound=Callable[..., None])

_OTHERS = "users who gave themselves the builder give once more: airgap enable"

_OPTIONS = (
    click.option(
        "--days",
        type=click.IntRange(1, 3650),
        default=30,
        show_default=True,
        help="How long the certificates hold.",
    ),
    click.option(
        "--output",
        "-o",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Where the file for the node goes [default: NAME.node].",
    ),
)


def _file_options(command: _Command) -> _Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(name="node")
def command() -> None:
    """Manage machines that build for this host's builder.

    \b
    Examples:
      airgap node add arm tcp://192.0.2.20:1234
      airgap node list
    """


@command.command(name="add")
@click.argument("name", metavar="NAME")
@click.argument("endpoint", metavar="ENDPOINT")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    default=["linux/arm64"],
    show_default=True,
    help="What it builds for, in the place of this host; repeatable.",
)
@_file_options
@pass_settings
def add(
    settings: Settings,
    name: str,
    endpoint: str,
    platforms: tuple[str, ...],
    days: int,
    output: Path | None,
) -> None:
    """Have another machine build for a platform; this host continues with all others.

    That machine is set up with airgap install, too. Over tcp://HOST:PORT both prove themselves
    with certificates, and over ssh://USER@HOST each user comes with an ssh key of theirs. Carry
    the file that is written to the node, and give there: airgap node join FILE. It holds a
    private key.

    \b
    Examples:
      airgap node add arm tcp://192.0.2.20:1234
      airgap node add arm ssh://builder@192.0.2.20
    """
    from airgap.isolated.commands.node import add as add_node
    from airgap.isolated.nodes.registered import check_new

    with _changing(settings) as context:
        node = check_new(context.state, name, endpoint, platforms)
        path = output or Path(f"{name}.node")
        written = add_node(context, node, days, path)
    click.echo(f"{name} builds for {', '.join(node.platforms)}, at {node.endpoint}")
    click.echo(_OTHERS)
    _tell_file(path, written)


@command.command(name="renew")
@click.argument("name", metavar="NAME")
@_file_options
@pass_settings
def renew(settings: Settings, name: str, days: int, output: Path | None) -> None:
    """Make new certificates for a node, and a new file to join with.

    Until the node has joined with it, it cannot be reached.

    \b
    Example:
      airgap node renew arm
    """
    from airgap.isolated.commands.node import renew as renew_node
    from airgap.isolated.nodes.registered import node

    with _changing(settings) as context:
        path = output or Path(f"{name}.node")
        written = renew_node(context, node(context.state, name), days, path)
    _tell_file(path, written)


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@pass_settings
def list_(settings: Settings, as_json: bool) -> None:
    """Show the nodes, whether they can be reached, and until when their certificates hold.

    \b
    Example:
      airgap node list
    """
    from airgap.cli._shared.table import table
    from airgap.isolated.nodes.health import RUNNING, node_states
    from airgap.views.host import NodeState
    from airgap.views.view import to_json, view_of

    with settings.progress() as progress:
        context = _context(settings, progress)
        states = node_states(context.state, context.user)
    if as_json:
        views = [
            view_of(
                NodeState,
                health.node,
                reachable=health.state == RUNNING,
                state=health.state,
                until=f"{health.until:%Y-%m-%dT%H:%M:%SZ}" if health.until else None,
            )
            for health in states
        ]
        click.echo(to_json(views))
    elif states:
        lines = [
            (
                health.node.name,
                health.node.endpoint,
                ",".join(health.node.platforms),
                f"until {health.until:%Y-%m-%d}" if health.until else "",
                health.state,
            )
            for health in states
        ]
        click.echo(table(lines))


@command.command(name="remove")
@click.argument("name", metavar="NAME")
@pass_settings
def remove(settings: Settings, name: str) -> None:
    """Take a node back: this host builds for its platforms again, emulated.

    On the node itself, airgap node leave.

    \b
    Example:
      airgap node remove arm
    """
    from airgap.isolated.commands.node import remove as remove_node
    from airgap.isolated.nodes.registered import node

    with _changing(settings) as context:
        remove_node(context, node(context.state, name))
    click.echo(f"{name} is no longer a node")
    click.echo(_OTHERS)


@command.command(name="join")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@pass_settings
def join(settings: Settings, file: Path) -> None:
    """Make this host a node, with the file that airgap node add wrote on the other one.

    Its builder then listens where the file says, for that host alone, and its programs trust
    what that host serves. Delete the file afterwards: it holds a private key.

    \b
    Example:
      airgap node join arm.node
    """
    from airgap.isolated.commands.node import join as join_host
    from airgap.isolated.nodes.node_file import read_node_file

    node_file = read_node_file(file)
    with _changing(settings) as context:
        join_host(context, node_file, _show)
    where = f", and listens at {node_file.port.address}" if node_file.port else ""
    click.echo(f"this host is the node {node_file.name}{where}")


@command.command(name="leave")
@pass_settings
def leave(settings: Settings) -> None:
    """Make this host nobody's node: its builder listens for no other machine.

    \b
    Example:
      airgap node leave
    """
    from airgap.isolated.commands.node import leave as leave_host

    with _changing(settings) as context:
        leave_host(context, _show)
    click.echo("this host is nobody's node")


@contextmanager
def _changing(settings: Settings) -> Iterator[Context]:
    from airgap.isolated.state.layout import State

    with settings.progress() as progress, State(settings.root).lock("airgap node"):
        yield _context(settings, progress)


def _context(settings: Settings, progress: Progress) -> Context:
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.host.user import User
    from airgap.isolated.state.layout import State

    return load_context(State(settings.root), User.behind_this_process(), progress)


def _show(outcome: Outcome) -> None:
    from airgap.cli._shared.table import outcome_line

    click.echo(outcome_line(outcome))


def _tell_file(path: Path, written: bool) -> None:
    if written:
        click.echo(f"written: {path} (private). On the node: airgap node join {path.name}")
