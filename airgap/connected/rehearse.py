"""Builds from a bundle alone, on a network without a way out: the proof before it is carried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from airgap.builder.arguments import recording_arguments
from airgap.builder.build_context import open_source
from airgap.builder.ephemeral_builder import BuilderInputs, open_ephemeral_builder
from airgap.bundle.archive import Archive
from airgap.bundle.contents import RecordingEntry
from airgap.bundle.replay_tar import ReplayTar
from airgap.dockerfile.parse import read_dockerfile
from airgap.oci.digest import digest_of
from airgap.oci.platform import native_platform, parse_platform
from airgap.offline.build import build, choose
from airgap.offline.inputs import BuildInputs
from airgap.progress import Progress
from airgap.spec.bundle_spec import RecordingSpec
from airgap.store.bundle_set import BundleSet
from airgap.store.seed import seed, seed_replay
from airgap.store.store import Store


def rehearse(
    archive: Archive,
    replay: ReplayTar,
    builds: Sequence[RecordingSpec],
    folder: Path,
    progress: Progress,
    recording: str = "",
) -> None:
    """Build each from nothing but the bundle. Nothing is left behind.

    Args:
        archive: The bundle's images.
        replay: The bundle's recordings.
        builds: What to build; without platforms, for those that were recorded.
        folder: For images and recordings meanwhile; see `ephemeral_folder`.
        progress: Sees what happens.
        recording: Which recording to replay; empty to choose by the Dockerfile.

    Raises:
        HostError: Docker is not there, or the bundle lacks what it takes.
        NotHereError: The bundle lacks something that a build needs.
        MissedError: A build failed.
        IntegrityError: The bundle is damaged.
    """
    desired = BundleSet.of([archive.contents])
    named = [_named(item, desired.recordings, recording) for item in builds]
    with TemporaryDirectory(dir=folder) as name:
        inputs = BuildInputs(desired, Store(Path(name, "mirror")), Store(Path(name, "replay")))
        seed(inputs.mirror, archive, progress)
        seed_replay(inputs.replay, replay, progress)
        material = BuilderInputs(
            store=inputs.mirror,
            roles=desired.roles,
            native=native_platform(),
            platforms=[platform for item, _ in named for platform in item.platforms or ()],
            folder=Path(name),
        )
        with open_ephemeral_builder(material, desired.hosts, progress, closed=True) as builder:
            for item, chosen in named:
                progress.message(f"rehearsing {item.name}: {item.dockerfile_path}")
                builder.buildx.output(["prune", "--all", "--force"])
                with open_source(recording_arguments(item)) as source:
                    built = build(inputs, builder, source, chosen)
                for request in built.missed:
                    progress.message(f"not in the recording, and it continued: {request.shown}")


def _named(
    build: RecordingSpec, recordings: Mapping[str, RecordingEntry], name: str
) -> tuple[RecordingSpec, str]:
    """Return a build with platforms, and the name of its recording; empty to choose by Dockerfile.

    Its platforms are its own, or those that were recorded, or this machine's.
    """
    name = name or (build.name if build.name in recordings else "")
    if build.platforms:
        return build, name
    chosen = choose(recordings, name, digest_of(read_dockerfile(build.dockerfile_path).encode()))
    recorded = chosen[0].platforms if chosen else ()
    platforms = tuple(parse_platform(text) for text in recorded) or (native_platform(),)
    return replace(build, platforms=platforms), name
