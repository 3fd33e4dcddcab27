"""The rules by which BuildKit's proxy, and its own downloads, reach one server and nothing else.

How BuildKit reads them (`sourcepolicy/engine.go`): after each conversion the rules are read again,
and of those that allow or deny, the last one that matches counts. The rules know no methods: the
proxy converts GET alone, and refuses every other method for what the rules convert
(`proxyprovider/provider_linux.go`).
"""

from __future__ import annotations

import json
import re

from airgap.replay.request import UPWARD

# Of BuildKit's sources (`source/types`), those that ask only the mirror or this machine.
_OTHER_SOURCES = r"^(?:docker-image|oci-layout)(?:\+blob)?://|^local://"


def source_policy(base: str) -> str:
    """Return the source policy, as JSON, that sends every GET to one server.

    `https://HOST/PATH` becomes `http://ADDRESS/airgap-TOKEN/https/HOST/PATH`, and likewise for
    http. What is not converted is denied: other methods in RUN steps, other schemes, git, and
    paths with dot segments, which could lead out of the server's paths. A RUN step does not know
    the token, so it cannot ask for what is allowed without a conversion.

    A step that several builds begin at once has the rules of all of them, one after the other, in
    any order (`loadSourcePolicy` in BuildKit's `llbsolver/policy.go`). So what the rules of one
    have converted, those of the others let pass: the builds of one BuildKit have one token, and
    that is allowed on each port of the same host.

    Args:
        base: `HOST:PORT/airgap-TOKEN` of the server; see `base_of`.
    """
    address, _, first = base.partition("/")
    host = re.escape(address.partition(":")[0])
    server = f"{host}:[0-9]+/"
    others = (
        _beginning_unlike(f"{address.partition(':')[0]}:"),
        rf"{host}:[0-9]*(?:[^0-9/].*)?",
        f"{host}:/.*",
        server + _beginning_unlike(f"{first}/"),
    )
    to = f"http://{base}"
    rules = [
        # apt asks for `/./` where a repository has no suites; it means nothing.
        _rule("CONVERT", r"^(https?://[^?#]*?)/\./(.*)$", to="${1}/${2}", regex=True),
        _rule("DENY", "^", regex=True),
        _rule("ALLOW", _OTHER_SOURCES, regex=True),
        _rule("ALLOW", f"^http://{server}{re.escape(first)}/https?/", regex=True),
        _rule("DENY", f"(?i)^http{UPWARD}", regex=True),
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
    """Return a pattern for whatever does not begin with `text`: Go's patterns cannot look ahead."""
    ways = (f"{re.escape(text[:at])}(?:[^{re.escape(text[at])}].*)?" for at in range(len(text)))
    return f"(?:{'|'.join(ways)})"
