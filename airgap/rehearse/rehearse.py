"""Builds from a bundle alone, on a network without a way out: the proof before it is carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from airgap.builder.arguments import BuildArguments
from airgap.builder.source import open_source
from airgap.builder.workshop import Material, open_workshop
from airgap.bundle.archive import Archive
from airgap.bundle.replay_tar import ReplayTar
from airgap.isolated.build import Built, build, build_options
from airgap.isolated.host import native_platform
from airgap.isolated.stock import Stock
from airgap.isolated.wanted import Wanted
from airgap.oci.platform import Platform
from airgap.progress import Progress
from airgap.store.seed import seed, seed_replay
from airgap.store.store import Store


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A build to be rehearsed.

    Attributes:
        arguments: For buildx, without an output.
        recording: Which recording to replay; empty to choose by the Dockerfile.
    """

    arguments: BuildArguments
    recording: str = ""


def rehearse(
    archive: Archive,
    replay: ReplayTar,
    rehearsals: Sequence[Rehearsal],
    folder: Path,
    progress: Progress,
) -> list[Built]:
    """Builds each from nothing but the bundle. Nothing is left behind.

    Args:
        archive: The bundle's images.
        replay: The bundle's recordings.
        rehearsals: What to build.
        folder: For images and recordings meanwhile; it need not exist.
        progress: Sees what happens.

    Raises:
        HostError: Docker is not there, or the bundle lacks what it takes.
        NotHereError: The bundle lacks something that a build needs.
        MissedError: A build failed.
        IntegrityError: The bundle is damaged.
    """
    contents = archive.contents
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="rehearse-", dir=folder) as name:
        stock = Stock(
            Wanted.of([contents]), Store(Path(name, "mirror")), Store(Path(name, "replay"))
        )
        seed(stock.mirror, archive, progress)
        seed_replay(stock.replay, replay, progress)
        material = Material(
            store=stock.mirror,
            roles=stock.wanted.roles,
            native=native_platform(),
            platforms=_platforms(rehearsals),
            folder=Path(name),
        )
        with open_workshop(material, stock.wanted.hosts, progress, closed=True) as builder:
            done = []
            for rehearsal in rehearsals:
                progress.message(f"rehearsing {rehearsal.arguments.context}")
                builder.buildx.output(["prune", "--all", "--force"])
                with open_source(rehearsal.arguments) as source:
                    done.append(build(stock, builder, source, rehearsal.recording))
            return done


def _platforms(rehearsals: Sequence[Rehearsal]) -> list[Platform]:
    found = (build_options(rehearsal.arguments).platforms for rehearsal in rehearsals)
    return [platform for platforms in found for platform in platforms]
