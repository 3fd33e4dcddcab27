"""Making a bundle: resolve, plan, fetch, write the files, sign last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from airgap import __version__
from airgap.bundle import readme
from airgap.bundle.archive import Archive
from airgap.bundle.checksums import CHECKSUMS_NAME, SIGNATURE_NAME, checksums
from airgap.bundle.contents import CONTENTS_NAME, README_NAME, TOOL_NAME, Contents, FileEntry
from airgap.bundle.media import Media
from airgap.bundle.replay_tar import ReplayTar
from airgap.canonical import format_time
from airgap.connected.checkpoint import Checkpoint, Unfinished, check_past, not_written
from airgap.connected.fetch import TransferLimits, write_tar
from airgap.connected.filesystem import check_room, has_holes
from airgap.connected.journal import Journal
from airgap.connected.output import write_file
from airgap.connected.plan import BundlePlan, make_plan
from airgap.connected.registry_protocol import Registry
from airgap.connected.replay_tar import Recorded, plan_replay, remove_replay, write_replay
from airgap.connected.resolve import resolve_all
from airgap.connected.tar_writer import TarWriter
from airgap.disk import sync
from airgap.errors import IntegrityError, UsageError
from airgap.limits import LIMITS
from airgap.oci.platform import parse_platform
from airgap.progress import Progress
from airgap.replay.contents_rules import check_bundle, check_contents
from airgap.spec.bundle_spec import Request
from airgap.store.tags import colliding
from airgap.tool.build_pyz import ToolBuilder
from airgap.trust.keys import PrivateKey

# Records builds with the images of the bundle that is being made.
Record = Callable[[Archive], Recorded]
# Builds from the bundle that is being made.
Rehearse = Callable[[Archive, ReplayTar], object]


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What the bundle's folder is to be like.

    Attributes:
        output: The folder; absent, empty, or this request's unfinished bundle.
        expires: When hosts shall refuse the bundle.
        volume_bytes: The most that a volume may have; 0 for one of any size.
        durable: Whether to wait until the disk has it.
        fixed: What a lock fixed; `Unfinished.begun` refuses what another run fixed.
    """

    output: Path
    expires: datetime | None = None
    volume_bytes: int = 0
    durable: bool = True
    fixed: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class PlannedBundle:
    """A bundle that is planned and not written yet."""

    target: OutputOptions
    unfinished: Unfinished
    started: Checkpoint
    plan: BundlePlan


def plan_bundle(
    request: Request, target: OutputOptions, source: Registry, progress: Progress, jobs: int = 1
) -> PlannedBundle:
    """Resolves every name, or takes what a lock or an interrupted run fixed, and lays out the tar.

    Args:
        request: What is wanted.
        target: Where to, and how.
        source: Where registries are asked.
        progress: Sees what happens.
        jobs: How many images are resolved at once.

    Raises:
        UsageError: The folder holds something else.
        AirgapError: An image or platform does not exist, or a registry does not answer.
    """
    until = format_time(target.expires) if target.expires else ""
    unfinished = Unfinished(target.output, request, until, target.volume_bytes)
    earlier = unfinished.load()
    if earlier:
        progress.message(f"going on with what was begun {earlier.created}, as names were then")
    known = target.fixed or earlier
    if known:
        check_past(known.created)
    images = resolve_all(source, request, known.digests if known else {}, jobs)
    if known is None:
        now = datetime.now(UTC).replace(microsecond=0)
        digests = {image.entry.name: image.entry.digest for image in images}
        known = Checkpoint(int(now.timestamp()), format_time(now), digests)
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
    plan = make_plan(contents, images, target.volume_bytes)
    _check_limits(plan.contents, plan.tar_bytes, "Nothing was fetched.")
    _check_tags(plan.contents)
    with _installable("Nothing was fetched."):
        check_contents(plan.contents.with_files(_planned_files(plan)))
    return PlannedBundle(target, unfinished, known, plan)


def write_bundle(  # noqa: PLR0913, PLR0917 - what the work needs
    draft: PlannedBundle,
    source: Registry,
    build_tool: ToolBuilder,
    key: PrivateKey,
    pace: TransferLimits,
    progress: Progress,
    record: Record | None = None,
    rehearse: Rehearse | None = None,
) -> Contents:
    """Writes a planned bundle, or what is missing of it, and signs it.

    Recordings are made by every run: what an interrupted one recorded does not count.

    Args:
        draft: From `plan_bundle`.
        source: Where blobs come from.
        build_tool: Gives the bytes of `airgap.pyz` for host platforms.
        key: Signs it.
        pace: How many connections, and how fast.
        progress: Sees what happens.
        record: Is called when all images are written; records with them what the bundle is to
            have of it.
        rehearse: Is called before the bundle is signed; tries what it is for.

    Raises:
        AirgapError: Anything that went wrong; the same command goes on from there.
    """
    output, plan = draft.target.output, draft.plan
    check_room(output, plan.volumes)
    with draft.unfinished.resume(draft.started):
        # First what is quick and may fail: the blobs can take hours.
        progress.message("building the tool for the isolated host")
        hosts = [parse_platform(text) for text in plan.contents.host_platforms]
        with _writing(output):
            remove_replay(output)
            tool = _write_file(output, TOOL_NAME, build_tool(hosts, progress))
            if not has_holes(output):
                pace = replace(pace, in_order=True)
            volumes = _write_tar(draft, source, pace, progress)
        contents = plan.contents.with_files([*volumes, tool])
        if record is not None:
            with Archive(Media([output], finished=False), contents) as archive:
                recorded = record(archive)
            with _writing(output):
                contents = _write_recorded(draft, contents, recorded, progress)
        if rehearse is not None:
            media = Media([output], finished=False)
            with Archive(media, contents) as archive, ReplayTar(media, contents) as replay:
                rehearse(archive, replay)
        with _writing(output):
            return _write_files(draft, contents, key)


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    """Whatever the operating system refuses on the way, as an error for people."""
    try:
        yield
    except OSError as error:
        raise not_written(output, error) from error


def _check_limits(contents: Contents, tar_bytes: int, undone: str) -> None:
    """Refuses at once what no reader of bundles would take.

    Args:
        contents: Of the bundle.
        tar_bytes: Of the tar that is about to be written.
        undone: What was not done, for the message.
    """
    maps = {recording.digest for recording in contents.recordings}
    largest = max((blob.size for blob in contents.replay if blob.digest in maps), default=0)
    sizes = {
        "images": (len(contents.images), LIMITS.images),
        "blobs": (len(contents.blobs), LIMITS.blobs),
        "recordings": (len(contents.recordings), LIMITS.recordings),
        "bytes in the map of one recording": (largest, LIMITS.recording_bytes),
        "blobs of recordings": (len(contents.replay), LIMITS.blobs),
        "bytes in one tar": (tar_bytes, LIMITS.archive_bytes),
        "bytes of contents": (len(contents.to_bytes()), LIMITS.contents_bytes),
    }
    for what, (size, most) in sizes.items():
        if size > most:
            raise UsageError(
                f"the bundle would have {size} {what}, and {most} are the most",
                meaning=undone,
                remedy="make several bundles",
            )


def _check_tags(contents: Contents) -> None:
    """Refuses two images that would have one tag on the host."""
    if found := colliding(contents.images):
        tag, one, other = found
        raise UsageError(
            f"{one.reference.familiar} and {other.reference.familiar} are two images, and both "
            f"set the tag {tag} of a mirror",
            meaning="No host would install the bundle. Nothing was fetched.",
            remedy=f"leave one out, or name it by its digest: {one.reference.name}@{one.digest}",
        )


def _planned_files(plan: BundlePlan) -> list[FileEntry]:
    """The files that a bundle will have, with sums that nobody knows yet."""
    sizes = {volume.name: volume.size for volume in plan.volumes} | {TOOL_NAME: 0, README_NAME: 0}
    return [FileEntry(name, size, "0" * 64) for name, size in sizes.items()]


def _check_readable(output: Path, contents: Contents) -> None:
    """Reads the bundle back, by the rules that `install` applies to it.

    Raises:
        IntegrityError: No host would install it.
    """
    media = Media([output], finished=False)
    with (
        _installable("It was not signed."),
        Archive(media, contents) as archive,
        ReplayTar(media, contents) as replay,
    ):
        check_bundle(media, contents, archive, replay)


@contextmanager
def _installable(undone: str) -> Iterator[None]:
    """What a reader would say of the bundle, as an error for who makes it."""
    try:
        yield
    except IntegrityError as error:
        raise IntegrityError(
            f"this bundle cannot be installed: {error.message}",
            meaning=f"Every host would refuse it. {undone}",
            remedy="leave out the image or recording that this names; if the disk changed a file, "
            "use another disk: -o DIR",
        ) from error


def _write_tar(
    draft: PlannedBundle, source: Registry, pace: TransferLimits, progress: Progress
) -> list[FileEntry]:
    output, plan = draft.target.output, draft.plan
    with TarWriter(output, plan.volumes, durable=draft.target.durable) as tar:
        try:
            journal = Journal(draft.unfinished.journal_path, tar, plan.contents.blobs)
        except OSError as error:
            raise not_written(draft.unfinished.journal_path, error) from error
        sync(output)
        sync(draft.unfinished.journal_path.parent)
        return write_tar(tar, output, plan, journal, source, pace, progress)


def _write_recorded(
    draft: PlannedBundle, contents: Contents, recorded: Recorded, progress: Progress
) -> Contents:
    """Writes `replay.tar`, and gives the contents with what is in it."""
    target, mtime = draft.target, contents.created_seconds
    plan = plan_replay(recorded, mtime, target.volume_bytes)
    contents = contents.with_recordings(recorded.entries, plan.blobs)
    _check_limits(contents, plan.tar_bytes, "What was recorded was not kept.")
    replay = write_replay(plan, recorded.store, target.output, progress, durable=target.durable)
    volumes = contents.volumes
    others = [file for file in contents.files if file not in volumes]
    return contents.with_files([*volumes, *replay, *others])


def _write_files(draft: PlannedBundle, contents: Contents, key: PrivateKey) -> Contents:
    output = draft.target.output
    text = readme.render(contents, key.public).encode()
    contents = contents.with_files([*contents.files, _write_file(output, README_NAME, text)])
    _check_readable(output, contents)
    sums = checksums(contents)
    check_past(contents.created)
    write_file(output, CONTENTS_NAME, contents.to_bytes())
    write_file(output, SIGNATURE_NAME, key.sign(sums))
    write_file(output, CHECKSUMS_NAME, sums)
    draft.unfinished.remove()
    return contents


def _write_file(folder: Path, name: str, data: bytes) -> FileEntry:
    write_file(folder, name, data)
    return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())
