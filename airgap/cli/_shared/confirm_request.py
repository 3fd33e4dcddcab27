"""Request files on the connected side: what they ask for is shown, confirmed, and then fetched."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from airgap.cli._shared.table import table
from airgap.errors import UsageError
from airgap.spec.request_file import RequestedUrl, RequestFile, load_request

REQUEST_FILE_OPTIONS = (
    click.option(
        "--request",
        "requests",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Show what a build lacked, and fetch it after confirmation; repeatable.",
    ),
    click.option("--yes", is_flag=True, help="Fetch what is requested without a question."),
)
_PORTS = {"http": "80", "https": "443"}


def read_requests(paths: Sequence[Path], *, locked: bool) -> RequestFile:
    """Return all that request files ask for.

    Args:
        paths: The files.
        locked: Whether the bundle has a lock, or must have one.

    Raises:
        UsageError: One is not valid or asks for what is not public, nothing can be fetched,
            or there is a lock.
    """
    from airgap.connected.fetch_urls import check_hosts, why_not

    if paths and locked:
        raise UsageError(
            f"what {paths[0]} asks for cannot be locked",
            meaning="A lock gives the same bundle again, byte for byte, and servers do not.",
            remedy="make the bundle without --lock and --locked, or without --request",
        )
    request_file = RequestFile()
    for path in paths:
        request_file = request_file.merge(load_request(path))
    check_hosts(request_file)
    if paths and not request_file.images and all(map(why_not, request_file.urls)):
        why = [f"{_shown(url)}: {why_not(url)}" for url in request_file.urls]
        raise UsageError(
            f"nothing can be fetched of what {' and '.join(map(str, paths))} asks for",
            meaning="\n  ".join(why),
        )
    return request_file


def confirm(request_file: RequestFile, *, yes: bool) -> None:
    """Show what is asked for, on standard error, and has a person agree.

    Args:
        request_file: What is asked for; if it is nothing, nobody is asked.
        yes: Somebody has agreed already.

    Raises:
        UsageError: Nobody agrees, or can be asked.
    """
    if not request_file.images and not request_file.urls:
        return
    click.echo(describe(request_file), err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "nobody can be asked whether to fetch this: there is no terminal",
            remedy="read what the request asks for, and give --yes",
        )
    if not click.confirm("Fetch this?", err=True):
        raise UsageError("nothing was fetched, as you said")


def describe(request_file: RequestFile) -> str:
    """Return what is asked for, as tables: what there is to notice stands behind each URL."""
    from airgap.connected.fetch_urls import why_not

    parts = []
    if request_file.images:
        rows = [
            (image.reference.familiar, _listed(image.platforms)) for image in request_file.images
        ]
        parts.append(table([("image", "platforms"), *rows]))
    fetched = [(_shown(url), _notice(url)) for url in request_file.urls if not why_not(url)]
    if fetched:
        head = ("URL", "notice" if any(notice for _, notice in fetched) else "")
        parts.append(table([head, *fetched]))
    left = [(_shown(url), why) for url in request_file.urls if (why := why_not(url))]
    if left:
        parts.append(table([("not fetched", "because"), *left]))
    return "The request asks for:\n\n" + "\n\n".join(parts) + "\n"


def _shown(url: RequestedUrl) -> str:
    from airgap.connected.fetch_urls import shown

    return shown(url)


def _notice(url: RequestedUrl) -> str:
    """Return what a person should not overlook of a URL that is fetched."""
    scheme, _, rest = url.url.partition("://")
    server = rest.partition("/")[0]
    port = server.rpartition(":")[2] if ":" in server.rpartition("]")[2] else _PORTS[scheme]
    found = [] if port in _PORTS.values() else [f"port {port}"]
    found += ["not encrypted"] if scheme == "http" else []
    found += [f"part: {ascii(url.range)[1:-1]}"] if url.range else []
    return ", ".join(found)


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
