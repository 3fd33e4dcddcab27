"""What a bundle is given beside images: recordings, answers that were requested, a rehearsal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from airgap.progress import Progress

if TYPE_CHECKING:
    from airgap.bundle.archive import Archive
    from airgap.bundle.replay_tar import ReplayTar
    from airgap.connected.make_bundle import Record, Rehearse
    from airgap.connected.replay_tar import Recorded
    from airgap.spec.bundle_spec import Request
    from airgap.spec.request_file import RequestFile


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says of it.

    Attributes:
        request: What is wanted in all.
        asked: What request files ask for.
        ca: Certificates to trust while recording, beside the system's.
        authenticated: Keep answers to requests with credentials.
        rehearsed: Rehearse before signing.
        jobs: Connections at once.
    """

    request: Request
    asked: RequestFile
    ca: Path | None
    authenticated: bool
    rehearsed: bool
    jobs: int


@contextmanager
def recording(
    wish: Wish, serial: int, progress: Progress
) -> Iterator[tuple[Record | None, Rehearse | None]]:
    """Fetches what is requested, and gives what records and what rehearses, for `write_bundle`.

    What was recorded is on the disk until the end.
    """
    builds, urls = wish.request.recordings, wish.asked.urls
    if not builds and not urls:
        yield None, None
        return
    from airgap.builder.ephemeral_builder import ephemeral_folder
    from airgap.connected.fetch_urls import fetch_requested
    from airgap.connected.record_builds import RecordOptions, record
    from airgap.connected.rehearse import rehearse
    from airgap.store.store import Store

    with ephemeral_folder(user_cache_path("airgap")) as folder:
        answers = Store(folder / "answers")
        requested = fetch_requested(urls, answers, serial, progress, ca=wish.ca, jobs=wish.jobs)
        options = RecordOptions(wish.ca, wish.authenticated, folder)

        def record_all(archive: Archive) -> Recorded:
            if not builds:
                return requested
            return requested.merge(record(builds, archive, options, answers, progress))

        def rehearse_all(archive: Archive, replay: ReplayTar) -> None:
            rehearse(archive, replay, builds, folder, progress)

        yield record_all, rehearse_all if wish.rehearsed else None
