"""The builder: BuildKit in a container of its own, that every user of this host shares."""

from __future__ import annotations

import re
import time

from airgap.errors import HostError
from airgap.isolated import containers
from airgap.isolated.step import Finding, Step, Work

_PATIENCE = 60.0


class BuilderStep(Step):
    """BuildKit runs with our configuration and answers."""

    name = "builder"
    roles = ("builder",)

    def check(self, work: Work) -> Finding:
        """Asks BuildKit for its version, inside its container."""
        finding = containers.check_container(work, containers.builder_spec(work))
        if not finding.well:
            return finding
        return Finding(True, _version(work))

    def apply(self, work: Work) -> None:
        """Starts it; an older container is replaced and its cache is kept."""
        containers.run_container(work, containers.builder_spec(work))
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                _version(work)
            except HostError as error:
                if time.monotonic() > deadline:
                    error.meaning = work.engine.logs(containers.BUILDER)
                    raise
                time.sleep(0.2)
            else:
                return

    def undo(self, work: Work) -> None:
        """Removes the container and its cache."""
        work.engine.remove_container(containers.BUILDER)
        work.engine.remove_volume(containers.CACHE_VOLUME)


def _version(work: Work) -> str:
    """`BuildKit: github.com/moby/buildkit v0.32.2 …`, as the running daemon says."""
    said = work.engine.output(containers.BUILDER, ["buildctl", "debug", "info"])
    found = re.search(r"v\d\S*", said)
    return f"BuildKit {found[0] if found else 'of unknown version'}"
