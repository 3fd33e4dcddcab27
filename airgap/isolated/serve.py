"""`airgap serve`: a recording for builds that people start with buildx themselves."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from airgap.builder.policy import PROXY_NETWORK, source_policy
from airgap.errors import HostError
from airgap.isolated.build import choose
from airgap.isolated.stock import Stock
from airgap.replay.asked import Asked
from airgap.replay.carried import load_recording
from airgap.replay.replay import Replay
from airgap.replay.server import Server

FOLDER = Path(".airgap")
"""Below where builds are started: buildx reads no policy from elsewhere."""

SOURCE_POLICY = FOLDER / "source-policy.json"
PROXY_POLICY = FOLDER / "proxy.rego"
POLICY_ARGUMENT = f"filename=cwd://{PROXY_POLICY}"
"""For `--policy` of buildx build, and `--set *.policy=` of bake."""

_LOOPBACK = "127.0.0.1"
_SECONDS = 0.2


def serve(
    stock: Stock, recording: str, ready: Callable[[str], None], missed: Callable[[Asked], None]
) -> None:
    """Serves until it is interrupted.

    Args:
        stock: What there is.
        recording: Which one; empty for the only one.
        ready: Is given the name of the recording when builds can begin.
        missed: Is given what was asked for and is not there, each once.

    Raises:
        NotFoundError: There is no such recording.
        UsageError: Several could be meant.
        HostError: This folder cannot be written to, or is served already.
        KeyboardInterrupt: It was interrupted: that is its end.
    """
    chosen = choose(stock.wanted.recordings, recording, "")
    replay = Replay(stock.replay, [load_recording(stock.replay, entry) for entry in chosen])
    with Server(replay, _LOOPBACK) as server:
        try:
            FOLDER.mkdir()
            SOURCE_POLICY.write_text(source_policy(server.address))
            PROXY_POLICY.write_text(PROXY_NETWORK)
        except FileExistsError as error:
            raise HostError(
                f"{FOLDER.absolute()} is there already",
                meaning="Another airgap serve runs in this folder, or was killed.",
                remedy="end it; if there is none, remove that folder",
            ) from error
        except OSError as error:
            raise HostError(f"cannot write {FOLDER.absolute()}: {error.strerror}") from error
        try:
            ready(chosen[0].name if chosen else "")
            told = 0
            while True:
                for asked in replay.misses[told:]:
                    missed(asked)
                    told += 1
                time.sleep(_SECONDS)
        finally:
            with suppress(OSError):
                shutil.rmtree(FOLDER)
