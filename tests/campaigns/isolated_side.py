"""Kills of `airgap install` on an isolated host with Docker and a medium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lab import full_run, images
from lab.host import IsolatedHost
from lab.medium import Medium
from lab.upstream import Upstream
from tests.campaigns.install_kills import SEED, install_kills, undisturbed_install
from tests.campaigns.results import CHAIN, Failure, Results
from tests.e2e.conftest import MEDIUM_BYTES, Carried, visit

_WHOLE = 5
"""Of so many chains, one is of whole installs; the others fill the mirror."""


def run_isolated_side(results: Results, kills: int, folder: Path) -> None:
    """Runs them, one after the other on one host.

    Args:
        results: What they come to.
        kills: How many, in chains.
        folder: An empty one.
    """
    chains = kills // CHAIN
    if chains == 0:
        return
    whole = range(chains // _WHOLE)
    with _host(folder) as host:
        for options, seeds in ((SEED, range(len(whole), chains)), ((), whole)):
            undisturbed = undisturbed_install(host, options)
            for seed in seeds:
                chain = partial(install_kills, seed, CHAIN, options, host, undisturbed)
                told = Failure.unless("install kills", seed, chain)
                results.keep(told, results.install_kills)


@contextmanager
def _host(folder: Path) -> Iterator[IsolatedHost]:
    """A host that has all for an install of the ready-made builder."""
    with Medium(MEDIUM_BYTES) as medium:
        key = full_run.make_key(folder)
        with Upstream(images.storage()) as upstream:
            spec = full_run.BUNDLES / "arm64-builder.toml"
            full_run.make_bundle(upstream, key, medium.path / "bundle", [spec])
        medium.seal()
        with IsolatedHost() as host:
            host.check_isolated()
            visit(host, Carried(key, medium))
            yield host
