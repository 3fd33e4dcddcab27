"""What the installation lives with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from airgap.bundle.contents import Contents
from airgap.bundle.media import Media
from airgap.bundle.verify import read_contents
from airgap.isolated.checks.environment import clock, space
from tests import forge

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def bundles(tmp_path: Path) -> list[Contents]:
    """Of which the first was made last."""
    contents = []
    for serial, created in ((1, "2026-06-01T00:00:00Z"), (2, "2020-01-01T00:00:00Z")):
        folder = tmp_path / str(serial)
        forge.make_bundle(folder, forge.new_key(), serial=serial, created=created)
        contents.append(read_contents(Media([folder])))
    return contents


def test_a_clock_that_is_before_a_bundle_was_made_is_behind(bundles: list[Contents]) -> None:
    finding = clock(bundles, NOW)
    assert not finding.ok
    assert "2026-05-01 12:00 UTC here, and small-1 was made later" in finding.detail
    assert "2026-06-01T00:00:00Z" in finding.detail


def test_a_clock_that_is_after_all_of_them_is_well(bundles: list[Contents]) -> None:
    assert clock(bundles[1:], NOW).ok


def test_a_disk_that_is_nearly_full_is_named(tmp_path: Path) -> None:
    assert space([tmp_path, tmp_path / "not" / "there"], 1).ok
    finding = space([tmp_path], 1 << 62)
    assert not finding.ok
    assert finding.detail.startswith("only ")
    assert str(tmp_path) in finding.detail
