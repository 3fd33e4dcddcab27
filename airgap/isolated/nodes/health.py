"""How the nodes of this host's builder are, as the user's buildx finds them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airgap.builder import buildx_instance
from airgap.isolated.host.user import User
from airgap.isolated.nodes.registered import Node, nodes
from airgap.isolated.state.layout import State

RUNNING = "running"


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node, and how it is.

    Attributes:
        node: Which one.
        state: `RUNNING`, or why it is not.
        until: When its certificates end; None if it has none.
    """

    node: Node
    state: str
    until: datetime | None


def node_states(state: State, user: User) -> list[NodeState]:
    """Return all nodes, by name.

    Args:
        state: Where this host's state is.
        user: Whose buildx is asked.

    Raises:
        HostError: What was kept of one cannot be read.
    """
    known = nodes(state)
    found = buildx_instance.states(user.run, buildx_instance.INSTANCE) if known else {}
    missing = f"{user.name} has not got it: airgap enable"
    return [NodeState(name, found.get(name.name, missing), name.until) for name in known]
