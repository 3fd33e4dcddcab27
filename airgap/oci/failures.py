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
from airgap.oci.attempts import TemporaryError
from airgap.oci.reference import Reference
from airgap.oci.registries import Endpoint

_NOT_FOUND, _UNAUTHORISED, _FORBIDDEN, _TOO_MANY = 404, 401, 403, 429
_REQUEST_TIMEOUT, _SERVER_ERRORS = 408, 500
_RATE_HEADERS = ("ratelimit-limit", "ratelimit-remaining")


def broke_off(what: str, error: BaseException | str) -> TemporaryError:
    """The error for an answer that ended, or stood still, half-way.

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
    """The error for an answer of which only `count` bytes came in so many seconds."""
    return TemporaryError(
        f"{what} came too slowly: {count} bytes in {seconds:.0f} s",
        kind="too slow",
        overload=True,
    )


def unreachable(endpoint: Endpoint, error: Exception, *, answered: bool) -> AirgapError:
    """The error for a request that got no answer.

    Args:
        endpoint: Who was asked.
        error: What was raised.
        answered: Whether the server has answered before, in this run.
    """
    asked = _asked(error) or endpoint.server
    elsewhere = asked != endpoint.server
    who = f"{asked}, where {endpoint.server} sends to," if elsewhere else asked
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        section = asked if elsewhere else endpoint.name
        return UpstreamError(
            f"the TLS certificate of {who.rstrip(',')} is not trusted",
            remedy=f'name its CA: [registry."{section}"] ca = "FILE" with --registries',
        )
    if isinstance(error, TooManyRedirects):
        return UpstreamError(
            f"{endpoint.server} redirects in a circle",
            meaning="The registry, or something before it, is faulty.",
        )
    if isinstance(error, (ValueError, LocationParseError)):
        return UpstreamError(
            f"{endpoint.server} redirects to an address that is none",
            meaning="The registry, or something before it, is faulty.",
        )
    through = " through the proxy" if isinstance(error, ProxyError) else ""
    return TemporaryError(
        f"{who} cannot be reached{through} ({reason(error)})",
        kind="cannot be reached",
        remedy="check network, proxy (HTTPS_PROXY) and name; then give the same command again",
        overload=isinstance(error, Timeout),
        first_contact=not answered and not elsewhere,
    )


def _asked(error: Exception) -> str:
    """The host of the request that failed: not always who was asked first, after a redirect."""
    request = getattr(error, "request", None)
    try:
        return urlsplit(request.url).netloc.rpartition("@")[2] if request is not None else ""
    except ValueError:
        return ""


def bad_status(endpoint: Endpoint, response: requests.Response, path: str) -> AirgapError:
    """The error for an answer with a status that is not wanted."""
    status = response.status_code
    kind, _, target = path.partition("/")
    if status == _NOT_FOUND:
        return NotFoundError(
            f"{endpoint.name} has no {kind[:-1]} {target} in {endpoint.repository}",
            remedy="check name and tag",
        )
    if status in (_UNAUTHORISED, _FORBIDDEN):
        return refused(endpoint)
    return refusal(f"{endpoint.name} answered {status} for {endpoint.repository}", response)


def refusal(message: str, response: requests.Response) -> UpstreamError:
    """The error for a status that says nothing of names or credentials.

    Args:
        message: Who answered what.
        response: The answer, with what it says of when to come again.
    """
    status = response.status_code
    if not _is_temporary(status):
        return UpstreamError(message)
    return TemporaryError(
        message,
        kind=f"answered {status}",
        meaning=_limits(response),
        remedy="give the same command again later: what was fetched is kept",
        retry_after=_retry_after(response),
        overload=status == _TOO_MANY,
    )


def _is_temporary(status: int) -> bool:
    """Whether the same request may well succeed later."""
    return status in (_TOO_MANY, _REQUEST_TIMEOUT) or status >= _SERVER_ERRORS


def refused(endpoint: Endpoint) -> CredentialsError:
    """The error for a server that refuses what it was asked with."""
    return CredentialsError(
        f"{endpoint.name} refuses {endpoint.repository}",
        meaning="The repository does not exist, is private, or the credentials are wrong.",
        remedy=f"check the name; if it is private: docker login {endpoint.name}",
    )


def wrong_digest(reference: Reference, wanted: str, actual: str) -> IntegrityError:
    """The error for a document whose bytes are not those of its digest."""
    return IntegrityError(
        f"{reference}: the bytes served are {actual}, and {wanted} was asked for",
        meaning="The registry, or something before it, is faulty or lies.",
    )


def reason(error: BaseException) -> str:
    """The innermost cause, which is the sentence that says something."""
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
    """What a registry says of how often it may still be asked, or nothing.

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
    """What a refusal says of when to come again."""
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
    """Whether `int` takes it; it does not take all of `isdigit`, such as a raised two."""
    return text.isascii() and text.isdigit()
