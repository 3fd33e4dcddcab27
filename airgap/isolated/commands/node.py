"""`airgap node`: what each of its verbs does to this host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from airgap.builder import buildx_instance
from airgap.errors import HostError
from airgap.isolated.commands.apply import Outcome, apply_steps
from airgap.isolated.context import Context
from airgap.isolated.host.system import is_root
from airgap.isolated.host.user import User
from airgap.isolated.nodes import membership, registered
from airgap.isolated.nodes.node_file import NodeFile, write_node_file
from airgap.isolated.nodes.registered import Node
from airgap.isolated.services import containers
from airgap.isolated.steps.authorities import AuthoritiesStep
from airgap.isolated.steps.builder import BuilderStep
from airgap.isolated.steps.enable import EnableStep, enable


def add(context: Context, node: Node, days: int, output: Path) -> bool:
    """Add a node to the builder of each user, and write its file.

    Args:
        context: From `load_context`.
        node: From `check_new`.
        days: How long its certificates hold.
        output: Where its file goes.

    Returns:
        Whether there is a file.

    Raises:
        HostError: Something cannot be written, or buildx refuses.
    """
    written = renew(context, node, days, output)
    registered.keep(node)
    _enable_all(context)
    return written


def renew(context: Context, node: Node, days: int, output: Path) -> bool:
    """Make new certificates for a node, and write its file.

    Args:
        context: From `load_context`.
        node: Which one.
        days: How long they hold.
        output: Where its file goes.

    Returns:
        Whether there is a file: one that is reached by ssh may need none.

    Raises:
        HostError: Something cannot be written.
    """
    _check_root()
    port = registered.issue_server_certificate(node, days)
    served = list(containers.listening(context).values())
    if port is None and not served:
        return False
    ca = served[0].ca if served else ""
    file = registered.node_file(node, port, [server.address for server in served], ca)
    write_node_file(output, file)
    return True


def remove(context: Context, node: Node) -> None:
    """Take a node back from all to whom it was given by way of root.

    Raises:
        HostError: buildx refuses.
    """
    _check_root()
    registered.remove(node)
    _enable_all(context, gone=node)


def join(context: Context, file: NodeFile, show: Callable[[Outcome], None]) -> None:
    """Make this host a node.

    Args:
        context: From `load_context`.
        file: What the other host said.
        show: Is given each step's outcome.

    Raises:
        HostError: It wants an address that this host has not, or a step failed.
    """
    _check_root()
    membership.join(context.state, file)
    apply_steps(context, _TOLD, show)


def leave(context: Context, show: Callable[[Outcome], None]) -> None:
    """Make this host nobody's node.

    Raises:
        HostError: A step failed.
    """
    _check_root()
    membership.leave(context.state)
    apply_steps(context, _TOLD, show)


_TOLD = (AuthoritiesStep(), BuilderStep(), EnableStep())
"""The steps that what another host says matters to."""


def _check_root() -> None:
    if not is_root():
        raise HostError("only root can do that", remedy="use sudo")


def _enable_all(context: Context, gone: Node | None = None) -> None:
    """Who gave themselves the builder without root gets along with `airgap enable`."""
    names = dict.fromkeys([context.user.name, *context.changes.of(EnableStep.name)])
    for name in names:
        try:
            user = User.called(name)
            if gone is not None and gone.is_ssh:
                buildx_instance.remove_context(user.run, gone.context)
            enable(replace(context, user=user))
        except HostError as error:
            context.progress.message(f"{name} has to give airgap enable: {error.message}")
