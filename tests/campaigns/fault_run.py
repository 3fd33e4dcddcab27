"""One run with a fault: what its seed chooses, and what must come of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.campaigns.kinds import HOST, KINDS, Armed, Kind, Site
from tests.campaigns.process import run_to_end
from tests.campaigns.same import assert_same, assert_unfinished
from tests.campaigns.stage import IMAGE_SETS, Stage
from tests.integration.command import Outcome
from tests.integration.faults import FaultProxy

_TIMEOUT, _RETRY_FOR = 0.5, 3


@dataclass(frozen=True, slots=True)
class FaultRun:
    """What a run came to.

    Attributes:
        seed: Chose everything.
        kind: Of fault.
        image_set: What was bundled.
        fired: How often the fault did something.
        code: The exit code of the first command; where it is not 0, a second one completed.
        seconds: How long all of it took.
    """

    seed: int
    kind: str
    image_set: str
    fired: int
    code: int
    seconds: float


def fault_run(seed: int, stage: Stage, folder: Path) -> FaultRun:
    """Bundles with a fault, and after an error once more without it.

    Args:
        seed: Kinds take turns; the rest is chosen.
        stage: Where.
        folder: An empty one, for this run.

    Raises:
        AssertionError: The fault never fired, or the result is not what it must be.
    """
    begun = time.monotonic()
    chance = Random(f"fault run {seed}")
    name = list(KINDS)[seed % len(KINDS)]
    image_set = KINDS[name].image_set or chance.choice(list(IMAGE_SETS))
    with FaultProxy(stage.registry) as near, FaultProxy(stage.registry) as far:
        site = Site(
            near,
            far,
            stage.layers(image_set),
            stage.blobs(image_set),
            stage.manifests(image_set),
        )
        armed = KINDS[name].arm(site, chance)
        (folder / "registries.toml").write_text(armed.registries)
        output = folder / "bundle"
        patience = [f"--timeout={_TIMEOUT}", f"--retry-for={_RETRY_FOR}"]
        limit = chance.choice([[], [], ["--limit-rate=4MiB"]])
        pace = [f"--jobs={chance.randrange(1, 7)}", *limit]
        arguments = [
            *stage.arguments(image_set, folder / "registries.toml", output),
            *patience,
            *pace,
        ]
        try:
            outcome = run_to_end(stage.tool, arguments)
            _check(outcome, KINDS[name], armed, site)
        finally:
            near.fault = far.fault = None
            armed.end()
        if outcome.code != 0:
            _resume(stage, arguments, output)
    assert_same(output, stage.undisturbed(image_set), stage.public_key)
    seconds = round(time.monotonic() - begun, 2)
    return FaultRun(seed, name, image_set, armed.fired(), outcome.code, seconds)


def _check(outcome: Outcome, kind: Kind, armed: Armed, site: Site) -> None:
    """What must hold after the first command, whatever it came to."""
    assert armed.fired() > 0, f"the fault did not fire:\n{outcome.err}"
    armed.check()
    assert "Traceback" not in outcome.err, outcome.err
    if outcome.code == 0:
        return
    assert outcome.code in kind.codes, f"exit code {outcome.code}:\n{outcome.err}"
    assert not (kind.heals and armed.passes), (
        f"a fault that passes was not outlasted:\n{outcome.err}"
    )
    names = (HOST, site.near.address, site.far.address)
    assert any(name in outcome.err for name in names), f"names nothing:\n{outcome.err}"


def _resume(stage: Stage, arguments: Sequence[str | Path], output: Path) -> None:
    assert_unfinished(output)
    again = run_to_end(stage.tool, arguments)
    assert again.code == 0, f"does not continue:\n{again.err}"
