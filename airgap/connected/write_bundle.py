"""The stages of a bundle: plan it, write its images, write its recordings, sign it last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
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
from airgap.connected.filesystem import has_holes
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
from airgap.progress import Progress
from airgap.replay.contents_rules import check_bundle, check_contents
from airgap.spec.bundle_spec import Request
from airgap.store.tags import colliding
from airgap.trust.keys import PrivateKey


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Where a bundle is written, and in which form.

    Attributes:
        output: The folder; absent, empty, or this request's unfinished bundle.
        expires: When hosts start to refuse the bundle; None for never.
        volume_bytes: The largest size of a volume in bytes; 0 for one volume of any size.
        durable: Whether to wait until the disk has every byte.
        fixed: What a lock fixed; `Unfinished.resume` refuses what another run fixed.
    """

    output: Path
    expires: datetime | None = None
    volume_bytes: int = 0
    durable: bool = True
    fixed: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class PlannedBundle:
    """A bundle that is planned and not written yet.

    Attributes:
        target: Where it is written, and in which form.
        unfinished: What an interrupted run has left in the folder.
        started: Serial, time and digests, which every run of this bundle has in common.
        plan: Contents and layout.
    """

    target: OutputOptions
    unfinished: Unfinished
    started: Checkpoint
    plan: BundlePlan


def plan_bundle(
    request: Request, target: OutputOptions, registry: Registry, progress: Progress, jobs: int = 1
) -> PlannedBundle:
    """Resolve every name, or take what a lock or an interrupted run fixed, and lay out the tar.

    Args:
        request: What the bundle must contain.
        target: Where the bundle is written, and in which form.
        registry: Where registries are asked.
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
        progress.message(f"continuing the bundle of {earlier.created}, with the digests of then")
    started = target.fixed or earlier
    if started:
        check_past(started.created)
    images = resolve_all(registry, request, started.digests if started else {}, jobs)
    if started is None:
        now = datetime.now(UTC).replace(microsecond=0)
        digests = {image.entry.name: image.entry.digest for image in images}
        started = Checkpoint(int(now.timestamp()), format_time(now), digests)
    contents = Contents(
        name=request.name,
        serial=started.serial,
        created=started.created,
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
    return PlannedBundle(target, unfinished, started, plan)


def write_images(
    planned: PlannedBundle,
    tool: bytes,
    registry: Registry,
    limits: TransferLimits,
    progress: Progress,
) -> Contents:
    """Write the tool and the images of a planned bundle, or what is missing of them.

    Recordings of an earlier run are removed: every run makes its own.

    Args:
        planned: From `plan_bundle`; its `unfinished` is being resumed.
        tool: The bytes of `airgap.pyz`.
        registry: Where blobs come from.
        limits: How many connections, and how fast.
        progress: Sees what happens.

    Returns:
        The contents as far as they are written.

    Raises:
        AirgapError: Anything that went wrong; the next run continues from there.
    """
    output = planned.target.output
    with _writing(output):
        remove_replay(output)
        tool_file = _write_file(output, TOOL_NAME, tool)
        if not has_holes(output):
            limits = replace(limits, in_order=True)
        volumes = _write_tar(planned, registry, limits, progress)
    return planned.plan.contents.with_files([*volumes, tool_file])


def write_recordings(
    planned: PlannedBundle, contents: Contents, recorded: Recorded, progress: Progress
) -> Contents:
    """Write `replay.tar` beside the images.

    Args:
        planned: The bundle.
        contents: From `write_images`.
        recorded: The recordings.
        progress: Sees what happens.

    Returns:
        The contents with the recordings.

    Raises:
        AirgapError: The disk or a limit refuses them.
    """
    target, mtime = planned.target, contents.created_seconds
    with _writing(target.output):
        plan = plan_replay(recorded, mtime, target.volume_bytes)
        contents = contents.with_recordings(recorded.entries, plan.blobs)
        _check_limits(contents, plan.tar_bytes, "What was recorded was not kept.")
        replay = write_replay(plan, recorded.store, target.output, progress, durable=target.durable)
    volumes = contents.volumes
    others = [file for file in contents.files if file not in volumes]
    return contents.with_files([*volumes, *replay, *others])


@contextmanager
def open_unsigned(output: Path, contents: Contents) -> Iterator[tuple[Archive, ReplayTar]]:
    """Open what is written of a bundle before it is signed."""
    media = Media([output], finished=False)
    with Archive(media, contents) as archive, ReplayTar(media, contents) as replay:
        yield archive, replay


def sign_bundle(planned: PlannedBundle, contents: Contents, key: PrivateKey) -> Contents:
    """Write the small files of a bundle, read everything back, and sign it.

    Args:
        planned: The bundle.
        contents: What `write_images` and `write_recordings` have written.
        key: Signs it.

    Returns:
        The contents that were signed.

    Raises:
        IntegrityError: No host would install it.
        AirgapError: The disk refuses it.
    """
    output = planned.target.output
    with _writing(output):
        text = readme.render(contents, key.public).encode()
        contents = contents.with_files([*contents.files, _write_file(output, README_NAME, text)])
        _check_readable(output, contents)
        sums = checksums(contents)
        check_past(contents.created)
        write_file(output, CONTENTS_NAME, contents.to_bytes())
        write_file(output, SIGNATURE_NAME, key.sign(sums))
        write_file(output, CHECKSUMS_NAME, sums)
        planned.unfinished.remove()
    return contents


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    """Whatever the operating system refuses on the way, as an error for people."""
    try:
        yield
    except OSError as error:
        raise not_written(output, error) from error


def _check_limits(contents: Contents, tar_bytes: int, undone: str) -> None:
    """Refuse at once what no reader of bundles would take.

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
    """Refuse two images that would have one tag on the host."""
    if found := colliding(contents.images):
        tag, first, second = found
        raise UsageError(
            f"{first.reference.familiar} and {second.reference.familiar} are two images, and both "
            f"set the tag {tag} of a mirror",
            meaning="No host would install the bundle. Nothing was fetched.",
            remedy="leave one out, or name it by its digest: "
            f"{first.reference.name}@{first.digest}",
        )


def _planned_files(plan: BundlePlan) -> list[FileEntry]:
    """Return the files that a bundle will have, with sums that nobody knows yet."""
    sizes = {volume.name: volume.size for volume in plan.volumes} | {TOOL_NAME: 0, README_NAME: 0}
    return [FileEntry(name, size, "0" * 64) for name, size in sizes.items()]


def _check_readable(output: Path, contents: Contents) -> None:
    """Read the bundle back, by the rules that `install` applies to it.

    Raises:
        IntegrityError: No host would install it.
    """
    media = Media([output], finished=False)
    with (
        _installable("It was not signed."),
        open_unsigned(output, contents) as (archive, replay),
    ):
        check_bundle(media, contents, archive, replay)


@contextmanager
def _installable(undone: str) -> Iterator[None]:
    """Turn what a reader of the bundle would report into an error for its maker."""
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
    planned: PlannedBundle, registry: Registry, limits: TransferLimits, progress: Progress
) -> list[FileEntry]:
    output, plan, journal_path = (
        planned.target.output,
        planned.plan,
        planned.unfinished.journal_path,
    )
    with TarWriter(output, plan.volumes, durable=planned.target.durable) as tar:
        try:
            journal = Journal(journal_path, tar, plan.contents.blobs)
        except OSError as error:
            raise not_written(journal_path, error) from error
        sync(output)
        sync(journal_path.parent)
        return write_tar(tar, output, plan, journal, registry, limits, progress)


def _write_file(folder: Path, name: str, data: bytes) -> FileEntry:
    write_file(folder, name, data)
    return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())
