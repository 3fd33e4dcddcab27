"""What a build may reach: nothing but one HTTP server, which stands for everything outside.

BuildKit applies a source policy to `ADD` and, on its proxy network, to every GET of a RUN step
(`docs/proxy.md`, `sourcepolicy/engine.go`): after each conversion the rules are read again, and
of those that allow or deny, the last one that matches counts.
"""

from __future__ import annotations

import json
import re

PROXY_NETWORK = """\
package docker

decision := {"allow": true, "caps": {"exec.proxy": true}}
"""
"""A Rego policy that gives the RUN steps of one build BuildKit's proxy network (buildx 0.35)."""


def source_policy(address: str) -> str:
    """The source policy, as JSON, that sends every GET to one server.

    `https://HOST/PATH` becomes `http://ADDRESS/https/HOST/PATH`, and likewise for http. What is
    not converted is denied: HEAD and POST in RUN steps, and git.

    Args:
        address: The server's `HOST:PORT`.
    """
    server = f"{address}/"
    ours = f"^http://{re.escape(server)}https?/"
    others = f"^http://({_beginning_unlike(server)})$"
    rules = [
        _rule("DENY", "http*://*"),
        _rule("DENY", "git*://*"),
        _rule("ALLOW", ours, regex=True),
        _rule("CONVERT", "https://*", to=f"http://{server}https/${{1}}"),
        _rule("CONVERT", others, to=f"http://{server}http/${{1}}", regex=True),
    ]
    return json.dumps({"rules": rules}, indent=1)


def _rule(action: str, identifier: str, *, to: str = "", regex: bool = False) -> dict[str, object]:
    match_type = "REGEX" if regex else "WILDCARD"
    rule: dict[str, object] = {
        "action": action,
        "selector": {"identifier": identifier, "match_type": match_type},
    }
    return {**rule, "updates": {"identifier": to}} if to else rule


def _beginning_unlike(text: str) -> str:
    """A pattern for whatever does not begin with `text`: Go's patterns cannot look ahead."""
    ways = (f"{re.escape(text[:at])}[^{re.escape(text[at])}]" for at in range(len(text)))
    return f"(?:{'|'.join(ways)}).*"
