"""`airgap doctor`: what is not well, what helps, and doing it where no medium is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airgap.errors import AirgapError
from airgap.isolated import preconditions
from airgap.isolated.apply import Outcome, apply_steps
from airgap.isolated.host import is_root
from airgap.isolated.status import status
from airgap.isolated.step import Finding, Work
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


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one check came to.

    Attributes:
        finding: What it saw.
        remedy: What helps; empty if it is well.
    """

    finding: Finding
    remedy: str


def diagnose(work: Work, *, deep: bool = False) -> dict[str, Diagnosis]:
    """Name of a check to what it came to: what the set-up lives with, then its steps.

    Args:
        work: From `standing_work`.
        deep: Hash every blob in storage too.
    """
    found = {name: Diagnosis(*seen) for name, seen in surroundings(work).items()}
    if is_root():
        found["host"] = _host(work)
    for name, finding in status(work, deep=deep).items():
        found[name] = Diagnosis(finding, "" if finding.well else _REMEDIES.get(name, _FIX))
    return found


def fix(work: Work, show: Callable[[Outcome], None]) -> None:
    """Applies every step that is not well, as far as that needs no medium.

    Raises:
        HostError: A step failed, or needs what only a medium has; the same command goes on.
    """
    with work.state.lock("airgap doctor"):
        preconditions.check_host(work, STEPS)
        apply_steps(work, STEPS, show)


def _host(work: Work) -> Diagnosis:
    """Whether the host still can do what the steps need: ports that others have taken since."""
    try:
        preconditions.check_host(work, STEPS)
    except AirgapError as error:
        return Diagnosis(Finding(False, error.message), error.remedy)
    return Diagnosis(Finding(True, "has what the set-up needs"), "")
