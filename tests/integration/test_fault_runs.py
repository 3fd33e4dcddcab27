"""Faults between client and registry, seeded: a complete bundle, or an error and one that resumes.

More of the same runs in `make test-all`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.upstream import Upstream
from tests.campaigns.fault_run import fault_run
from tests.campaigns.stage import Stage, make_stage


@pytest.fixture(scope="module")
def stage(registry: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return make_stage(registry, tmp_path_factory.mktemp("stage"))


@pytest.mark.parametrize("seed", range(60))
def test_a_fault_is_outlasted_or_told_and_the_same_command_continues(
    seed: int, stage: Stage, tmp_path: Path
) -> None:
    fault_run(seed, stage, tmp_path)
