"""What must not be seen: secrets in URLs, and the values of build arguments.

A secret parameter of a query keeps its name, and its value becomes `REDACTED`; so does what has the
shape of a secret anywhere. Keys of recordings are made of such URLs, so that a build that follows a
recorded redirect, in which the secret is redacted, asks for what was recorded.

The value of a build argument becomes `{NAME}`, or `{NAME%}` where it stood percent-encoded, and can
be put back from the arguments of another build. Servers write URLs too, and must not name what they
want to be told: braces of theirs are percent-encoded first, so that each place is one of ours.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote, unquote, unquote_plus

from airgap.replay.secret import REDACTED, is_secret_name, is_secret_value, without_shapes

# Shorter values of build arguments are in every URL.
_LEAST_CHARACTERS = 4
_MOST_DECODINGS = 5
_REDACTED = re.compile(rf"{REDACTED}(?:-[0-9]{{1,9}})?")
_USERINFO = re.compile(r"^((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)[^/?#]*@")
# No pattern may try a long text from each of its characters: others write these texts.
_INNER_USERINFO = re.compile(
    r"""([:/\\][/\\]) (?!REDACTED(?:-[0-9]+)?@) (?=[^/\\?#@:]*:) [^/\\?#@]*@
    | (https?://) (?!REDACTED(?:-[0-9]+)?@) [^/\\?#@]+@""",
    re.VERBOSE | re.IGNORECASE,
)
# Without a scheme. Packages with versions look nearly like it, so do addresses of mail.
_BARE_USERINFO = re.compile(
    r"(?!mailto:|acct:)[^\s/\\?#@:]+:[^\s/\\?#@]+@"
    r"(?:(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}|(?:[0-9]{1,3}\.){3}[0-9]{1,3}|localhost)"
    r"(?::[0-9]+)?(?:[/?#]|$)"
)
# A name and what is said of it, as in queries, forms, JSON and headers.
_BETWEEN = r"""\s=&;,?/"'{}:"""
_NAMED = re.compile(
    rf"""(?<![^{_BETWEEN}])([^{_BETWEEN}]+)(?:["']?=|["']\s?:|:(?=\s))\s*(?!REDACTED\b)[^\s&;,]"""
)
_MARKS = "-._~:/?#[]@!$&'()*+,;=%"
_IN_URLS = re.compile(rf"[A-Za-z0-9{re.escape(_MARKS)}]+")
# For texts that people read: each takes what follows its first group.
_ADDRESS = re.compile(r"(?:\b[A-Za-z][A-Za-z0-9+.-]{0,30}:)?//\S+")
_USER = re.compile(r"""(?<![^\s"'=(])()[^\s/@:"']+:[^\s/@]+(?=@(?!sha\d+:))""")
_HEADER = re.compile(r"(?i)(\b(?:authorization|cookie)[\"']?\s?[:=]\s?)(?!\s|REDACTED).+")
_BUILD_ARGUMENT = re.compile(
    r"""(--build-arg[=\s]+["']?[^\s=]*=|\bbuild-arg:[^\s=]*=)(?!REDACTED)(?:'[^']*'|"[^"]*"|\S+)"""
)
_PROOF = re.compile(r"(?i)(\b(?:basic|bearer)\s+)[A-Za-z0-9+/=_.~-]{8,}")
_SAID = re.compile(rf"""(?<![^{_BETWEEN}])([^{_BETWEEN}]+)["']?\s?[=:]\s?(?!\s|REDACTED)""")
_VALUE = re.compile(r"""b?"[^"]*"|b?'[^']*'|[^\s&;,]+""")
# A word of a command line with a build argument in it; also buildx's bake and BuildKit's own forms.
_ARGUMENT_WORD = re.compile(r"--build-a[a-z]*=|build-arg:|(?:--set=)?[^\s=]*\.args\.")
_PLACE = r"\{[A-Za-z_][A-Za-z0-9_]*%?\}"

Arguments = tuple[tuple[str, str], ...]
"""Build arguments, name and value each."""


def arguments_of(mapping: Mapping[str, str]) -> Arguments:
    """Return the arguments whose values are long enough to be told from other text."""
    return tuple(sorted(item for item in mapping.items() if len(item[1]) >= _LEAST_CHARACTERS))


def without_secrets(url: str) -> str:
    """Return the URL, absolute or relative, without user and password and with secrets redacted."""
    url, hash_sign, fragment = _USERINFO.sub(r"\1", url).partition("#")
    path, question, query = url.partition("?")
    clean = _clean_path(path) + question + _clean_query(query) + hash_sign + _clean_query(fragment)
    return without_shapes(clean)


def has_user(url: str) -> bool:
    """Return whether a URL, absolute or relative, has a user or password, even an empty one."""
    return _USERINFO.match(url) is not None


def numbered(url: str, number: int) -> str:
    """Return a URL without secrets, told apart from those that differ from it in secrets alone."""
    return url.replace(REDACTED, f"{REDACTED}-{number}")


def has_secrets(url: str) -> bool:
    """Return whether there is anything in it that `without_secrets` takes away."""
    return without_secrets(url) != url


def header_without_secrets(value: str, arguments: Arguments) -> str:
    """Return the value of a request header for people; redacted if it contains a secret."""
    secret = holds_secrets(value) or used_in(value, secret_arguments(arguments))
    return REDACTED if secret else value


def secret_arguments(arguments: Arguments) -> Arguments:
    """Return those that hold secrets, to go by their names and by how their values look."""
    return tuple(
        (name, value)
        for name, value in arguments
        if is_secret_name(name) or is_secret_value(value) or has_secrets(value)
    )


def used_in(text: str, arguments: Arguments) -> list[str]:
    """Return the names of arguments whose values are in a text, plain or percent-encoded."""
    texts = [*_decodings(text), unquote_plus(text)]
    return [name for name, value in arguments if any(value in item for item in texts)]


def without_places(text: str) -> str:
    """Return the text of somebody else, which has no braces then: only `hide` makes places."""
    return text.replace("{", "%7B").replace("}", "%7D")


def hide(url: str, arguments: Arguments) -> str:
    """Return a URL of somebody else with placeholders for the values of arguments."""
    return mask(without_places(url), arguments)


def mask(text: str, arguments: Arguments) -> str:
    """Return a text for people with placeholders for argument values; this cannot be undone."""
    pattern = _values(arguments)
    return pattern.sub(lambda match: _place(match, arguments), text) if arguments else text


def reveal(text: str, arguments: Arguments) -> str:
    """Return what `hide` gave, with the values of arguments in the places that it left for them."""
    values = {f"{{{name}}}": _quoted(value, _MARKS) for name, value in arguments}
    values |= {f"{{{name}%}}": _quoted(value) for name, value in arguments}
    return re.sub(_PLACE, lambda match: values.get(match[0], match[0]), text)


def _quoted(value: str, safe: str = "") -> str:
    """Return a value encoded for a URL; bytes that are not UTF-8 are encoded as they are."""
    return quote(value, safe=safe, errors="surrogateescape")


@lru_cache(maxsize=16)
def _values(arguments: Arguments) -> re.Pattern[str]:
    """Return a pattern with a group for each argument, the longest value first."""
    order = sorted(range(len(arguments)), key=lambda at: -len(arguments[at][1]))
    return re.compile("|".join(f"(?P<_{at}>{_any_form(arguments[at][1])})" for at in order))


def _any_form(value: str) -> str:
    """Return a pattern for a value whose characters may each be percent-encoded."""
    return "".join(f"(?:{'|'.join(_forms(item))})" for item in value)


def _forms(character: str) -> Iterator[str]:
    encoded = "".join(f"%{byte:02x}" for byte in character.encode(errors="surrogateescape"))
    yield f"(?i:{encoded})"  # first: the character may be `%` itself
    yield re.escape(character)
    if character == " ":
        yield r"\+"


def _place(match: re.Match[str], arguments: Arguments) -> str:
    name, value = arguments[int(str(match.lastgroup)[1:])]
    plain = match[0] == value and _IN_URLS.fullmatch(value)
    return f"{{{name}}}" if plain else f"{{{name}%}}"


def _decodings(text: str) -> list[str]:
    """Return the text, and what it is after each time that it is decoded."""
    found = [text]
    while len(found) <= _MOST_DECODINGS and (inner := unquote(found[-1])) != found[-1]:
        found.append(inner)
    return found


def _clean_path(path: str) -> str:
    """Return the path, in which URLs, parameters (`;name=value`) and shapes may be."""
    clean = _INNER_USERINFO.sub(rf"\1\2{REDACTED}@", path)
    return "/".join(_clean_segment(segment) for segment in clean.split("/"))


def _clean_segment(segment: str) -> str:
    first, semicolon, rest = segment.partition(";")
    if _BARE_USERINFO.match(first) or any(map(holds_secrets, _decodings(first)[1:])):
        first = REDACTED
    return _clean_parameters(first) + semicolon + _clean_parameters(rest)


def _clean_query(query: str) -> str:
    return "&".join(_clean_parameters(part) for part in query.split("&"))


def _clean_parameters(text: str) -> str:
    """Clean one parameter, or several separated by `;`; a secret one hides the rest."""
    cleaned = []
    for parameter in text.split(";"):
        name, equals, value = parameter.partition("=")
        if _is_shaped(name):
            cleaned.append(REDACTED)
        elif not value or _REDACTED.fullmatch(value) or not _is_secret(name, value):
            cleaned.append(parameter)
        else:
            cleaned.append(f"{name}{equals}{REDACTED}")
            if is_secret_name(_decodings(name)[-1]):
                break
    return ";".join(cleaned)


def _is_secret(name: str, value: str) -> bool:
    return is_secret_name(_decodings(name)[-1]) or holds_secrets(value)


def _is_shaped(text: str) -> bool:
    return any(map(is_secret_value, _decodings(text)))


def holds_secrets(value: str) -> bool:
    """Return whether a value is a secret, or a URL or document with secrets, in any encoding."""
    return any(
        is_secret_value(inner)
        or _USERINFO.match(inner) is not None
        or _INNER_USERINFO.search(inner) is not None
        or _BARE_USERINFO.match(inner) is not None
        or any(is_secret_name(found[1]) for found in _NAMED.finditer(inner))
        for inner in (value, *_decodings(unquote_plus(value)))
    )


def redact(text: str) -> str:
    """Return a text for people, such as a log line, without secrets and what may be one."""
    text = _ADDRESS.sub(lambda found: without_secrets(found[0]), text)
    for pattern in (_USER, _HEADER, _BUILD_ARGUMENT, _PROOF):
        text = pattern.sub(rf"\1{REDACTED}", text)
    return without_shapes(_without_named(text))


def redact_words(words: Sequence[str]) -> str:
    """Return a command, as one would type it, without values of build arguments and secrets."""
    before = ["", *words]
    return shlex.join(redact(_redact_word(*pair)) for pair in zip(before, words, strict=False))


def given_arguments(words: Sequence[str]) -> dict[str, str]:
    """Return the build arguments that a command line gives, or takes from the environment."""
    given = [_given(*pair) for pair in zip(["", *words], words, strict=False)]
    pairs = [text.partition("=") for text in given if text]
    return {name: value if equals else os.environ.get(name, "") for name, equals, value in pairs}


def _given(before: str, word: str) -> str:
    """Return `NAME=VALUE` or `NAME` from a word of a command line; empty for other words."""
    found = _ARGUMENT_WORD.match(word)
    return word[found.end() :] if found else word if before.startswith("--build-a") else ""


def _redact_word(before: str, word: str) -> str:
    given = _given(before, word)
    name, equals, _ = given.partition("=")
    return f"{word.removesuffix(given)}{name}={REDACTED}" if equals else word


def _without_named(text: str) -> str:
    """Return the text without values of secret names; `KeyError` is no such name."""
    clean, at = "", 0
    for found in _SAID.finditer(text):
        value = _VALUE.match(text, found.end())
        is_error = found[1].endswith(("Error", "Exception"))
        if value and at <= found.start() and not is_error and is_secret_name(found[1]):
            clean, at = f"{clean}{text[at : found.end()]}{REDACTED}", value.end()
    return clean + text[at:]
