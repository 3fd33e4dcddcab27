"""An ordinary build whose RUN steps are answered from a recording."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from airgap.builder.arguments import BuildArguments
from airgap.builder.build_context import BuildSource
from airgap.builder.buildx import Builder
from airgap.builder.buildx_build import Egress
from airgap.builder.buildx_build import build as run_build
from airgap.builder.emulated_steps import EmulatedStep, emulated_steps, may_emulate
from airgap.builder.proxy_ca import kept_ca
from airgap.bundle.contents import RecordingEntry
from airgap.dockerfile.stages import BuildOptions
from airgap.errors import BuildError, NotFoundError, UsageError
from airgap.oci.digest import digest_of
from airgap.oci.platform import native_platform, parse_platform
from airgap.offline.inputs import BuildInputs
from airgap.offline.missing import Missing, find_missing
from airgap.offline.onbuild import triggers
from airgap.replay.detached_server import detached_server
from airgap.replay.dockerfile import needs
from airgap.replay.recording_store import load_recording
from airgap.replay.redaction import header_without_secrets
from airgap.replay.replay import Replay
from airgap.replay.request import RequestKey
from airgap.spec.request_file import RequestedImage, RequestedUrl, RequestFile

_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Built:
    """What a build came to.

    Attributes:
        missed: What its RUN steps asked for and no recording has, though the build continued.
        emulated: Its emulated steps, the slowest first.
        unlisted: How much more they asked for, when there was too much to list.
    """

    missed: Sequence[RequestKey]
    emulated: Sequence[EmulatedStep]
    unlisted: int = 0


class NotHereError(NotFoundError):
    """The mirror or the recording lacks what a build needs (exit 3)."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(
            "this host lacks what the build needs:\n    " + "\n    ".join(missing.lines),
            meaning="Nothing was built.",
        )
        self.missing = missing


class MissedError(BuildError):
    """A build failed (exit 10).

    Attributes:
        missed: What its RUN steps asked for and no recording has.
    """

    def __init__(self, message: str, missed: Sequence[RequestKey], notes: Sequence[str]) -> None:
        lines = [f"{request.shown} is not in the recording" for request in missed[:_SHOWN]]
        if len(missed) > _SHOWN:
            lines.append(f"{len(missed) - _SHOWN} more are not in the recording")
        lines += notes
        super().__init__(message, meaning="\n  ".join(lines) or "buildx says why, above.")
        self.missed = missed


def build(inputs: BuildInputs, builder: Builder, source: BuildSource, recording: str) -> Built:
    """Look for all that is missing first, then builds while a recording answers.

    Args:
        inputs: What there is.
        builder: Builds.
        source: What is to be built.
        recording: Which one to replay; empty to choose by the Dockerfile.

    Raises:
        NotHereError: An image, or what an ADD fetches, is not here; names all.
        NotFoundError: There is no such recording.
        UsageError: Several recordings fit, or the arguments are wrong.
        HostError: The builder does not answer.
        MissedError: The build failed.
    """
    if source.arguments.last("--builder") not in ("", builder.buildx.builder):
        raise UsageError(
            f"only the builder {builder.buildx.builder!r} can replay", remedy="leave --builder out"
        )
    desired, dockerfile = inputs.desired, digest_of(source.text.encode())
    chosen = choose(desired.recordings, recording, dockerfile, desired.recorded)
    recordings = [load_recording(inputs.replay, entry) for entry in chosen]
    options = build_options(source.arguments)
    # With what the mirror's images have derived builds do.
    found = needs(source.dockerfile, options, partial(triggers, inputs))
    missing = find_missing(inputs, found, recordings, options.args)
    if missing.images or missing.urls:
        raise NotHereError(missing)
    replay = Replay(inputs.replay, recordings, options.args)
    with (
        _shared(inputs) as shared,
        detached_server(replay, builder.address, builder.token, shared) as server,
        _metadata(source.arguments) as (arguments, metadata),
    ):
        ca = kept_ca(builder, native_platform())
        way_out = Egress(server.base, ca, any_date=True)
        bare = source.with_arguments(_without_provenance(arguments))
        exit_status = run_build(bare, builder.buildx, way_out)
        status, ref = server.status(), _ref(metadata)
    if exit_status != 0:
        notes = [f"{note.url}: {note.why}" for note in (*status.refused, *status.errors)]
        if status.unlisted:
            notes.append(f"{status.unlisted} more requests had no answer, and are not listed")
        notes += [hint.sentence for hint in found.hints]
        raise MissedError(f"the build failed (buildx: {exit_status})", status.misses, notes)
    slow: Sequence[EmulatedStep] = ()
    if ref and may_emulate(found, options):
        slow = emulated_steps(builder.buildx, ref, native_platform(), options.platforms)
    return Built(status.misses, slow, status.unlisted)


@contextmanager
def _shared(inputs: BuildInputs) -> Iterator[Path]:
    """Make a folder for builds that share responses; other users cannot lock it."""
    if inputs.replay.root.is_dir():
        yield inputs.replay.root
        return
    with TemporaryDirectory(prefix="airgap-") as name:  # nothing was recorded
        yield Path(name)


def requested(error: NotHereError | MissedError) -> RequestFile:
    """Return what the workstation should include, so that the build continues."""
    if isinstance(error, NotHereError):
        held = error.missing.held
        images = [
            RequestedImage(
                need.reference,
                tuple(dict.fromkeys((*need.platforms, *held.get(need.reference, ())))),
            )
            for need in error.missing.images
        ]
        return RequestFile(
            tuple(images), tuple(RequestedUrl(url.url) for url in error.missing.urls)
        )
    return requested_urls(error.missed)


def requested_urls(missed: Sequence[RequestKey]) -> RequestFile:
    """Return what no recording had, to be asked for."""
    return RequestFile(
        (),
        tuple(
            RequestedUrl(
                item.shown,
                header_without_secrets(item.accept, item.arguments),
                header_without_secrets(item.range, item.arguments),
            )
            for item in missed
        ),
    )


def choose(
    recordings: Mapping[str, RecordingEntry],
    name: str,
    dockerfile: str,
    recorded: Mapping[str, str] | None = None,
) -> list[RecordingEntry]:
    """Return the recording of a build, and after it those that only add what was asked for.

    Args:
        recordings: Name to recording, of this host; later ones are of newer bundles.
        name: The wanted one; empty for the one of the Dockerfile, or the only one.
        dockerfile: Digest of the Dockerfile.
        recorded: Name to when its bundle was made; of a Dockerfile's the newest count.

    Raises:
        NotFoundError: There is none of that name.
        UsageError: It cannot be told which one is meant.
    """
    added = [entry for entry in [*recordings.values()][::-1] if not entry.dockerfile]
    builds = [entry for entry in recordings.values() if entry.dockerfile]
    if name:
        if name not in recordings:
            raise NotFoundError(
                f"no installed bundle has the recording {name}", remedy=_choice(builds)
            )
        return list(dict.fromkeys([recordings[name], *added]))
    same = [entry for entry in builds if entry.dockerfile == dockerfile]
    if recorded and same:
        newest = max(recorded[entry.name] for entry in same)
        same = [entry for entry in same if recorded[entry.name] == newest]
    same = same or builds
    if len(same) > 1:
        raise UsageError(
            "several recordings could be meant", remedy=f"--recording NAME: {_choice(same)}"
        )
    return [*same, *added]


def build_options(arguments: BuildArguments) -> BuildOptions:
    """Return the options that decide what a Dockerfile needs.

    Raises:
        UsageError: A platform is malformed.
    """
    given = arguments.all("--platform") or [os.environ.get("DOCKER_DEFAULT_PLATFORM", "")]
    platforms = [
        native_platform() if text == "local" else parse_platform(text)
        for value in given
        for text in value.split(",")
        if text
    ]
    pairs = (text.partition("=") for text in arguments.all("--build-context"))
    return BuildOptions(
        platforms=tuple(dict.fromkeys(platforms)) or (native_platform(),),
        build_platform=native_platform(),
        target=arguments.last("--target"),
        args=arguments.build_args(),
        contexts={name: value for name, _, value in pairs},
    )


def _choice(entries: Sequence[RecordingEntry]) -> str:
    return ", ".join(entry.name for entry in entries) or "there is none: airgap status"


def _without_provenance(arguments: BuildArguments) -> BuildArguments:
    """Without the attestation that buildx makes by itself, unless somebody wants one.

    BuildKit lists in it what RUN steps asked for, with all secrets (`llbsolver/provenance.go`).
    """
    if arguments.all("--provenance") or arguments.all("--attest"):
        return arguments
    return arguments.plus("--provenance", "false")


@contextmanager
def _metadata(arguments: BuildArguments) -> Iterator[tuple[BuildArguments, Path]]:
    """Make buildx write the build's metadata, to the user's own file or one of ours."""
    own = arguments.last("--metadata-file")
    if own:
        yield arguments, Path(own)
        return
    with NamedTemporaryFile(prefix="airgap-") as file:
        yield arguments.plus("--metadata-file", file.name), Path(file.name)


def _ref(metadata: Path) -> str:
    with suppress(OSError, ValueError, KeyError):
        return str(json.loads(metadata.read_bytes())["buildx.build.ref"])
    return ""
