"""What a build asks for, and how its URL comes in the path of a request.

BuildKit's proxy is told to ask `http://SERVER/airgap/https/HOST:443/PATH?QUERY` in place of
`https://HOST/PATH?QUERY`; a server understands it without `/airgap`, too. A build tool that cannot
be told to use a proxy, such as a JVM's, is told that a mirror is at
`http://PROXY/airgap/https/HOST/`; what it asks there arrives as
`/airgap/http/PROXY/airgap/https/HOST/PATH`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from urllib.parse import quote, unquote, urldefrag, urljoin

from airgap.bundle.contents import canonical
from airgap.limits import LIMITS
from airgap.replay import redaction
from airgap.replay.redaction import Arguments

_PATH = re.compile(
    r"/(?P<scheme>https?)/(?:(?P<user>[^/?#]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?][!-~]*)?"
)
PREFIX = "airgap"
"""The first part of the paths of servers, by which builds know those of other builds."""

_MIRROR = re.compile(rf"/{PREFIX}(?=/https?/)")
_PORTS = {"http": 80, "https": 443}
_MOST_PORTS = 65535
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Asked:
    """One GET or HEAD of a build.

    Attributes:
        url: As the build asked for it; absolute, without user and password, without a default
            port. It may hold secrets: show `shown` in its place.
        accept: The header's value, or nothing.
        range: The header's value, or nothing.
        credentials: Whether it came with any: headers, cookies, user, secret parameters.
        head: Whether only the head of the answer is wanted.
        arguments: The build's arguments, whose values are not to be shown.
    """

    url: str = field(repr=False)
    accept: str = ""
    range: str = ""
    credentials: bool = False
    head: bool = False
    arguments: Arguments = field(default=(), repr=False, compare=False)

    @property
    def key(self) -> str:
        """What its answer has in a recording: the hash of what makes it another answer."""
        return _key(self.url, self.accept, self.range, self.arguments)

    @property
    def shown(self) -> str:
        """The URL for people: no secrets, no values of arguments."""
        return redaction.hide(redaction.without_secrets(self.url), self.arguments)

    @property
    def host(self) -> str:
        """`https://HOST[:PORT]`."""
        return "/".join(self.url.split("/", 3)[:3])

    def whole(self) -> Asked:
        """The same without a range."""
        return replace(self, range="")

    def knowing(self, arguments: Arguments) -> Asked:
        """The same, of a build that has these arguments."""
        return replace(self, arguments=arguments)


@dataclass(frozen=True, slots=True)
class Route:
    """How a request came.

    Attributes:
        url: What is asked for.
        user: User and password as they were in the URL, percent-encoded, or nothing.
        back: What goes before `https/HOST/PATH` so that this client comes here again; nothing
            if it does that by itself.
    """

    url: str
    user: str = ""
    back: str = ""


def read_path(path: str) -> Route | None:
    """What the path of a request means, or nothing if it is of neither form."""
    own = _MIRROR.match(path)
    outer = _route(path[own.end() :] if own else path)
    if outer is None or not outer.url.startswith("http:"):
        return outer
    server, slash, rest = outer.url.removeprefix("http://").partition("/")
    inside = _MIRROR.match(slash + rest)
    if inside is None:
        return outer
    inner = _route((slash + rest)[inside.end() :])
    return inner and replace(inner, back=f"http://{server}/{PREFIX}/")


def normal_url(url: str) -> str | None:
    """An absolute URL in the form that requests for it have, or nothing if it cannot be asked."""
    route = led_to("", url)
    return route.url if route else None


def led_to(base: str, location: str) -> Route | None:
    """Where a redirect from `base` leads to, or nothing if nowhere that can be asked."""
    try:
        scheme, separator, rest = urldefrag(urljoin(base, location)).url.partition("://")
    except ValueError:  # such as a bracket that is not closed
        return None
    return _route(f"/{scheme.lower()}/{rest}") if separator and location else None


def loose(url: str) -> str:
    """The URL such that the ways in which clients encode it make no difference."""
    return unquote(url)


def clean_location(value: str) -> str:
    """A Location header as clients understand it: in ASCII, without a fragment."""
    return quote(value.strip().encode("latin-1", "replace"), safe=_VISIBLE).partition("#")[0]


def path_of(url: str) -> str:
    """`https/HOST/PATH` of a URL."""
    return url.replace("://", "/", 1)


@lru_cache(maxsize=1024)  # it is needed many times of what is on its way
def _key(url: str, accept: str, wanted: str, arguments: Arguments) -> str:
    secrets = redaction.secret_arguments(arguments)
    hidden = redaction.hide(redaction.without_secrets(url), secrets)
    return hashlib.sha256(canonical([hidden, accept, wanted])).hexdigest()


def _route(path: str) -> Route | None:
    match = _PATH.fullmatch(path)
    if match is None or len(path) > LIMITS.url_characters:
        return None
    scheme, host, rest = match["scheme"], match["host"].lower(), match["rest"] or "/"
    port = int(match["port"] or _PORTS[scheme])
    if not 0 < port <= _MOST_PORTS:
        return None
    server = host if port == _PORTS[scheme] else f"{host}:{port}"
    slash = "" if rest.startswith("/") else "/"
    return Route(f"{scheme}://{server}{slash}{rest}", match["user"] or "")
