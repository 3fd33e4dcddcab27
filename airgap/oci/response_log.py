"""The log of HTTP: each response, to registries and to Docker alike."""

from __future__ import annotations

import logging
from typing import Any

_LOG = logging.getLogger(__name__)


def log_response(response: Any, *_: object, **__: object) -> None:  # noqa: ANN401 - see below
    """Log a response of requests, as a hook of it. This module itself opens no connection."""
    seconds, size = response.elapsed.total_seconds(), response.headers.get("Content-Length", "?")
    request = f"{response.request.method} {response.url}"
    _LOG.debug("%d after %.2f s, %s bytes: %s", response.status_code, seconds, size, request)


def log_failure(request: Any, error: Exception) -> None:  # noqa: ANN401 - of requests
    """Log a request that got no response."""
    _LOG.debug("no response: %s %s: %s", request.method, request.url, error)
