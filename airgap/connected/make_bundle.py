"""Making a bundle: plan, fetch, record, rehearse, and sign last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from airgap.builder.ephemeral_builder import ephemeral_folder
from airgap.bundle.contents import Contents
from airgap.connected.fetch import TransferLimits
from airgap.connected.fetch_urls import fetch_requested
from airgap.connected.filesystem import check_room
from airgap.connected.lockfile import Locked, lock_of, write_lock
from airgap.connected.plan import BundlePlan
from airgap.connected.record_builds import RecordOptions, check_workstation, record
from airgap.connected.rehearse import rehearse
from airgap.connected.replay_tar import Recorded
from airgap.connected.write_bundle import (
    OutputOptions,
    PlannedBundle,
    open_unsigned,
    plan_bundle,
    sign_bundle,
    write_images,
    write_recordings,
)
from airgap.errors import UsageError
from airgap.oci.platform import parse_platform
from airgap.oci.registry import RegistryClient
from airgap.progress import Progress
from airgap.spec.bundle_spec import Request
from airgap.spec.lock import load_lock
from airgap.spec.request_file import RequestFile
from airgap.store.store import Store
from airgap.tool import build_pyz
from airgap.trust.keys import PrivateKey


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """What a bundle is made from, and how.

    Attributes:
        request: Images and builds to record.
        request_file: Images and URLs that hosts asked for.
        target: Where the bundle is written, and in which form.
        limits: How many connections, and how fast.
        ca: A file with CA certificates to trust while recording, beside the system's.
        keep_authenticated: Whether responses to requests with credentials are kept.
        rehearse: Whether to build from the bundle alone before it is signed.
        locked: The lock that the bundle must equal; None for none.
        lock: The file that gets the lock of this bundle; None for none.
    """

    request: Request
    request_file: RequestFile
    target: OutputOptions
    limits: TransferLimits
    ca: Path | None = None
    keep_authenticated: bool = False
    rehearse: bool = False
    locked: Locked | None = None
    lock: Path | None = None

    def check(self, *, dry_run: bool) -> None:
        """Refuse what cannot work, before anything is fetched.

        Args:
            dry_run: Whether the bundle is only planned.

        Raises:
            UsageError: The options contradict each other, or the lock is damaged.
            HostError: Builds cannot be recorded here.
        """
        if self.request.recordings and not dry_run:
            check_workstation(self.request)
        if self.rehearse and not self.request.recordings:
            raise UsageError(
                "there is nothing to rehearse", remedy="--record PATH, or airgap rehearse"
            )
        if self.lock:
            load_lock(self.lock)  # another file is not overwritten


def make_bundle(
    options: BundleOptions,
    client: RegistryClient,
    key: PrivateKey | None,
    progress: Progress,
    show: Callable[[BundlePlan], None],
) -> Contents | None:
    """Make a bundle, or continue one that was interrupted.

    Args:
        options: What it is made from; `BundleOptions.check` has passed them.
        client: Asks registries.
        key: Signs the bundle; None to stop after the plan.
        progress: Sees what happens.
        show: Shows the plan before anything is fetched.

    Returns:
        The contents that were signed, or None without a key.

    Raises:
        AirgapError: Anything that went wrong; the next run continues from there.
    """
    locked = options.locked
    with locked.explained() if locked else nullcontext():
        if locked and locked.is_over:
            progress.message(f"{locked.path} expired: hosts will refuse the bundle")
        progress.message(f"resolving {len(options.request.images)} images")
        jobs = options.limits.jobs
        planned = plan_bundle(options.request, options.target, client, progress, jobs)
        show(planned.plan)
        for registry, left in client.rate_limits.items():
            progress.message(f"{registry}: {left}")
        if key is None:
            return None
        with _requested(options, planned.started.serial, progress) as requested:
            return _write(options, planned, client, key, requested, progress)


@dataclass(frozen=True, slots=True)
class _Requested:
    """The responses to requested URLs, and where further ones are kept.

    Attributes:
        recorded: The requested URLs, as a recording.
        folder: For images and responses until the bundle is written.
    """

    recorded: Recorded
    folder: Path


@contextmanager
def _requested(
    options: BundleOptions, serial: int, progress: Progress
) -> Iterator[_Requested | None]:
    """Fetch the URLs of request files; None if the bundle has no recordings at all."""
    urls = options.request_file.urls
    if not options.request.recordings and not urls:
        yield None
        return
    with ephemeral_folder(user_cache_path("airgap")) as folder:
        store = Store(folder / "answers")
        jobs = options.limits.jobs
        yield _Requested(
            fetch_requested(urls, store, serial, progress, ca=options.ca, jobs=jobs), folder
        )


def _write(
    options: BundleOptions,
    planned: PlannedBundle,
    client: RegistryClient,
    key: PrivateKey,
    requested: _Requested | None,
    progress: Progress,
) -> Contents:
    output = planned.target.output
    check_room(output, planned.plan.volumes)
    with planned.unfinished.resume(planned.started):
        # First what is quick and may fail: the blobs can take hours.
        tool = _build_tool(options, planned.plan.contents, progress)
        contents = write_images(planned, tool, client, options.limits, progress)
        if requested is not None:
            recorded = _record(options, output, contents, requested, progress)
            contents = write_recordings(planned, contents, recorded, progress)
            if options.rehearse:
                with open_unsigned(output, contents) as (archive, replay):
                    builds = options.request.recordings
                    rehearse(archive, replay, builds, requested.folder, progress)
        return sign_bundle(planned, contents, key)


def _build_tool(options: BundleOptions, contents: Contents, progress: Progress) -> bytes:
    """Build the tool, and compare it with the lock or write the lock."""
    progress.message("building the tool for the isolated host")
    hosts = [parse_platform(text) for text in contents.host_platforms]
    tool = build_pyz.build_tool(hosts, progress=progress)
    if options.locked:
        options.locked.check_tool(tool)
    elif options.lock:
        write_lock(options.lock, lock_of(options.request, contents, tool))
    return tool


def _record(
    options: BundleOptions,
    output: Path,
    contents: Contents,
    requested: _Requested,
    progress: Progress,
) -> Recorded:
    """Record the builds, with the images that are written."""
    builds = options.request.recordings
    if not builds:
        return requested.recorded
    how = RecordOptions(options.ca, options.keep_authenticated, requested.folder)
    with open_unsigned(output, contents) as (archive, _):
        store = requested.recorded.store
        return requested.recorded.merge(record(builds, archive, how, store, progress))
