"""Recording builds: one build each, with BuildKit and bases of the very bundle being made."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory

from airgap import log
from airgap.builder.arguments import recording_arguments
from airgap.builder.build_context import BuildSource, open_source
from airgap.builder.buildx import Builder
from airgap.builder.buildx_build import Egress, build
from airgap.builder.engine import Engine
from airgap.builder.ephemeral_builder import ROLES, BuilderInputs, open_ephemeral_builder
from airgap.builder.proxy_ca import proxy_ca
from airgap.bundle.archive import Archive
from airgap.canonical import format_time, is_time
from airgap.connected.replay_tar import Recorded
from airgap.dockerfile.parse import parse_dockerfile, read_dockerfile
from airgap.dockerfile.scan import Scan
from airgap.dockerfile.stages import BuildOptions
from airgap.errors import BuildError, HostError, UsageError
from airgap.limits import LIMITS
from airgap.oci.digest import digest_of
from airgap.oci.platform import native_platform
from airgap.progress import Progress, format_bytes
from airgap.replay.dockerfile import needs
from airgap.replay.recorder import Recorder, upstream_session
from airgap.replay.recording import Recording
from airgap.replay.server import Server
from airgap.spec.bundle_spec import RecordingSpec, Request, WantedImage, unite_images
from airgap.store.seed import seed
from airgap.store.store import Store

_RELEASE_FILE = re.compile(r"/(?:In)?Release$")
_VALID_UNTIL = re.compile(rb"^Valid-Until: *(.+)$", re.M)


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """How builds are recorded.

    Attributes:
        ca: A file with certificates to trust, beside the system's.
        keep_authenticated: Whether answers to requests with credentials are kept.
        folder: For images and answers meanwhile; see `ephemeral_folder`.
    """

    ca: Path | None
    keep_authenticated: bool
    folder: Path


def check_workstation(request: Request) -> None:
    """Make sure that builds can be recorded here.

    Args:
        request: With builds to record.

    Raises:
        UsageError: The bundle is to have no parts of a builder for this machine.
        HostError: Docker is not there.
    """
    roles = {role for image in request.images for role in image.roles}
    if not set(ROLES) <= roles or native_platform() not in request.host_platforms:
        raise UsageError(
            f"builds are recorded with the bundle's own builder, for {native_platform()}",
            meaning="This bundle is to have none.",
            remedy=f'without --no-roles, and with host_platforms = ["{native_platform()}"]',
        )
    try:
        Engine(Path()).check()
    except HostError as error:
        meaning = f"Builds are recorded with Docker. {error.meaning}".rstrip()
        raise error.but(meaning=meaning) from error
    if shutil.which("docker") is None:
        raise HostError(
            "the docker command is not here",
            meaning="buildx reaches BuildKit through it, to record builds.",
            remedy="install Docker's command line",
        )


def scan(recording: RecordingSpec) -> Scan:
    """Return what a build to be recorded needs from outside.

    Raises:
        UsageError: Its Dockerfile is not valid.
    """
    log.hide(recording.args)
    path = recording.dockerfile_path
    options = BuildOptions(
        platforms=recording.platforms or (),
        build_platform=native_platform(),
        target=recording.target,
        args=recording.args,
    )
    return needs(parse_dockerfile(read_dockerfile(path), str(path)), options)


def with_images(request: Request) -> Request:
    """Return the request with all images that its builds need.

    Raises:
        UsageError: A Dockerfile is not valid.
    """
    found = [
        # Of an image for one platform a build takes that one.
        WantedImage(need.reference, need.platforms, (), ("base",))
        for recording in request.recordings
        for need in scan(recording).images
    ]
    return replace(request, images=unite_images([*request.images, *found]))


def record(
    recordings: Sequence[RecordingSpec],
    archive: Archive,
    options: RecordOptions,
    answers: Store,
    progress: Progress,
) -> Recorded:
    """Record builds, one after the other, each without a cache of the one before.

    Args:
        recordings: What to record; at least one.
        archive: Of the bundle being made, with all images.
        options: How.
        answers: Where what is recorded is kept.
        progress: Sees what happens.

    Raises:
        HostError: Docker is not there, or the bundle lacks what it takes.
        BuildError: A build failed; nothing is recorded.
    """
    with TemporaryDirectory(dir=options.folder) as name:
        material = _material(recordings, archive, Path(name), progress)
        hosts = [image.reference.host for image in archive.contents.images]
        with open_ephemeral_builder(material, hosts, progress, closed=False) as builder:
            recorded = [
                _record_one(recording, builder, answers, options, progress)
                for recording in recordings
            ]
    return reduce(Recorded.merge, recorded)


def _material(
    recordings: Sequence[RecordingSpec], archive: Archive, folder: Path, progress: Progress
) -> BuilderInputs:
    """Return the images that the builds take, in a store of their own."""
    images = archive.contents.images
    needed = {str(need.reference) for recording in recordings for need in scan(recording).images}
    included = [image for image in images if image.name in needed or set(image.roles) - {"base"}]
    store = Store(folder / "mirror")
    seed(store, archive, progress, included)
    return BuilderInputs(
        store=store,
        roles={role: image for image in images for role in image.roles},
        native=native_platform(),
        platforms=[platform for recording in recordings for platform in recording.platforms or ()],
        folder=folder,
    )


def _record_one(
    recording: RecordingSpec,
    builder: Builder,
    answers: Store,
    options: RecordOptions,
    progress: Progress,
) -> Recorded:
    progress.message(f"recording {recording.name}: {recording.dockerfile_path}")
    recorder = Recorder(
        answers,
        upstream_session(options.ca),
        record_authenticated=options.keep_authenticated,
        arguments=recording.args,
    )
    # Of an earlier recording: what is in a cache is not downloaded, and so not recorded.
    builder.buildx.output(["prune", "--all", "--force"])
    with (
        open_source(recording_arguments(recording)) as source,
        Server(recorder, builder.address) as server,
    ):
        ca = proxy_ca(builder.buildx, native_platform())
        status = build(source, builder.buildx, Egress(server.base, ca, any_date=False))
    if status != 0:
        raise _failed(recording, recorder)
    return _recorded(recording, source, recorder, answers, progress)


def _recorded(
    recording: RecordingSpec,
    source: BuildSource,
    recorder: Recorder,
    answers: Store,
    progress: Progress,
) -> Recorded:
    found = recorder.recording()
    size = sum({response.digest: response.size for response in found.responses.values()}.values())
    progress.message(
        f"recorded {recording.name}: {len(found.responses)} answers, {format_bytes(size)}"
    )
    for note in (*recorder.left_out, *recorder.refused):
        progress.message(f"not recorded: {note.url}: {note.why}")
    return Recorded.of(
        found,
        answers,
        recording.name,
        dockerfile=digest_of(source.text.encode()),
        platforms=tuple(str(platform) for platform in recording.platforms or ()),
        until=until(found, answers),
    )


def _failed(recording: RecordingSpec, recorder: Recorder) -> BuildError:
    notes = [*recorder.failures, *recorder.refused]
    lines = [f"{note.url}: {note.why}" for note in notes[:10]]
    lines += [hint.sentence for hint in scan(recording).hints]
    return BuildError(
        f"the build of {recording.name} failed: nothing is recorded",
        meaning="\n  ".join(lines) or "The build's own messages, above, say why.",
        remedy="correct it, and run the same command again: what was fetched is kept",
    )


def until(recording: Recording, answers: Store) -> str:
    """Until when apt takes all release files of a recording with its checks of dates on.

    Empty if there is no such limit.
    """
    moments = [
        format_time(moment)
        for response in recording.responses.values()
        if _RELEASE_FILE.search(response.url) and response.size <= LIMITS.config_bytes
        for moment in _valid_until(answers.small_blob(response.digest, LIMITS.config_bytes))
    ]
    return min(filter(is_time, moments), default="")


def _valid_until(release: bytes) -> Iterable[datetime]:
    """Return the Valid-Until of a Debian release file (Debian wiki, "DebianRepository/Format")."""
    found = _VALID_UNTIL.search(release)
    try:
        moment = parsedate_to_datetime(found[1].decode("ascii")) if found else None
        if moment is not None:
            yield moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):  # no date, or none that there is
        return
