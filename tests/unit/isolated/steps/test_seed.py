"""What the seed step does beyond the bundle: tags after an install that did not end."""

from __future__ import annotations

from pathlib import Path

from airgap.isolated.commands.install import InstallOptions, install
from airgap.isolated.commands.load_context import load_context
from airgap.isolated.host.user import User
from airgap.isolated.state.layout import State
from airgap.isolated.state.receipts import ReceiptLog
from airgap.isolated.steps.base import check_step
from airgap.isolated.steps.seed import SeedStep
from airgap.progress import Progress
from airgap.store import layout
from airgap.store.check import check_image
from airgap.store.seed import link_carried
from tests.forge import make_bundle, single
from tests.unit.isolated.commands.test_prune import KEY, begin, bring, version


def test_the_next_bundle_sets_tags_right_that_a_failed_one_has_moved(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    bring(state, 1, [version(1)])
    begin(state, 2, [version(2)], tagged=True)
    assert state.mirror.is_tagged(version(2).entry)
    other = single("ghcr.io/org/other:1")
    make_bundle(tmp_path / "3", KEY, images=[other], name="other", serial=3)
    order = InstallOptions([tmp_path / "3"], [KEY.public], only=("seed",))
    install(state, order, User.behind_this_process(), Progress(), lambda outcome: None)
    assert state.mirror.is_tagged(version(1).entry)
    assert state.mirror.is_tagged(other.entry)
    standing = ReceiptLog.read(state).installed()
    assert [one.identity for one in standing] == ["site-1", "other-3"]


def test_a_tag_is_set_to_nothing_that_is_not_whole(tmp_path: Path) -> None:
    """Killed after its blobs, an install has linked nothing: nobody knows what it carries."""
    state, new = State(tmp_path / "state"), version(2)
    bring(state, 1, [version(1), single("ghcr.io/org/own:1")])
    begin(state, 2, [new], tagged=False)
    for digest, data in (*new.bodies.items(), *new.blobs.items()):
        state.mirror.write_blob(digest, [data])
    work = load_context(state, User.behind_this_process(), Progress(), unfinished=True)
    SeedStep().apply(work)
    assert state.mirror.is_tagged(version(1).entry)
    assert not check_step(SeedStep(), work).ok

    link_carried(state.mirror, ReceiptLog.read(state).installed(unfinished=True)[-1])
    SeedStep().apply(work)
    assert check_image(state.mirror, new.entry) == ""
    assert check_step(SeedStep(), work).ok


def test_a_damaged_manifest_keeps_no_other_tag_from_being_set(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    other, damaged = single("ghcr.io/org/own:1"), version(1)
    bring(state, 1, [damaged, other])
    (state.mirror.root / layout.blob_data(damaged.entry.digest)).write_bytes(b"{}")
    for repository in layout.mirror_repositories(other.entry.reference):
        (state.mirror.root / layout.tag_link(repository, "1")).unlink()
    SeedStep().apply(load_context(state, User.behind_this_process(), Progress()))
    assert state.mirror.is_tagged(other.entry)
