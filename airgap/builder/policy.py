"""What a build may reach: nothing but one HTTP server, which stands for everything outside.

BuildKit applies a source policy to `ADD` and, on its proxy network, to every GET of a RUN step
(`docs/proxy.md`, `sourcepolicy/engine.go`): after each conversion the rules are read again, and
of those that allow or deny, the last one that matches counts.
"""

from __future__ import annotations

import json
import re

from airgap.replay.asked import PREFIX


def source_policy(address: str) -> str:
    """The source policy, as JSON, that sends every GET to one server.

    `https://HOST/PATH` becomes `http://ADDRESS/airgap/https/HOST/PATH`, and likewise for http.
    What is not converted is denied: HEAD and POST in RUN steps, and git.

    A step that several builds begin at once has the rules of all of them, one after the other, in
    any order (`loadSourcePolicy` in BuildKit's `llbsolver/policy.go`). So what the rules of one
    have converted, those of the others let pass: ports of the same host below `/airgap/` are
    allowed, whichever it is.

    Args:
        address: The server's `HOST:PORT`.
    """
    host = address.partition(":")[0]
    server = f"{re.escape(host)}:[0-9]*/"
    others = (
        _beginning_unlike(f"{host}:"),
        rf"{re.escape(host)}:[0-9]*(?:[^0-9/].*)?",
        server + _beginning_unlike(f"{PREFIX}/"),
    )
    to = f"http://{address}/{PREFIX}"
    rules = [
        _rule("DENY", "http*://*"),
        _rule("DENY", "git*://*"),
        _rule("ALLOW", f"^http://{server}{PREFIX}/https?/", regex=True),
        _rule("CONVERT", "https://*", to=f"{to}/https/${{1}}"),
        _rule("CONVERT", f"^http://({'|'.join(others)})$", to=f"{to}/http/${{1}}", regex=True),
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
    ways = (f"{re.escape(text[:at])}(?:[^{re.escape(text[at])}].*)?" for at in range(len(text)))
    return f"(?:{'|'.join(ways)})"
