"""What a server wants before it answers: the challenges of its `WWW-Authenticate` headers.

A server may send several headers, and several challenges in each of them, in any order
(RFC 9110, 11.6.1):

    WWW-Authenticate: Negotiate, Basic realm="site"
    WWW-Authenticate: Bearer realm="https://auth.example/token",service="a \\"b\\""

>>> header = 'Negotiate, Bearer realm="https://auth.example/token",service="registry"'
>>> [challenge.scheme for challenge in parse_challenges([header])]
['negotiate', 'bearer']
>>> parse_challenges([header])[1].get("service")
'registry'
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import requests

from airgap.limits import LIMITS

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Without quotes, servers write more than the grammar allows, such as addresses.
_PARAMETER = re.compile(rf'({_NAME})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_SCHEME = re.compile(rf"{_NAME}(?=[ \t,]|$)(?![ \t]*=)")
# The other form of a challenge, which is no list of parameters (`token68` in the grammar).
_TOKEN_68 = re.compile(r"[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in which a server wants to be asked.

    Attributes:
        scheme: Its name in lower case, such as `bearer`.
        parameters: Name in lower case to value. Of two with one name the first counts.
    """

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """Return a parameter, or nothing if the challenge does not have it."""
        return self.parameters.get(name, "")


def challenges_of(response: requests.Response) -> list[Challenge]:
    """Return the challenges of a response, in its order.

    Each header is read for itself: joined, the parameters of one would seem to belong to another.
    """
    headers = response.raw.headers.getlist("WWW-Authenticate")
    return parse_challenges(headers[: LIMITS.challenge_headers])


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges in `WWW-Authenticate` headers.

    A header that breaks the grammar counts up to the place where it does.

    Args:
        headers: The value of each header.
    """
    found: list[Challenge] = []
    for header in headers:
        found += _parse(header[: LIMITS.challenge_characters])
    return found


def _parse(header: str) -> list[Challenge]:
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while position < len(header):
        if header[position] in " \t,;":
            position += 1
        elif found and (match := _PARAMETER.match(header, position)):
            name, quoted, bare = match.groups()
            value = bare if quoted is None else _ESCAPED.sub(r"\1", quoted)
            found[-1][1].setdefault(name.lower(), value)
            position = match.end()
        elif match := _SCHEME.match(header, position):
            found.append((match[0].lower(), {}))
            other = _TOKEN_68.match(header, match.end())
            position = other.end() if other else match.end()
        else:
            break
    return [Challenge(scheme, parameters) for scheme, parameters in found]
