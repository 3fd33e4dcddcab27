"""`airgap doctor`: what is not well, what helps, and doing it where no medium is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from airgap.bundle.media import Media
from airgap.bundle.verify import VerifiedBundle, read_signed
from airgap.errors import AirgapError, HostError, TrustError, translate_os_errors
from airgap.isolated.checks import preconditions
from airgap.isolated.checks.environment import surroundings
from airgap.isolated.commands.apply import Outcome, apply_steps
from airgap.isolated.commands.load_context import load_context
from airgap.isolated.commands.status import status
from airgap.isolated.context import CheckResult, Context, run_check
from airgap.isolated.host.system import is_root
from airgap.isolated.host.user import User
from airgap.isolated.state import receipts
from airgap.isolated.state.layout import State
from airgap.isolated.state.rebuild_receipts import is_whole, read_log, renew_log
from airgap.isolated.state.receipts import ReceiptLog
from airgap.isolated.state.registry_tags import TagMoves
from airgap.isolated.steps import STEPS
from airgap.isolated.steps.base import Step
from airgap.progress import Progress
from airgap.store.seed import link_carried
from airgap.trust.keys import PublicKey

_FIX = "airgap doctor --fix"
_FROM_MEDIUM = "airgap install DIR --repair"
_UNFINISHED = "continue: airgap install DIR; or undo it: airgap rollback"
_REMEDIES = {
    "tool": _FROM_MEDIUM,
    "seed": f"{_FIX}; where bytes are missing: {_FROM_MEDIUM}",
    "recordings": _FROM_MEDIUM,
    "storage": _FROM_MEDIUM,
    "enable": "airgap enable",
    "nodes": "airgap node list; where a certificate ended: airgap node renew NAME",
}


@dataclass(frozen=True, slots=True)
class Host:
    """Whom the doctor looks after.

    Attributes:
        state: Of this host.
        user: Who gave the command.
        keys: The trusted keys.
        progress: Sees what happens.
    """

    state: State
    user: User
    keys: Sequence[PublicKey]
    progress: Progress


def diagnose(context: Context, *, deep: bool = False) -> dict[str, CheckResult]:
    """Return what each check saw, by name: first the environment, then the steps.

    What is not well has a remedy.

    Args:
        context: From `load_context`.
        deep: Hash every blob in storage too.
    """
    found = surroundings(context)
    found["receipts"] = run_check("receipts", lambda: _record(context))
    if is_root():
        found["host"] = run_check("host", lambda: _host(context))
    for name, finding in status(context, deep=deep).items():
        remedy = finding.remedy or _REMEDIES.get(name, _FIX)
        found[name] = finding if finding.ok else replace(finding, remedy=remedy)
    return found


def fix(
    host: Host, show: Callable[[Outcome], None], failed: Callable[[str, AirgapError], None]
) -> None:
    """Apply every step that is not well, as far as that needs no medium.

    Before, a broken install log is made again. An install that did not end is finished if all
    that it includes is in storage.

    Args:
        host: Whose.
        show: Is given the outcome of each step that is well in the end.
        failed: Is given the name of what cannot be, and why; the rest continues.

    Raises:
        HostError: Docker does not answer, or another command changes this host.
        TrustError: There is no install log, and none can be made.
    """
    with host.state.lock("airgap doctor"):
        _fix_log(host, show)
        unfinished = _to_finish(host, failed)
        context = load_context(host.state, host.user, host.progress, unfinished=bool(unfinished))
        if unfinished:
            history = ReceiptLog.read(host.state).history()
            context = replace(
                context, moves=TagMoves.of(unfinished.contents.images, history, required=True)
            )
        context.engine.check()
        mended = [_fix_step(context, step, show, failed) for step in STEPS]
        if unfinished and all(mended):
            receipts.write_receipt(host.state, "installed", unfinished, "signature kept here")
            detail = f"the install of {unfinished.contents.identity} is finished"
            show(Outcome("receipts", True, detail))


def _fix_step(
    context: Context,
    step: Step,
    show: Callable[[Outcome], None],
    failed: Callable[[str, AirgapError], None],
) -> bool:
    """Apply one step if it is not well; whether it is in the end."""
    try:
        apply_steps(context, [step], show, lambda: preconditions.check_host(context, [step]))
    except AirgapError as error:
        failed(step.name, error)
        return False
    return True


def _fix_log(host: Host, show: Callable[[Outcome], None]) -> None:
    try:
        read_log(host.state).history()
    except TrustError as error:
        with translate_os_errors("receipts"):
            names = renew_log(host.state, host.keys)
        what = ", ".join(names) or "no bundle"
        host.progress.message(error.message)
        show(Outcome("receipts", True, f"by a new install log, this host has {what}"))


def _to_finish(host: Host, failed: Callable[[str, AirgapError], None]) -> VerifiedBundle | None:
    """Return the bundle whose install did not end, and can do so without its medium."""
    log = ReceiptLog.read(host.state)
    begun = log.unfinished()
    if begun is None:
        return None
    contents = log.installed(unfinished=True)[-1]
    try:
        if not is_whole(host.state, contents):
            raise HostError(f"what {begun.bundle} includes is not all here", remedy=_UNFINISHED)
        with translate_os_errors("receipts"):
            link_carried(host.state.mirror, contents)  # tags are the seed step's
        return read_signed(Media([host.state.bundles / begun.bundle]), host.keys)
    except AirgapError as error:
        failed("receipts", error)
        return None


def _record(context: Context) -> CheckResult:
    """Return whether the last install ended."""
    log = ReceiptLog.read(context.state)
    log.history()
    if begun := log.unfinished():
        detail = f"the install of {begun.bundle} by {begun.by} was not finished"
        return CheckResult(False, detail, _UNFINISHED)
    last = log.active()[-1]
    return CheckResult(True, f"{last.bundle} is the last bundle, installed {last.at} by {last.by}")


def _host(context: Context) -> CheckResult:
    """Check that the host can still do what the steps need, such as free ports."""
    preconditions.check_host(context, STEPS)
    return CheckResult(True, "has what the installation needs")
