"""`airgap status`: every step's check, and nothing else."""

from __future__ import annotations

from airgap.errors import AirgapError, HostError
from airgap.isolated import receipts
from airgap.isolated.engine import Engine
from airgap.isolated.host import User
from airgap.isolated.state import Changes, State
from airgap.isolated.step import Finding, Step, Work
from airgap.isolated.steps import STEPS
from airgap.isolated.wanted import Wanted
from airgap.progress import Progress


def look(step: Step, work: Work) -> Finding:
    """A step's check, with every foreseeable error as its finding."""
    try:
        return step.check(work)
    except AirgapError as error:
        return Finding(False, error.message)


def standing_work(state: State, user: User, progress: Progress) -> Work:
    """What commands after an install work with: what this host should be, by its receipts.

    Raises:
        HostError: Nothing is installed here.
        TrustError: The receipts are broken.
    """
    bundles = receipts.installed(state, receipts.read_receipts(state))
    if not bundles:
        raise HostError(f"nothing is installed here ({state.root})", remedy="airgap install DIR")
    return Work(
        state=state,
        wanted=Wanted.of(bundles),
        settings=state.settings(),
        engine=Engine(),
        user=user,
        changes=Changes(state),
        progress=progress,
    )


def status(work: Work) -> dict[str, Finding]:
    """Step to what its check found."""
    return {step.name: look(step, work) for step in STEPS}
