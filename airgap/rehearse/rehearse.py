"""Builds from a bundle alone, on a network without a way out: the proof before it is carried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from airgap.builder.arguments import arguments_of
from airgap.builder.source import open_source
from airgap.builder.workshop import Material, open_workshop
from airgap.bundle.archive import Archive
from airgap.bundle.contents import RecordingEntry
from airgap.bundle.replay_tar import ReplayTar
from airgap.isolated.build import Built, build, choose, digest_of
from airgap.isolated.host import native_platform
from airgap.isolated.stock import Stock
from airgap.isolated.wanted import Wanted
from airgap.oci.platform import parse_platform
from airgap.progress import Progress
from airgap.spec.bundle_spec import RecordingSpec
from airgap.spec.dockerfile import read_dockerfile
from airgap.store.seed import seed, seed_replay
from airgap.store.store import Store


def rehearse(
    archive: Archive,
    replay: ReplayTar,
    builds: Sequence[RecordingSpec],
    folder: Path,
    progress: Progress,
    recording: str = "",
) -> list[Built]:
    """Builds each from nothing but the bundle. Nothing is left behind.

    Args:
        archive: The bundle's images.
        replay: The bundle's recordings.
        builds: What to build; without platforms, for those that were recorded.
        folder: For images and recordings meanwhile; see `workshop_folder`.
        progress: Sees what happens.
        recording: Which recording to replay; empty to choose by the Dockerfile.

    Raises:
        HostError: Docker is not there, or the bundle lacks what it takes.
        NotHereError: The bundle lacks something that a build needs.
        MissedError: A build failed.
        IntegrityError: The bundle is damaged.
    """
    contents = archive.contents
    recordings = Wanted.of([contents]).recordings
    builds = [_with_platforms(one, recordings, recording) for one in builds]
    with TemporaryDirectory(dir=folder) as name:
        stock = Stock(
            Wanted.of([contents]), Store(Path(name, "mirror")), Store(Path(name, "replay"))
        )
        seed(stock.mirror, archive, progress)
        seed_replay(stock.replay, replay, progress)
        material = Material(
            store=stock.mirror,
            roles=stock.wanted.roles,
            native=native_platform(),
            platforms=[one for each in builds for one in each.platforms or ()],
            folder=Path(name),
        )
        with open_workshop(material, stock.wanted.hosts, progress, closed=True) as builder:
            done = []
            for one in builds:
                progress.message(f"rehearsing {one.name}: {one.dockerfile_path}")
                builder.buildx.output(["prune", "--all", "--force"])
                chosen = _recording_of(one, recordings, recording)
                with open_source(arguments_of(one)) as source:
                    done.append(build(stock, builder, source, chosen))
                for asked in done[-1].missed:
                    progress.message(f"not in the recording, and it went on: {asked.shown}")
            return done


def _recording_of(build: RecordingSpec, recordings: Mapping[str, RecordingEntry], name: str) -> str:
    """Which recording to replay: the named one, or that of the build's own name."""
    return name or (build.name if build.name in recordings else "")


def _with_platforms(
    build: RecordingSpec, recordings: Mapping[str, RecordingEntry], name: str
) -> RecordingSpec:
    """A build with platforms: its own, or those that were recorded, or this machine's."""
    if build.platforms:
        return build
    name = _recording_of(build, recordings, name)
    chosen = choose(recordings, name, digest_of(read_dockerfile(build.dockerfile_path)))
    recorded = chosen[0].platforms if chosen else ()
    platforms = tuple(parse_platform(text) for text in recorded) or (native_platform(),)
    return replace(build, platforms=platforms)
