"""What the seed step does beyond the bundle: tags that an install that did not end has moved."""

from __future__ import annotations

from pathlib import Path

from airgap.isolated.host import User
from airgap.isolated.install import Order, install
from airgap.isolated.receipts import installed, read_receipts
from airgap.isolated.state import State
from airgap.progress import Progress
from tests.forge import make_bundle, single
from tests.unit.isolated.test_prune import KEY, begin, bring, version


def test_the_next_bundle_sets_tags_right_that_a_failed_one_has_moved(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    bring(state, 1, [version(1)])
    begin(state, 2, [version(2)], tagged=True)
    assert state.mirror.is_tagged(version(2).entry)
    other = single("ghcr.io/org/other:1")
    make_bundle(tmp_path / "3", KEY, images=[other], name="other", serial=3)
    order = Order([tmp_path / "3"], [KEY.public], only=("seed",))
    install(state, order, User.behind_this_process(), Progress(), lambda outcome: None)
    assert state.mirror.is_tagged(version(1).entry)
    assert state.mirror.is_tagged(other.entry)
    standing = installed(state, read_receipts(state))
    assert [one.identity for one in standing] == ["site-1", "other-3"]
