"""`airgap bundle`, killed again and again, until it has made its bundle all the same."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.campaigns.kinds import HOST
from tests.campaigns.process import run_to_end
from tests.campaigns.same import assert_same, assert_verifies
from tests.campaigns.stage import IMAGE_SETS, Stage
from tests.integration.command import started
from tests.integration.faults import Exchange, FaultProxy

_PATIENCE = 30.0
_PACE = 0.004
"""Seconds after every 16 KiB of a blob, so that there is something to be killed in."""
_LAST_SECONDS = 0.04
"""For the files that follow the blobs, about."""


@dataclass(frozen=True, slots=True)
class BundleKills:
    """What a chain of kills came to.

    Attributes:
        seed: Chose images and moments.
        kills: How often a run was killed before it had ended: what it was at, and how often.
        bundles: How many bundles were complete in the end.
        seconds: How long all of it took.
    """

    seed: int
    kills: Mapping[str, int]
    bundles: int
    seconds: float


def bundle_kills(seed: int, kills: int, stage: Stage, folder: Path) -> BundleKills:
    """Makes bundles until so many runs were killed; each ends as the undisturbed one.

    Args:
        seed: Of the choices.
        kills: How many.
        stage: Where.
        folder: An empty one.

    Raises:
        AssertionError: A bundle is not as it must be.
    """
    begun, chance = time.monotonic(), Random(f"bundle kills {seed}")
    made: Counter[str] = Counter()
    bundles = 0
    while made.total() < kills:
        image_set = chance.choice(list(IMAGE_SETS))
        most = kills - made.total()
        made += _one_bundle(image_set, most, stage, folder / str(bundles), chance)
        bundles += 1
    return BundleKills(seed, dict(made), bundles, round(time.monotonic() - begun, 2))


def _one_bundle(
    image_set: str, most: int, stage: Stage, folder: Path, chance: Random
) -> Counter[str]:
    """Makes one bundle, and returns the kills on the way."""
    folder.mkdir()
    output, registries = folder / "bundle", folder / "registries.toml"
    kills: Counter[str] = Counter()
    with FaultProxy(stage.registry) as proxy:
        registries.write_text(
            f'[registry."{HOST}"]\nreplace = "{proxy.address}"\n'
            f'[registry."{proxy.address}"]\nhttp = true\n'
        )
        arguments = stage.arguments(image_set, registries, output)
        while kills.total() < most and _is_killed(proxy, stage.tool, arguments, output, chance):
            kills[_phase(output)] += 1
            if (output / "SHA256SUMS").exists():  # it is written after all else
                assert_verifies(output, stage.public_key)
            if _is_finished(output):
                break
        proxy.fault = None
        outcome = run_to_end(stage.tool, arguments)
        assert outcome.code == 0 or "holds a finished bundle" in outcome.err, outcome.err
    assert_same(output, stage.undisturbed(image_set), stage.public_key)
    return kills


def _is_killed(
    proxy: FaultProxy, tool: Path, arguments: Sequence[str | Path], output: Path, chance: Random
) -> bool:
    """Starts a run and kills it at some moment.

    Returns:
        False if the run was quicker.
    """
    reached = threading.Event()
    proxy.fault = _Paced(reached)
    with started(tool, *arguments) as process:
        seconds = 10 ** chance.uniform(-1.7, 0.1)
        moment = chance.choice(["at once", *["asking"] * 4, "fetched"])
        if moment == "asking":
            assert reached.wait(_PATIENCE), "it asks for nothing"
        elif moment == "fetched":
            _wait_until_fetched(output, process)
            seconds = chance.uniform(0, _LAST_SECONDS)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        _, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode != 0


def _wait_until_fetched(output: Path, process: subprocess.Popen[str]) -> None:
    """Until the first file that follows the blobs is there, or the run has ended."""
    while not (output / "README.txt").exists() and process.poll() is None:
        time.sleep(0.001)


class _Paced:
    """A fault: blobs come slowly. Notes that there was a request."""

    def __init__(self, reached: threading.Event) -> None:
        self._reached = reached

    def __call__(self, exchange: Exchange) -> bool:
        self._reached.set()
        if exchange.request_seen.is_blob:
            exchange.pass_on(pace=_PACE)
        return exchange.request_seen.is_blob


def _is_finished(output: Path) -> bool:
    """The same command would refuse to run, because nothing is left to do."""
    return (output / "SHA256SUMS").exists() and not (output / ".unfinished/plan.json").exists()


def _phase(output: Path) -> str:
    """What the run that was killed was at."""
    if not (output / ".unfinished/plan.json").exists() and not _is_finished(output):
        return "resolving"
    if not (output / "README.txt").exists():
        return "fetching"
    if not (output / "SHA256SUMS").exists():
        return "writing the other files"
    return "cleaning up"
