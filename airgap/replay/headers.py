"""Which headers count: of requests, those that are passed on; of answers, those that are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from airgap.limits import LIMITS
from airgap.replay import redaction
from airgap.replay.unrecordable import UnrecordableError

Headers = tuple[tuple[str, str], ...]
"""Names and values, in order."""

# Of an answer. What package managers read of it, found in their sources: validators and types;
# what caches go by (npm keeps two documents of one URL apart by Vary); digests that Maven, gem
# and others check; where Hugging Face's client finds what it asked for. The challenge of a 401
# makes wget and others send what they have.
_KEPT = re.compile(
    """
    accept-ranges | cache-control | etag | last-modified | link | location | vary
    | content-(?:disposition|encoding|language|location|range|type|md5|digest)
    | digest | repr-digest | www-authenticate
    | x-checksum-(?:md5|sha1|sha256|sha512) | x-goog-hash | x-goog-meta-checksum-(?:md5|sha1)
    | x-pypi-last-serial | x-linked-etag | x-linked-size | x-repo-commit
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Of a request. What is of one connection only; what would give less than the whole answer
# (a validator gives 304, compression other bytes).
_NOT_PASSED_ON = re.compile(
    """
    host | connection | keep-alive | proxy-.* | te | trailer | transfer-encoding | upgrade | expect
    | content-length | content-type | accept-encoding
    | if-(?:none-match|modified-since|match|unmodified-since|range)
    | forwarded | x-forwarded-.* | via | max-forwards
    """,
    re.VERBOSE,
)
# Of a request. What is known to prove nothing, as clients and package managers send it by
# themselves: every other header is taken for a credential.
_PLAIN = re.compile(
    """
    accept | accept-(?:charset|encoding|language|ranges) | user-agent | host | range | date
    | cache-control | cache-store | pragma | expires | connection | keep-alive | proxy-connection
    | te | trailer | transfer-encoding | upgrade | upgrade-insecure-requests | expect | priority
    | content-length | content-type | dnt | referer | origin | save-data
    | if-(?:none-match|modified-since|match|unmodified-since|range)
    | forwarded | x-forwarded-(?:for|host|port|proto|server) | via | max-forwards
    | x-requested-with | x-request-id | x-correlation-id | x-amzn-trace-id | traceparent
    | tracestate | sec-fetch-(?:dest|mode|site|user) | sec-gpc | sec-ch-ua(?:-[a-z-]+)?
    | npm-(?:auth-type|command|scope|session|in-ci) | pacote-(?:integrity|pkg-id|req-type|version)
    | disable-module-fetch | cargo-protocol | x-cargo-index
    | x-nuget-(?:client-version|session-id) | x-terraform-(?:version|get)
    | x-pub-(?:os|command|environment|reason|session-id) | julia-(?:pkg-protocol|version|system)
    | x-zypp-(?:anonymousid|distributionflavor) | want-(?:repr-)?digest | x-gemfile-source
    """,
    re.VERBOSE,
)
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_LINKED = re.compile(r"<([^>]*)>")


def value_of(headers: Headers, name: str) -> str:
    """Return the values of all headers of that name (in lower case), as one."""
    return ", ".join(value.strip() for key, value in headers if key.lower() == name)


def are_credentials(headers: Headers) -> bool:
    """Return whether a request may prove by a header who asks."""
    return any(
        value and (not _PLAIN.fullmatch(name.lower()) or redaction.holds_secrets(value))
        for name, value in headers
    )


def passed_on(headers: Headers) -> dict[str, str]:
    """Return the headers of a request that the server behind is to see."""
    of_connection = [name.strip().lower() for name in value_of(headers, "connection").split(",")]
    names = dict.fromkeys(name.lower() for name, _ in headers)
    return {
        name: value_of(headers, name)
        for name in names
        if not _NOT_PASSED_ON.fullmatch(name) and name not in of_connection
    }


def kept(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return the headers of an answer that clients are given, now and at replay.

    Raises:
        UnrecordableError: They are more than a recording holds.
    """
    named = [
        header
        for header in headers
        if _KEPT.fullmatch(header[0]) and not _links_to_secrets(*header)
    ]
    fitting = tuple(item for item in named if is_kept(*item))[: LIMITS.response_headers]
    whole = [item for item in named if item[0].lower() == "location"]
    if not set(whole) <= set(fitting) or size_of(fitting) > LIMITS.answer_header_bytes:
        raise UnrecordableError(
            "the headers of its answer are larger than a recording holds: download it from "
            "elsewhere, or COPY it from the build context"
        )
    return fitting


def size_of(headers: Headers) -> int:
    """Return how many bytes headers need in a recording, at most."""
    return sum(len(json.dumps(header)) for header in headers)


def is_kept(name: str, value: str) -> bool:
    """Return whether an answer may have had this header when it was kept."""
    fits = len(value) <= LIMITS.url_characters and _VALUE.fullmatch(value)
    return bool(fits and _KEPT.fullmatch(name))


def _links_to_secrets(name: str, value: str) -> bool:
    links = {"link": _LINKED.findall(value), "content-location": [value]}
    return any(map(redaction.has_secrets, links.get(name.lower(), ())))
