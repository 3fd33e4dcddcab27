"""Making a bundle: resolve, plan, fetch, write the files, sign last."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from airgap import __version__
from airgap.bundle import readme
from airgap.bundle.checksums import CHECKSUMS_NAME, SIGNATURE_NAME, checksums
from airgap.bundle.contents import (
    CONTENTS_NAME,
    README_NAME,
    TOOL_NAME,
    Contents,
    FileEntry,
    format_time,
)
from airgap.connected.fetch import check_space, write_tar
from airgap.connected.plan import Plan, make_plan
from airgap.connected.resolve import resolve_all
from airgap.connected.source import Source
from airgap.connected.unfinished import Started, Unfinished, not_written, write_whole
from airgap.limits import MIB
from airgap.oci.platform import Platform, parse_platform
from airgap.progress import Progress
from airgap.spec.bundle_spec import Request
from airgap.trust.keys import PrivateKey

_TAR_NAME = "images.tar"
ToolBuilder = Callable[[Sequence[Platform], Progress], bytes]


@dataclass(frozen=True, slots=True)
class Draft:
    """A bundle that is planned and not written yet."""

    output: Path
    unfinished: Unfinished
    started: Started
    plan: Plan


def plan_bundle(request: Request, output: Path, expires: datetime | None, source: Source) -> Draft:
    """Resolves every name, or takes what an interrupted run resolved, and lays out the tar.

    Args:
        request: What is wanted.
        output: The bundle's folder; absent, empty, or this request's unfinished bundle.
        expires: When hosts shall refuse the bundle.
        source: Where registries are asked.

    Raises:
        UsageError: The folder holds something else.
        AirgapError: An image or platform does not exist, or a registry does not answer.
    """
    until = format_time(expires) if expires else ""
    unfinished = Unfinished(output, request, until)
    known = unfinished.load()
    images = resolve_all(source, request, known.digests if known else {})
    if known is None:
        now = datetime.now(UTC).replace(microsecond=0)
        digests = {image.entry.name: image.entry.digest for image in images}
        known = Started(int(now.timestamp()), format_time(now), digests)
    contents = Contents(
        name=request.name,
        serial=known.serial,
        created=known.created,
        expires=until,
        tool=__version__,
        host_platforms=tuple(str(platform) for platform in request.host_platforms),
        images=(),
        blobs=(),
    )
    return Draft(output, unfinished, known, make_plan(contents, images))


def write_bundle(
    draft: Draft,
    source: Source,
    build_tool: ToolBuilder,
    key: PrivateKey,
    progress: Progress,
) -> Contents:
    """Writes a planned bundle, or what is missing of it, and signs it.

    Args:
        draft: From `plan_bundle`.
        source: Where blobs come from.
        build_tool: Gives the bytes of `airgap.pyz` for host platforms.
        key: Signs it.
        progress: Sees what happens.

    Raises:
        AirgapError: Anything that went wrong; the same command goes on from there.
    """
    output, plan, path = draft.output, draft.plan, draft.output / _TAR_NAME
    check_space(output, plan, path.stat().st_blocks * 512 if path.exists() else 0)
    with draft.unfinished.begun(draft.started):
        # First what is quick and may fail: the blobs can take hours.
        progress.message("building the tool for the isolated host")
        hosts = [parse_platform(text) for text in plan.contents.host_platforms]
        tool = build_tool(hosts, progress)
        with _open_tar(path) as tar:
            journal = draft.unfinished.journal(tar, plan.tar_bytes, len(plan.to_fetch))
            write_tar(tar, path, plan, journal, source, progress)
        try:
            return _write_files(draft, tool, key, progress)
        except OSError as error:
            raise not_written(output, error) from error


def _write_files(draft: Draft, tool: bytes, key: PrivateKey, progress: Progress) -> Contents:
    output, contents = draft.output, draft.plan.contents
    volume = _hash_file(output, _TAR_NAME, progress)
    texts = {
        TOOL_NAME: tool,
        README_NAME: readme.render(contents, key.public, [volume.name]).encode(),
    }
    for name, data in texts.items():
        (output / name).parent.mkdir(exist_ok=True)
        write_whole(output / name, data)
    entries = [FileEntry(name, len(data), _sha256(data)) for name, data in texts.items()]
    contents = contents.with_files([volume, *entries])
    sums = checksums(contents)
    write_whole(output / CONTENTS_NAME, contents.to_bytes())
    write_whole(output / SIGNATURE_NAME, key.sign(sums))
    write_whole(output / CHECKSUMS_NAME, sums)
    draft.unfinished.remove()
    return contents


@contextmanager
def _open_tar(path: Path) -> Iterator[int]:
    try:
        tar = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise not_written(path, error) from error
    try:
        yield tar
        os.fsync(tar)
    finally:
        os.close(tar)


def _hash_file(folder: Path, name: str, progress: Progress) -> FileEntry:
    path = folder / name
    digest = hashlib.sha256()
    progress.start("checksums", path.stat().st_size)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(MIB):
            digest.update(chunk)
            progress.advance(len(chunk))
    progress.finish()
    return FileEntry(name, path.stat().st_size, digest.hexdigest())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
