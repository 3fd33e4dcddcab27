"""What must not be seen: secrets in URLs, and the values of build arguments.

A secret parameter of a query keeps its name, and its value becomes `REDACTED`. Keys of recordings
are made of such URLs, so that a build that follows a recorded redirect, in which the secret is
redacted, asks for what was recorded. The value of a build argument becomes `{NAME}`, or `{NAME%}`
where it stood percent-encoded, and can be put back from the arguments of another build.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote, unquote_plus

REDACTED = "REDACTED"
# Shorter values of build arguments are in every URL.
_LEAST_CHARACTERS = 4
# Names in lower case, without `-`, `_` and `.`; the signed URLs of the large object stores
# (AWS Signature Version 4 and 2, CloudFront, Google's V4, Azure's SAS) are among them.
_SECRET_PARAMETER = re.compile(
    """
    (?:access|api|auth|deploy|id|job|oauth2?|private|refresh|sas|security|user)?token
    | (?:api|access|secret|subscription|auth)?key | (?:app|client)?secret | jwt | bearer
    | password | passwd | pwd | passphrase | auth | authorization | credentials? | session(?:id)?
    | sig | signature | hmac | policy | keypairid | hdnea | hdnts | awsaccesskeyid | googleaccessid
    | xamz(?:signature|credential|securitytoken) | xgoog(?:signature|credential)
    """,
    re.VERBOSE,
)
_SECRET_ARGUMENT = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|KEY|AUTH|CREDENTIAL", re.IGNORECASE)
_USERINFO = re.compile(r"^((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)[^/?#]*@")
_IN_URLS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_PLACE = r"\{[A-Za-z_][A-Za-z0-9_]*%?\}"

Arguments = tuple[tuple[str, str], ...]
"""Build arguments, name and value each."""


def arguments_of(mapping: Mapping[str, str]) -> Arguments:
    """The arguments whose values are long enough to be told from other text."""
    return tuple(sorted(item for item in mapping.items() if len(item[1]) >= _LEAST_CHARACTERS))


def without_secrets(url: str) -> str:
    """The URL, absolute or relative, without user and password and with secrets redacted."""
    url, hash_sign, fragment = _USERINFO.sub(r"\1", url).partition("#")
    path, question, query = url.partition("?")
    return path + question + _clean_query(query) + hash_sign + _clean_query(fragment)


def has_secrets(url: str) -> bool:
    """Whether there is anything in it that `without_secrets` takes away."""
    return without_secrets(url) != url


def is_secret_name(name: str) -> bool:
    """Whether a build argument of that name holds a secret."""
    return _SECRET_ARGUMENT.search(name) is not None


def secret_arguments(arguments: Arguments) -> Arguments:
    """Those that hold secrets, to go by their names."""
    return tuple(item for item in arguments if is_secret_name(item[0]))


def used_in(text: str, arguments: Arguments) -> list[str]:
    """The names of arguments whose values are in a text, plain or percent-encoded."""
    texts = (text, unquote(text), unquote_plus(text))
    return [name for name, value in arguments if any(value in one for one in texts)]


def hide(text: str, arguments: Arguments) -> str:
    """The text with placeholders for the values of arguments."""
    places: dict[str, str] = {}
    for name, value in arguments:
        if _IN_URLS.fullmatch(value):
            places.setdefault(value, f"{{{name}}}")
        for encoded in _encodings(value):
            places.setdefault(encoded, f"{{{name}%}}")
    if not places:
        return text
    longest_first = sorted(places, key=len, reverse=True)
    pattern = "|".join((_PLACE, *map(re.escape, longest_first)))
    return re.sub(pattern, lambda match: places.get(match[0], match[0]), text)


def reveal(text: str, arguments: Arguments) -> str:
    """The text with the values of arguments in the places that `hide` left for them."""
    values = {f"{{{name}}}": value for name, value in arguments}
    values |= {f"{{{name}%}}": quote(value, safe="") for name, value in arguments}
    return re.sub(_PLACE, lambda match: values.get(match[0], match[0]), text)


def _encodings(value: str) -> Sequence[str]:
    whole, parts = quote(value, safe=""), quote(value)
    return [one for one in dict.fromkeys((whole, parts)) if one != value]


def _clean_query(query: str) -> str:
    return "&".join(_clean_parameter(one) for one in query.split("&"))


def _clean_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if not value:
        return parameter
    if _is_secret(name) or _holds_secrets(value):
        return f"{name}{equals}{REDACTED}"
    if ";" in value:  # some servers take it for `&`
        first, semicolon, rest = value.partition(";")
        return f"{name}{equals}{first}{semicolon}{_clean_parameter(rest)}"
    return parameter


def _is_secret(name: str) -> bool:
    plain = re.sub(r"[-_.]", "", unquote_plus(name).lower())
    return _SECRET_PARAMETER.fullmatch(plain) is not None


def _holds_secrets(value: str) -> bool:
    """Whether a value is itself a URL with secrets, percent-encoded."""
    inner = unquote_plus(value)
    if inner == value:
        return False
    query = inner.partition("?")[2]
    names = (one.partition("=")[0] for one in re.split("[&;]", query) if "=" in one)
    return _USERINFO.match(inner) is not None or any(map(_is_secret, names))
