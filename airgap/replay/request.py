"""What a build asks for, and how its URL comes in the path of a request.

BuildKit's proxy is told to ask `http://SERVER/airgap-TOKEN/https/HOST:443/PATH?QUERY` for
`https://HOST/PATH?QUERY`. The server answers only who knows the token; see `own_path`. A build
tool that cannot be told to use a proxy, such as a JVM's, is told that a mirror is at
`http://PROXY/airgap/https/HOST/`; what it asks there arrives as
`/airgap-TOKEN/http/PROXY/airgap/https/HOST/PATH`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from urllib.parse import quote, unquote, urldefrag, urljoin

from airgap.canonical import canonical
from airgap.limits import LIMITS
from airgap.replay import redaction
from airgap.replay.redaction import Arguments

_PATH = re.compile(
    r"/(?P<scheme>https?)/(?:(?P<user>[^/?#]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?][!-~]*)?"
)
PREFIX = "airgap"
"""The first part of the paths of a mirror, and before `-TOKEN` of the paths of a server."""


_PERCENT = "%(?:25)*"  # encoded as often as one likes


def _encoded(character: str) -> str:
    """Return a pattern for a character, plain or percent-encoded in any form."""
    code = ord(character)
    digits = [
        "|".join(
            (item, *(f"{_PERCENT}{ord(form):x}" for form in dict.fromkeys(item + item.upper())))
        )
        for item in f"{code:02x}"
    ]
    last = 0x80 | code & 0x3F
    forms = (  # UTF-8 with more bytes than it needs, and the wide form of East Asian texts
        bytes((0xC0 | code >> 6, last)),
        bytes((0xE0, 0x80 | code >> 6, last)),
        bytes((0xF0, 0x80, 0x80 | code >> 6, last)),
        chr(code + 0xFEE0).encode(),
    )
    ways = [re.escape(character), f"{_PERCENT}(?:{digits[0]})(?:{digits[1]})"]
    ways += ["".join(f"{_PERCENT}{byte:02x}" for byte in form) for form in forms]
    return "|".join((*ways, f"{_PERCENT}u(?:00{code:02x}|{code + 0xFEE0:04x})"))


_SEPARATOR = f"(?:{_encoded('/')}|{_encoded(chr(92))})"
_DOTS = f"(?:{_encoded('.')}){{1,2}}"
_BLANK = f"{_PERCENT}(?:00|09|0a|0d|20)"
UPWARD = rf"[^?#]*{_SEPARATOR}{_DOTS}(?:{_SEPARATOR}|[?#]|{_encoded(';')}|{_BLANK}|$)"
"""A pattern, for Go and Python, for URLs whose path has a dot segment in any encoding.

Servers may take `/airgap-TOKEN/https/../../PATH` for `/PATH`. Case does not count.
"""

_HERE = re.compile(r"(?:/\.)+(?=/)")
_UPWARD = re.compile(UPWARD, re.IGNORECASE)
_MIRROR = re.compile(rf"/{PREFIX}(?=/https?/)")
_PORTS = {"http": 80, "https": 443}
_MOST_PORTS = 65535
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class RequestKey:
    """One GET or HEAD of a build.

    Attributes:
        url: As the build asked for it; absolute, without user and password, without a default
            port. It may hold secrets: show `shown` in its place.
        accept: The header's value, or nothing.
        range: The header's value, or nothing.
        credentials: Whether it came with any: headers, cookies, user, secret parameters.
        head: Whether only the head of the answer is wanted.
        apart: Whether its key goes by its secrets, too; see `told_apart`.
        arguments: The build's arguments, whose values are not to be shown.
    """

    url: str = field(repr=False)
    accept: str = ""
    range: str = ""
    credentials: bool = False
    head: bool = False
    apart: bool = False
    arguments: Arguments = field(default=(), repr=False, compare=False)

    @property
    def key(self) -> str:
        """What its answer has in a recording: the hash of what makes it another answer."""
        key = _key(self.url, self.accept, self.range, self.arguments)
        return _key_apart(key, self.url) if self.apart else key

    @property
    def told_apart(self) -> RequestKey:
        """The same with a key for this very URL: others may differ from it in secrets alone."""
        return replace(self, apart=redaction.has_secrets(self.url))

    @property
    def shown(self) -> str:
        """The URL for people: no secrets, no values of arguments."""
        return redaction.hide(redaction.without_secrets(self.url), self.arguments)

    @property
    def host(self) -> str:
        """`https://HOST[:PORT]`."""
        return "/".join(self.url.split("/", 3)[:3])

    @property
    def size(self) -> int:
        """How many characters it has."""
        return len(self.url) + len(self.accept) + len(self.range)

    def whole(self) -> RequestKey:
        """Return the same without a range."""
        return replace(self, range="")

    def knowing(self, arguments: Arguments) -> RequestKey:
        """Return the same, of a build that has these arguments."""
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


def base_of(address: str, token: str) -> str:
    """Return what the URLs that a server answers begin with: `HOST:PORT/airgap-TOKEN`."""
    return f"{address}/{PREFIX}-{token}"


def own_path(path: str, token: str) -> str | None:
    """Return a request's path without the secret part, or None if the part is not ours."""
    first, slash, rest = path.removeprefix("/").partition("/")
    expected = f"{PREFIX}-{token}"
    known = hmac.compare_digest(first.encode(errors="replace"), expected.encode())
    return slash + rest if known else None


def read_path(path: str) -> Route | None:
    """Return what `own_path` of a request means, or nothing if it is of neither form."""
    outer = _route(path)
    if outer is None or not outer.url.startswith("http:"):
        return outer
    server, slash, rest = outer.url.removeprefix("http://").partition("/")
    inside = _MIRROR.match(slash + rest)
    if inside is None:
        return outer
    inner = _route((slash + rest)[inside.end() :])
    return inner and replace(inner, back=f"http://{server}/{PREFIX}/")


def normal_url(url: str) -> str | None:
    """Return a URL in the form of requests for it; None if it cannot be requested."""
    route = led_to("", url)
    return route.url if route else None


def led_to(base: str, location: str) -> Route | None:
    """Return where a redirect from `base` leads to, or nothing if nowhere that can be asked."""
    try:
        scheme, separator, rest = urldefrag(urljoin(base, location)).url.partition("://")
    except ValueError:  # such as a bracket that is not closed
        return None
    return _route(f"/{scheme.lower()}/{rest}") if separator and location else None


def loose(url: str) -> str:
    """Return the URL such that the ways in which clients encode it make no difference."""
    return unquote(url)


def clean_location(value: str) -> str:
    """Return a Location header as clients understand it: in ASCII, without a fragment."""
    clean = quote(value.strip().encode("latin-1", "replace"), safe=_VISIBLE).partition("#")[0]
    return redaction.without_places(clean)


def path_of(url: str) -> str:
    """`https/HOST/PATH` of a URL."""
    return url.replace("://", "/", 1)


@lru_cache(maxsize=1024)  # it is needed many times of what is on its way
def _key(url: str, accept: str, part: str, arguments: Arguments) -> str:
    secrets = redaction.secret_arguments(arguments)
    hidden = redaction.hide(redaction.without_secrets(url), secrets)
    return hashlib.sha256(canonical([hidden, accept, part])).hexdigest()


@lru_cache(maxsize=1024)
def _key_apart(key: str, url: str) -> str:
    """Return a key that a secret can be compared with, at a price for who tries many."""
    return hashlib.scrypt(url.encode(), salt=key.encode(), n=2**14, r=8, p=1, dklen=32).hex()


def _without_here(rest: str) -> str:
    """Return a path and query without `/./`, which apt writes after a folder."""
    path, question, query = rest.partition("?")
    return _HERE.sub("", path) + question + query


def _route(path: str) -> Route | None:
    match = _PATH.fullmatch(path)
    if match is None or len(path) > LIMITS.url_characters:
        return None
    scheme, host = match["scheme"], match["host"].lower()
    rest = redaction.without_places(_without_here(match["rest"] or "/"))
    if _UPWARD.match(f"/{host}{rest}"):
        return None
    port = int(match["port"] or _PORTS[scheme])
    if not 0 < port <= _MOST_PORTS:
        return None
    server = host if port == _PORTS[scheme] else f"{host}:{port}"
    slash = "" if rest.startswith("/") else "/"
    return Route(f"{scheme}://{server}{slash}{rest}", match["user"] or "")
