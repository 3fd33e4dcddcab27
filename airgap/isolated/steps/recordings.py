"""Bringing recordings: what `airgap build` answers the requests of RUN steps with."""

from __future__ import annotations

import shutil

from airgap.errors import AirgapError
from airgap.isolated.step import Finding, Step, Work
from airgap.replay.carried import problem_with
from airgap.store.seed import seed_replay


class RecordingsStep(Step):
    """Brings the recordings of the bundle into their storage."""

    name = "recordings"
    needs_docker = False

    def check(self, work: Work) -> Finding:
        """Every map, and every blob that it names, is there in full."""
        recordings = work.wanted.recordings.values()
        for recording in recordings:
            try:
                problem = problem_with(work.state.replay, recording)
            except AirgapError as error:
                problem = error.message
            if problem:
                return Finding(False, problem)
        return Finding(True, f"{len(recordings)} recordings")

    def apply(self, work: Work) -> None:
        """Reads each blob once from the medium, and writes it as its hash is computed."""
        if work.bundle is not None:
            seed_replay(work.state.replay, work.bundle.replay, work.progress)

    def undo(self, work: Work) -> None:
        """Deletes the recordings' storage."""
        if work.state.replay.root.exists():
            shutil.rmtree(work.state.replay.root)
