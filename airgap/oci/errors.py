"""What a failed exchange with a registry means."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
from requests.exceptions import ProxyError, Timeout, TooManyRedirects
from urllib3.exceptions import LocationParseError, ReadTimeoutError

from airgap.errors import (
    AirgapError,
    CredentialsError,
    IntegrityError,
    NotFoundError,
    UpstreamError,
)
from airgap.limits import LIMITS
from airgap.oci.error_text import Words, shown
from airgap.oci.reference import Reference
from airgap.oci.registries import Endpoint
from airgap.oci.retry import TemporaryError

_NOT_FOUND, _UNAUTHORISED, _FORBIDDEN, _TOO_MANY = 404, 401, 403, 429
_REQUEST_TIMEOUT, _SERVER_ERRORS = 408, 500
# Not implemented, the version of HTTP, the storage is full: a later request gets the same.
_LASTING_SERVER_ERRORS = (501, 505, 507)
_NO_WORDS = Words()
_RATE_HEADERS = ("ratelimit-limit", "ratelimit-remaining")


def broke_off(what: str, error: BaseException | str) -> TemporaryError:
    """Return the error for an answer that ended, or stood still, half-way.

    Args:
        what: What was being read.
        error: Why.
    """
    text = error if isinstance(error, str) else reason(error)
    slow = isinstance(error, (ReadTimeoutError, TimeoutError))
    return TemporaryError(
        f"the connection broke while {what} was read ({text})",
        kind="the connection broke",
        overload=slow,
    )


def too_slow(what: str, count: int, seconds: float) -> TemporaryError:
    """Return the error for an answer of which only `count` bytes came in so many seconds."""
    return TemporaryError(
        f"{what} came too slowly: {count} bytes in {seconds:.0f} s",
        kind="too slow",
        overload=True,
    )


def unreachable(endpoint: Endpoint, error: Exception, *, answered: bool) -> AirgapError:
    """Return the error for a request that got no answer.

    Args:
        endpoint: Who was asked.
        error: What was raised.
        answered: Whether the server has answered before, in this run.
    """
    server = _server_of(error) or endpoint.server
    elsewhere = server != endpoint.server
    who = f"{server}, where {endpoint.server} sends to," if elsewhere else server
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        section = server if elsewhere else endpoint.name
        return UpstreamError(
            f"the TLS certificate of {who} is not trusted",
            remedy=f'name its CA: [registry."{section}"] ca = "FILE" with --registries',
        )
    if isinstance(error, TooManyRedirects):
        return UpstreamError(
            f"{endpoint.server} redirects in a circle",
            meaning="The registry, or something before it, is faulty.",
        )
    if isinstance(error, (ValueError, LocationParseError)):
        return UpstreamError(
            f"{endpoint.server} redirects to an address that is not one",
            meaning="The registry, or something before it, is faulty.",
        )
    through = " through the proxy" if isinstance(error, ProxyError) else ""
    return TemporaryError(
        f"{who} cannot be reached{through} ({reason(error)})",
        kind="cannot be reached",
        remedy="check network, proxy (HTTPS_PROXY) and name; then run the same command again",
        overload=isinstance(error, Timeout),
        first_contact=not answered and not elsewhere,
    )


def _server_of(error: Exception) -> str:
    """Return the host of the failed request, which is another one after a redirect."""
    request = getattr(error, "request", None)
    try:
        return urlsplit(request.url).netloc.rpartition("@")[2] if request is not None else ""
    except ValueError:
        return ""


def scheme_of(url: str) -> str:
    """Return the scheme of a URL in lower case; empty if the URL has none or is malformed."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def bad_status(
    endpoint: Endpoint, response: requests.Response, path: str, words: Words = _NO_WORDS
) -> AirgapError:
    """Return the error for an answer with a status that is not wanted.

    Args:
        endpoint: Who was asked.
        response: The answer.
        path: What was asked for, in the endpoint's repository.
        words: What the answer says.
    """
    status = response.status_code
    kind, _, target = path.partition("/")
    if status == _NOT_FOUND:
        return NotFoundError(
            f"{endpoint.name} has no {kind[:-1]} {target} in {endpoint.repository}",
            meaning=words.sentence,
            remedy="check name and tag",
        )
    if status in (_UNAUTHORISED, _FORBIDDEN):
        return refused(endpoint, words, denied=status == _FORBIDDEN)
    what = f"{status} {words.code}".rstrip()
    return refusal(f"{endpoint.name} answered {what} for {endpoint.repository}", response, words)


def refusal(message: str, response: requests.Response, words: Words = _NO_WORDS) -> UpstreamError:
    """Return the error for a status that says nothing of names or credentials.

    Args:
        message: Who answered what.
        response: The answer, with what it says of when to come again.
        words: What it says beside that.
    """
    status = response.status_code
    if not is_temporary(status):
        return UpstreamError(message, meaning=words.sentence)
    return TemporaryError(
        message,
        kind=f"answered {status}",
        meaning=words.with_meaning(_limits(response)),
        remedy="run the same command again later: what was fetched is kept",
        retry_after=_retry_after(response),
        overload=status == _TOO_MANY,
    )


def is_temporary(status: int) -> bool:
    """Return whether the same request may well succeed later."""
    if status in _LASTING_SERVER_ERRORS:
        return False
    return status in (_TOO_MANY, _REQUEST_TIMEOUT) or status >= _SERVER_ERRORS


def refused(
    endpoint: Endpoint,
    words: Words = _NO_WORDS,
    *,
    denied: bool = False,
    scheme: str = "",
    pushing: bool = False,
) -> CredentialsError:
    """Return the error for a server that refuses what it was asked with.

    Args:
        endpoint: Who was asked.
        words: What it says.
        denied: It knows who asks (403), and does not want them to log in (401).
        scheme: The way to log in that it asks for, if it is not one that airgap knows.
        pushing: It was to take something, and not to give it.
    """
    if endpoint.sent_by:
        return CredentialsError(
            f"{endpoint.name}, where {endpoint.sent_by} sends to, refuses {endpoint.repository}",
            meaning=words.with_meaning("No credentials are sent where a registry redirects to."),
            remedy=f"name the image as that registry does: {endpoint.name}/{endpoint.repository}",
        )
    meaning = "The repository does not exist, is private, or the credentials are wrong."
    remedy = f"check the name; if it is private: docker login {endpoint.name}"
    if pushing:
        meaning = (
            "There are no credentials for it here, they are wrong, or that account may not do it."
        )
        remedy = f"docker login {endpoint.name} (with sudo if airgap runs with sudo)"
        remedy += if_too_deep(endpoint.repository)
    if denied:
        meaning = "That account may not read it, or a rule of the registry forbids it."
    if scheme:
        meaning = f"It wants to be asked by {shown(scheme)}, and airgap knows Basic and Bearer."
    return CredentialsError(
        f"{endpoint.name} refuses {endpoint.repository}",
        meaning=words.with_meaning(meaning),
        remedy=remedy,
    )


def if_too_deep(repository: str) -> str:
    """Return what else to do for a push, if a path may be too deep for the registry; or nothing.

    GitLab takes two names below a project, and answers for others as for a wrong account.
    """
    _, *inside = repository.split("/")
    if not any("." in name for name in inside[:-2]):
        return ""
    return (
        "; where paths may not be so deep (GitLab: two names below a project): airgap install "
        "DIR --registry-layout flat"
    )


def no_token_server(endpoint: Endpoint, realm: str) -> UpstreamError:
    """Return the error for a challenge whose token server cannot be asked.

    Args:
        endpoint: Who sent the challenge.
        realm: The address of the token server, as it stands there.
    """
    if scheme_of(realm) == "http":
        return UpstreamError(
            f"{endpoint.name} sends to a token server that is not HTTPS: {shown(realm)!r}",
            meaning="Credentials are not sent over an open connection. Often a proxy before the "
            "registry ends TLS, and the registry does not know that its address is https://.",
            remedy="have the registry state https:// as its own address: its external URL (Harbor: "
            "external_url), or the header X-Forwarded-Proto: https from the proxy before it",
        )
    named = f"the token server {shown(realm)!r}" if realm else "no token server"
    return UpstreamError(
        f"{endpoint.name} wants a token, and names {named}",
        meaning="A token server that is not HTTPS is not asked. The registry, or something before "
        "it, is faulty.",
    )


def wrong_digest(reference: Reference, expected: str, actual: str) -> IntegrityError:
    """Return the error for a document whose bytes are not those of its digest."""
    return IntegrityError(
        f"{reference}: the bytes served are {actual}, and {expected} was asked for",
        meaning="The registry, or something before it, is faulty or lies.",
    )


def reason(error: BaseException) -> str:
    """Return the innermost cause, which is the sentence that says something."""
    while True:
        inner = getattr(error, "reason", None) or error.__cause__
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        if inner is None:
            break
        error = inner
    said = error.strerror if isinstance(error, OSError) else ""
    return said or str(error).rpartition(": ")[2] or type(error).__name__


def remaining(response: requests.Response) -> str:
    """Return what a registry says of how often it may still be asked, or nothing.

    Docker Hub's form: `ratelimit-remaining: 76;w=21600`, of requests and seconds.
    """
    limit, left = (_header(response, name) for name in _RATE_HEADERS)
    if not left:
        return ""
    window = limit.partition(";w=")[2]
    within = f" in {int(window) // 60} min" if _is_number(window) else ""
    count = f"{left.partition(';')[0]} of {limit.partition(';')[0]}".removesuffix(" of ")
    return f"{count} requests remain{within}"


def _limits(response: requests.Response) -> str:
    """Return what a refusal says of when to come again."""
    said = ["It limits how often it may be asked"] if response.status_code == _TOO_MANY else []
    if waits := _header(response, "Retry-After"):
        said.append(f"try again {f'in {waits} seconds' if _is_number(waits) else f'after {waits}'}")
    if left := remaining(response):
        said.append(left)
    return f"{', '.join(said)}." if said else ""


def _retry_after(response: requests.Response) -> float:
    """Seconds, from either form of the header (RFC 9110, 10.2.3); 0 if there is none."""
    value = _header(response, "Retry-After")
    if _is_number(value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):  # whatever was written
        return 0.0


def _header(response: requests.Response, name: str) -> str:
    return response.headers.get(name, "")[: LIMITS.header_characters]


def _is_number(text: str) -> bool:
    """Return whether `int` takes it; it does not take all of `isdigit`, such as a raised two."""
    return text.isascii() and text.isdigit()
