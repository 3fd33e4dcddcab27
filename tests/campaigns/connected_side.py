"""Faults and kills of `airgap bundle`, several at once."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lab.upstream import Upstream
from tests.campaigns.bundle_kills import BundleKills, bundle_kills
from tests.campaigns.fault_run import FaultRun, fault_run
from tests.campaigns.results import CHAIN, Failure, Results
from tests.campaigns.stage import Stage, make_stage

_AT_ONCE = 2 * (os.cpu_count() or 1)
"""Most of a run is waiting."""


def run_connected_side(results: Results, runs: int, kills: int, folder: Path) -> None:
    """Runs them.

    Args:
        results: What they come to.
        runs: How many with faults.
        kills: How many, in chains.
        folder: An empty one.
    """
    if runs == kills == 0:
        return
    # Not forked: threads do not live on in a child.
    processes = multiprocessing.get_context("spawn")
    with (
        Upstream(writable=True) as registry,
        ProcessPoolExecutor(_AT_ONCE, mp_context=processes) as pool,
    ):
        stage = make_stage(registry, folder)
        faults = [pool.submit(_fault_run, seed, stage) for seed in range(runs)]
        chains = [pool.submit(_bundle_kills, seed, stage) for seed in range(kills // CHAIN)]
        try:
            for fault in faults:
                results.keep(fault.result(), results.fault_runs)
            for chain in chains:
                results.keep(chain.result(), results.bundle_kills)
        finally:
            pool.shutdown(cancel_futures=True)


def _fault_run(seed: int, stage: Stage) -> FaultRun | Failure:
    with _scratch() as folder:
        return Failure.unless("fault run", seed, partial(fault_run, seed, stage, folder))


def _bundle_kills(seed: int, stage: Stage) -> BundleKills | Failure:
    with _scratch() as folder:
        chain = partial(bundle_kills, seed, CHAIN, stage, folder)
        return Failure.unless("bundle kills", seed, chain)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
