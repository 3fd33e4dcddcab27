"""`airgap serve`: a recording for builds that people start with buildx themselves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from airgap.builder.buildx import Builder
from airgap.builder.policy import source_policy
from airgap.errors import HostError
from airgap.offline.build import choose
from airgap.offline.inputs import BuildInputs
from airgap.replay.recording_store import load_recording
from airgap.replay.replay import Replay
from airgap.replay.request import RequestKey
from airgap.replay.server import Server

_SECONDS = 0.2


def policy_path() -> Path:
    """Return the path of the source policy for builds that use the served recording."""
    return user_cache_path("airgap") / "serve.json"


def serve(
    inputs: BuildInputs,
    builder: Builder,
    recording: str,
    args: Mapping[str, str],
    ready: Callable[[str], None],
    missed: Callable[[RequestKey], None],
) -> None:
    """Serve until it is interrupted.

    Args:
        inputs: What there is.
        builder: Builds.
        recording: Which one; empty for the only one.
        args: The build arguments of the builds.
        ready: Is given the name of the recording when builds can begin.
        missed: Is given what was asked for and is not there, each once.

    Raises:
        NotFoundError: There is no such recording.
        UsageError: Several could be meant.
        HostError: The policy cannot be written, or the user has one already.
        KeyboardInterrupt: It was interrupted: that is its end.
    """
    chosen = choose(inputs.desired.recordings, recording, "")
    recordings = [load_recording(inputs.replay, entry) for entry in chosen]
    replay = Replay(inputs.replay, recordings, args)
    with Server(replay, builder.address, token=builder.token) as server:
        path = policy_path()
        _write(path, source_policy(server.base))
        try:
            ready(chosen[0].name if chosen else "")
            _tell(replay, missed)
        finally:
            with suppress(OSError):
                path.unlink()


def _tell(replay: Replay, missed: Callable[[RequestKey], None]) -> None:
    """Tell of each miss soon after it happened, until an interrupt, and then of the last ones."""
    shown = 0
    try:
        while True:
            for request in replay.misses[shown:]:
                missed(request)
                shown += 1
            time.sleep(_SECONDS)
    except KeyboardInterrupt:
        for request in replay.misses[shown:]:
            missed(request)
        raise


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # It says where the server is to be asked: nobody else may read that.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except FileExistsError as error:
        raise HostError(
            f"{path} is there already",
            meaning="Another airgap serve runs for you, or was killed.",
            remedy="end it; if there is none, remove that file",
        ) from error
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}") from error
