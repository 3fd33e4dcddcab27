"""Fetching the URLs that a request file asks for, as a recording of their own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from airgap.connected.public_addresses import (
    REFUSED,
    Networks,
    PublicAdapter,
    RefusedAddressError,
    check_host,
)
from airgap.connected.replay_tar import Recorded
from airgap.errors import AirgapError, NotFoundError, UpstreamError, UsageError
from airgap.progress import Progress, format_bytes
from airgap.replay.recorder import Recorder, upstream_session
from airgap.replay.redaction import has_secrets, holds_secrets
from airgap.replay.request import RequestKey
from airgap.spec.request_file import RequestedUrl, RequestFile
from airgap.store.store import Store

_OK = range(200, 300)
_NOT_THERE = (404, 410)
_SECRET = "it holds a secret: record the build, with airgap bundle --record"  # noqa: S105
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class _Failure:
    """A URL that could not be had, fit to be shown, and the error that says why."""

    url: str
    error: AirgapError


def shown(url: RequestedUrl) -> str:
    """Return the URL for people: without secrets, also those that somebody wrote into the file."""
    return RequestKey(url.url).shown


def why_not(url: RequestedUrl) -> str:
    """Return why a URL is not fetched, or nothing if it is."""
    secret = has_secrets(url.url) or any(map(holds_secrets, (url.accept, url.range)))
    return url.obstacle or (_SECRET if secret else "")


def check_hosts(request_file: RequestFile, refused: Networks = REFUSED) -> None:
    """Look at what is written, without asking anybody.

    Args:
        request_file: What is asked for.
        refused: Networks whose addresses are refused.

    Raises:
        UsageError: Something is at an address that is not public; all of that is named.
    """
    failures = []
    hosts = [(image.reference.familiar, image.reference.host) for image in request_file.images]
    hosts += [
        (shown(url), RequestKey(url.url).host.partition("://")[2]) for url in request_file.urls
    ]
    for what, server in hosts:
        try:
            check_host(_without_port(server), refused)
        except RefusedAddressError as error:
            failures.append(_Failure(what, error))
    if failures:
        raise _merged(failures)


def fetch_requested(  # noqa: PLR0913 - what the work needs
    urls: Sequence[RequestedUrl],
    store: Store,
    serial: int,
    progress: Progress,
    *,
    ca: Path | None = None,
    jobs: int = 1,
    refused: Networks = REFUSED,
) -> Recorded:
    """Fetch URLs, and what they redirect to.

    Args:
        urls: What to fetch; those that `why_not` speaks of are left out.
        store: Where the answers are kept.
        serial: Of the bundle.
        progress: Sees what happens.
        ca: A file with other certificates to trust, beside those of the system.
        jobs: How many are fetched at once.
        refused: Networks that are not connected to.

    Raises:
        NotFoundError: Servers do not have them; all are named.
        UpstreamError: Some cannot be had, for this or other reasons; all are named.
        UsageError: Some lead to an address that is not public, perhaps by a redirect.
        SpaceError: The disk is full.
        HostError: The disk failed.
    """
    allowed = [url for url in urls if not why_not(url)]
    if not allowed:
        return Recorded((), store, {})
    session = upstream_session(ca, lambda context: PublicAdapter(refused, context, jobs))
    recorder = Recorder(store, session)
    progress.message(f"fetching {len(allowed)} URLs")
    pool = ThreadPoolExecutor(jobs)
    try:
        results = list(pool.map(lambda url: _fetch(recorder, url), allowed))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    recording = recorder.recording()
    if failures := [failure for failure in results if failure]:
        raise _merged(failures)
    recorded = Recorded.of(recording, store, f"requested-{serial}")
    total = format_bytes(sum(recorded.blobs.values()))
    progress.message(f"fetched {len(allowed)} URLs: {len(recording.responses)} answers, {total}")
    return recorded


def _fetch(recorder: Recorder, url: RequestedUrl) -> _Failure | None:
    try:
        status = recorder.fetch(url.url, url.accept, url.range)
    except AirgapError as error:
        return _Failure(shown(url), error)
    except OSError:
        return None  # of the disk: the recorder raises it, for all, at the end
    if status in _OK:
        return None
    kind = NotFoundError if status in _NOT_THERE else UpstreamError
    return _Failure(shown(url), kind(f"the server answered {status}"))


def _merged(failures: Sequence[_Failure]) -> AirgapError:
    """Return one error for all: what a person must decide comes before what may be well later."""
    lines = [f"{failure.url}: {failure.error.message}" for failure in failures[:_SHOWN]]
    if len(failures) > _SHOWN:
        lines.append(f"and {len(failures) - _SHOWN} more")
    message = "\n  ".join(("what was asked for cannot be fetched:", *lines))
    kinds = {type(failure.error) for failure in failures}
    if RefusedAddressError in kinds:
        return UsageError(
            message,
            meaning="Request files may ask for what is public, not for what one network or host "
            "has.",
            remedy="take it out of the request file",
        )
    if kinds == {NotFoundError}:
        return NotFoundError(message, remedy="take what is not there out of the request file")
    return UpstreamError(
        message, remedy="run the same command again later, or take it out of the request file"
    )


def _without_port(server: str) -> str:
    """Return the host of `HOST[:PORT]`."""
    host, colon, port = server.rpartition(":")
    return host if colon and port.isdigit() else server
