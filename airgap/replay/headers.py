"""Which headers count: of requests, those that are passed on; of answers, those that are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable

from airgap.limits import LIMITS
from airgap.replay import redaction

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
# Of a request. What is of one connection only; what would bring less than the whole answer
# (a validator brings 304, compression other bytes).
_NOT_PASSED_ON = re.compile(
    """
    host | connection | keep-alive | proxy-.* | te | trailer | transfer-encoding | upgrade | expect
    | content-length | content-type | accept-encoding
    | if-(?:none-match|modified-since|match|unmodified-since|range)
    """,
    re.VERBOSE,
)
# In the names of headers, in lower case and without `-` and `_`.
_CREDENTIALS = re.compile(
    "authorization|cookie|token|apikey|secret|password|credential|accesskey|signature|jwt"
    "|^xauth|^npmotp$|^xjfrogartapi$|^xgoogapi"
)
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_LINKED = re.compile(r"<([^>]*)>")


def value_of(headers: Headers, name: str) -> str:
    """The values of all headers of that name (in lower case), as one."""
    return ", ".join(value.strip() for key, value in headers if key.lower() == name)


def are_credentials(headers: Headers) -> bool:
    """Whether a request proves by a header who asks."""
    return any(
        value and _CREDENTIALS.search(re.sub("[-_]", "", name.lower())) for name, value in headers
    )


def passed_on(headers: Headers) -> dict[str, str]:
    """The headers of a request that the server behind is to see."""
    of_connection = [name.strip().lower() for name in value_of(headers, "connection").split(",")]
    names = dict.fromkeys(name.lower() for name, _ in headers)
    return {
        name: value_of(headers, name)
        for name in names
        if not _NOT_PASSED_ON.fullmatch(name) and name not in of_connection
    }


def kept(headers: Iterable[tuple[str, str]]) -> Headers:
    """The headers of an answer that clients are given, now and at replay."""
    fitting = [one for one in headers if is_kept(*one) and not _links_to_secrets(*one)]
    return tuple(fitting[: LIMITS.response_headers])


def is_kept(name: str, value: str) -> bool:
    """Whether an answer may have had this header when it was kept."""
    fits = len(value) <= LIMITS.url_characters and _VALUE.fullmatch(value)
    return bool(fits and _KEPT.fullmatch(name))


def _links_to_secrets(name: str, value: str) -> bool:
    links = {"link": _LINKED.findall(value), "content-location": [value]}
    return any(map(redaction.has_secrets, links.get(name.lower(), ())))
