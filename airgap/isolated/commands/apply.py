"""Making the host what it should be, step by step."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from airgap.errors import HostError, translate_os_errors
from airgap.isolated.context import Context
from airgap.isolated.steps.base import Step, check_step

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step, or the probe, came to.

    Attributes:
        name: The step's.
        changed: Whether it had to be applied.
        detail: What was found in the end.
        counts: What was done, in numbers, by steps that count.
    """

    name: str
    changed: bool
    detail: str
    counts: Mapping[str, int] = field(default_factory=dict)


def apply_steps(
    context: Context,
    steps: Sequence[Step],
    show: Callable[[Outcome], None],
    begin: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Apply those that are not yet so.

    Args:
        context: What the host should be.
        steps: In their order.
        show: Is given each step's outcome as soon as it is known.
        begin: Is called before each change.

    Raises:
        HostError: A step failed; run the same command to continue.
    """
    outcomes = []
    for step in steps:
        counts: Mapping[str, int] | None = None
        finding = check_step(step, context)
        if changed := not finding.ok:
            _LOG.info("step %s begins: %s", step.name, finding.detail)
            began = time.monotonic()
            begin()
            with translate_os_errors(step.name):
                counts = step.apply(context)
            finding = check_step(step, context)
            if not finding.ok:
                raise HostError(
                    f"the step {step.name} was done, and still: {finding.detail}",
                    remedy=finding.remedy or "what helps: airgap doctor",
                )
            _LOG.info(
                "step %s took %.1f s: %s", step.name, time.monotonic() - began, finding.detail
            )
        else:
            _LOG.info("step %s: nothing to do: %s", step.name, finding.detail)
        outcomes.append(Outcome(step.name, changed, finding.detail, counts or {}))
        show(outcomes[-1])
    return outcomes
