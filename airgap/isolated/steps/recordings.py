"""Copying recordings: what `airgap build` answers the requests of RUN steps with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from airgap.errors import AirgapError
from airgap.isolated.context import CheckResult, Context
from airgap.isolated.host.system import docker_group, is_root
from airgap.isolated.steps.base import Step
from airgap.replay.recording_store import check_recording
from airgap.store.seed import seed_replay

_MODE = 0o750


class RecordingsStep(Step):
    """Copies the recordings of the bundle into their storage."""

    name = "recordings"
    needs_docker = False

    def check(self, context: Context) -> CheckResult:
        """Check that every map and blob is complete, and not readable by everyone."""
        if not _is_kept_from_others(context.state.replay.root):
            return CheckResult(
                False, f"{context.state.replay.root} is not for users of Docker alone"
            )
        recordings = context.desired.recordings.values()
        for recording in recordings:
            try:
                problem = check_recording(context.state.replay, recording)
            except AirgapError as error:
                problem = error.message
            if problem:
                return CheckResult(False, problem)
        return CheckResult(True, f"{len(recordings)} recordings")

    def apply(self, context: Context) -> None:
        """Read each blob once from the medium, and write it as its hash is computed."""
        _keep_from_others(context.state.replay.root)
        if context.bundle is not None:
            seed_replay(context.state.replay, context.bundle.replay, context.progress)

    def undo(self, context: Context) -> None:
        """Delete the recordings' storage."""
        if context.state.replay.root.exists():
            shutil.rmtree(context.state.replay.root)


def _keep_from_others(folder: Path) -> None:
    """Let only root and the group of Docker read recordings."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_root():
        os.chown(folder, -1, docker_group())
    folder.chmod(_MODE if is_root() else 0o700)


def _is_kept_from_others(folder: Path) -> bool:
    try:
        status = folder.stat()
    except FileNotFoundError:
        return True
    # Where Docker's socket is not there, nobody can tell its group.
    known = is_root() and docker_group() != os.getegid()
    return not status.st_mode & ~_MODE & 0o777 and (not known or status.st_gid == docker_group())
