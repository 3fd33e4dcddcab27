"""`airgap install`: from media to a host that builds, and what of it is so already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airgap.builder.engine import Engine
from airgap.bundle.archive import Archive
from airgap.bundle.contents import Contents
from airgap.bundle.media import Media
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.verify import listed_names, read_signed
from airgap.errors import TrustError
from airgap.isolated.checks import preconditions
from airgap.isolated.checks.smoke_test import probe
from airgap.isolated.commands.apply import Outcome, apply_steps
from airgap.isolated.commands.repair import repair
from airgap.isolated.context import Context, OpenBundle, Options
from airgap.isolated.host.user import User
from airgap.isolated.services.site_registry import STEP, given_ca
from airgap.isolated.state import receipts
from airgap.isolated.state.changes import Changes
from airgap.isolated.state.layout import State
from airgap.isolated.state.receipts import ReceiptLog
from airgap.isolated.state.registry_tags import TagMoves
from airgap.isolated.state.requested_urls import answers_in
from airgap.isolated.state.settings import HostSettings
from airgap.isolated.steps import STEPS
from airgap.isolated.steps.base import Step, check_step
from airgap.isolated.steps.seed import SeedStep
from airgap.progress import Progress
from airgap.replay.contents_rules import check_bundle
from airgap.store.bundle_set import BundleSet
from airgap.trust.keys import PublicKey


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """What the operator asked for.

    Attributes:
        folders: The bundle's, one a medium.
        keys: The trusted keys.
        only: Names of the steps to do; empty for all.
        settings: Ports and the like; None for those of the last install.
        options: For the steps.
        ca: PEM of the CA that signed the registry in `settings`; empty for the one
            that is known.
    """

    folders: Sequence[Path]
    keys: Sequence[PublicKey]
    only: Sequence[str] = ()
    settings: HostSettings | None = None
    options: Options = field(default_factory=Options)
    ca: bytes = b""


@dataclass(frozen=True, slots=True)
class Report:
    """What an install came to."""

    contents: Contents
    unlisted: Sequence[Path]
    outcomes: Sequence[Outcome]

    @property
    def changed(self) -> bool:
        """Whether the installation changed anything."""
        return any(outcome.changed for outcome in self.outcomes)


def install(
    state: State,
    order: InstallOptions,
    user: User,
    progress: Progress,
    show: Callable[[Outcome], None],
) -> Report:
    """Check everything, then changes the host to what the bundle needs, step by step.

    Args:
        state: Where this host's state is.
        order: What to do.
        user: Whom the installation is for.
        progress: Sees what happens.
        show: Is given each step's outcome as soon as it is known.

    Raises:
        TrustError: No trusted key signed the bundle, or it is too old.
        IntegrityError: It is damaged or forged.
        HostError: The host cannot do it, or a step failed; run the same command to continue.
        SpaceError: A disk is too small.
        BuildError: All is set up, and the test build fails.
    """
    media = Media(order.folders)
    signed = read_signed(media, order.keys)
    with (
        state.lock("airgap install"),
        Archive(media, signed.contents) as archive,
        ReplayTar(media, signed.contents) as replay,
    ):
        documents = check_bundle(media, signed.contents, archive, replay)
        bundle = OpenBundle(media, signed, archive, replay, documents)
        plan = _plan(state, order, bundle)
        with given_ca(state, order.settings or state.settings(), order.ca) as settings:
            context = Context(
                state=state,
                desired=plan.desired,
                settings=settings,
                engine=Engine(state.root),
                user=user,
                changes=Changes(state),
                progress=progress,
                options=order.options,
                bundle=bundle,
                moves=plan.moves,
            )
            preconditions.check_host(context, plan.steps)
            preconditions.check_space(context, plan.steps, archive, replay, documents)
        if plan.broken:
            receipts.quarantine(state)
        outcomes = [repair(context, bundle, plan.active)] if order.options.repair else []
        for outcome in outcomes:
            show(outcome)
        outcomes += _apply_all(context, bundle, plan, show)
    return Report(signed.contents, media.unlisted(listed_names(signed.contents)), outcomes)


@dataclass(frozen=True, slots=True)
class _InstallPlan:
    """What is to be done, as it follows from the receipts.

    Attributes:
        steps: In their order.
        desired: What the host should be.
        active: For a repair, the bundles that make it up so far, with those whose install did
            not end.
        stands: The bundle is among them, so that there is no receipt to write.
        moves: As `Context` has it.
        broken: The receipts are, and the operator takes that.
    """

    steps: Sequence[Step]
    desired: BundleSet
    active: Sequence[Contents]
    stands: bool
    moves: TagMoves | None
    broken: bool


def _plan(state: State, order: InstallOptions, bundle: OpenBundle) -> _InstallPlan:
    """Return what the install will do.

    Raises:
        TrustError: The bundle is too old, or the receipts are broken.
    """
    signed = bundle.signed
    log, broken = _read_log(state, allow_older=order.options.allow_older)
    history = log.history()
    repairs = order.options.repair
    installed = log.installed()
    active = log.installed(unfinished=True) if repairs else []
    steps = [step for step in STEPS if not order.only or step.name in order.only]
    if repairs and signed.contents in installed:
        # Of one that newer ones came after nothing but its bytes is wanted.
        steps = steps if signed.contents == active[-1] else []
        return _InstallPlan(steps, BundleSet.of(active), active, True, None, broken)
    preconditions.check_policy(
        bundle,
        history,
        is_gone=receipts.are_gone(state),
        allow_older=order.options.allow_older,
    )
    stands = log.ends_with(signed.digest)
    known = state.settings()
    other = (order.settings or known).registry_mirror != known.registry_mirror
    moves = TagMoves.of(
        signed.contents.images,
        history,
        always=order.options.allow_older,
        # One that stands there already leaves the tags that others have set since.
        required=other or not stands,
    )
    desired = BundleSet.of([*installed, signed.contents])
    return _InstallPlan(steps, desired, active, stands, moves, broken)


def _read_log(state: State, *, allow_older: bool) -> tuple[ReceiptLog, bool]:
    """Return the receipts, and whether they are broken: with --allow-older there are none then."""
    try:
        log = ReceiptLog.read(state)
        log.history()  # the bundles' kept files are checked, too
    except TrustError:
        if not allow_older:
            raise
        return ReceiptLog(state, ()), True
    return log, False


def _save_settings(context: Context) -> None:
    if context.settings != context.state.settings():
        context.state.save_settings(context.settings)
    if context.settings.registry_mirror:
        context.changes.add(STEP, context.settings.registry_mirror)


def _apply_all(
    context: Context,
    bundle: OpenBundle,
    plan: _InstallPlan,
    show: Callable[[Outcome], None],
) -> list[Outcome]:
    """Apply what is not yet so. Receipts are written only if something is."""
    if plan.steps:
        _save_settings(context)
    begun, signed = plan.stands, bundle.signed
    verified: receipts.Verified = "signature"
    if context.options.allow_older:
        verified = "signature, --allow-older"

    def begin() -> None:
        nonlocal begun
        if not begun:
            answers = answers_in(bundle.replay)
            receipts.write_receipt(context.state, "begun", signed, verified, answers)
            begun = True

    outcomes = apply_steps(context, plan.steps, show, begin)
    if not plan.stands and check_step(SeedStep(), context).ok:
        begin()
        receipts.write_receipt(context.state, "installed", signed, verified)
    if len(plan.steps) == len(STEPS):
        outcomes.append(Outcome("probe", False, probe(context).detail))
        show(outcomes[-1])
    return outcomes
