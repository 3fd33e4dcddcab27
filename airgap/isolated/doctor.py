"""`airgap doctor`: what is not well, what helps, and doing it where no medium is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from airgap.errors import AirgapError
from airgap.isolated import preconditions
from airgap.isolated.apply import Outcome, apply_steps
from airgap.isolated.host import is_root
from airgap.isolated.status import look, status
from airgap.isolated.step import Finding, Work, seen
from airgap.isolated.steps import STEPS
from airgap.isolated.surroundings import surroundings

_FIX = "airgap doctor --fix"
_FROM_MEDIUM = "airgap install DIR --repair"
_REMEDIES = {
    "tool": _FROM_MEDIUM,
    "seed": f"{_FIX}; where bytes are missing: {_FROM_MEDIUM}",
    "recordings": _FROM_MEDIUM,
    "storage": _FROM_MEDIUM,
    "enable": "airgap enable",
    "nodes": "airgap node list; where a certificate ended: airgap node renew NAME",
}


def diagnose(work: Work, *, deep: bool = False) -> dict[str, Finding]:
    """Name of a check to what it saw: what the set-up lives with, then its steps.

    What is not well has a remedy.

    Args:
        work: From `standing_work`.
        deep: Hash every blob in storage too.
    """
    found = surroundings(work)
    if is_root():
        found["host"] = seen("host", lambda: _host(work))
    for name, finding in status(work, deep=deep).items():
        remedy = finding.remedy or _REMEDIES.get(name, _FIX)
        found[name] = finding if finding.well else replace(finding, remedy=remedy)
    return found


def fix(
    work: Work, show: Callable[[Outcome], None], failed: Callable[[str, AirgapError], None]
) -> None:
    """Applies every step that is not well, as far as that needs no medium.

    Args:
        work: From `standing_work`.
        show: Is given the outcome of each step that was applied.
        failed: Is given the name of each step that cannot be, and why; the others go on.

    Raises:
        HostError: Docker does not answer, or another command changes this host.
    """
    with work.state.lock("airgap doctor"):
        work.engine.check()
        for step in STEPS:
            if look(step, work).well:
                continue
            try:
                preconditions.check_host(work, [step])
                apply_steps(work, [step], show)
            except AirgapError as error:
                failed(step.name, error)


def _host(work: Work) -> Finding:
    """Whether the host still can do what the steps need: ports that others have taken since."""
    preconditions.check_host(work, STEPS)
    return Finding(True, "has what the set-up needs")
