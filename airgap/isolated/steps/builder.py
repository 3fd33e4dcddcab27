"""The builders: BuildKit in containers of its own, that every user of this host shares."""

from __future__ import annotations

import re
import time

from airgap.errors import HostError
from airgap.isolated import containers
from airgap.isolated.step import Finding, Step, Work

_PATIENCE = 60.0


class BuilderStep(Step):
    """BuildKit runs with our configuration and answers: for ordinary builds, and for recordings."""

    name = "builder"
    roles = ("builder",)

    def check(self, work: Work) -> Finding:
        """Asks both for their version, inside their containers."""
        for name in containers.BUILDERS:
            finding = containers.check_container(work, containers.builder_spec(work, name))
            if not finding.well:
                return Finding(False, f"{name}: {finding.detail}")
            version = _version(work, name)
        return Finding(True, version)

    def apply(self, work: Work) -> None:
        """Starts those that are not well; an older container is replaced and its cache is kept."""
        for name in containers.BUILDERS:
            spec = containers.builder_spec(work, name)
            if not containers.check_container(work, spec).well:
                containers.run_container(work, spec)
            _wait(work, name)

    def undo(self, work: Work) -> None:
        """Removes the containers and their caches."""
        for name in containers.BUILDERS:
            work.engine.remove_container(name)
            work.engine.remove_volume(name)


def _wait(work: Work, name: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            _version(work, name)
        except HostError as error:
            if time.monotonic() > deadline:
                error.meaning = work.engine.logs(name)
                raise
            time.sleep(0.2)
        else:
            return


def _version(work: Work, name: str) -> str:
    """`BuildKit: github.com/moby/buildkit v0.32.2 …`, as the running daemon says."""
    said = work.engine.output(name, ["buildctl", "debug", "info"])
    found = re.search(r"v\d\S*", said)
    return f"BuildKit {found[0] if found else 'of unknown version'}"
