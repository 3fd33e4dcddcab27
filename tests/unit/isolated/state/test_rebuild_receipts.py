"""Receipts that are gone or garbled: what is kept of bundles makes a new log."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.bundle.media import Media
from airgap.bundle.verify import read_signed
from airgap.errors import TrustError
from airgap.isolated.commands.prune import carry_out, plan_prune
from airgap.isolated.state import receipts
from airgap.isolated.state.layout import State
from airgap.isolated.state.rebuild_receipts import read_log, renew_log
from airgap.isolated.state.receipts import ReceiptLog
from airgap.isolated.state.settings import HostSettings
from airgap.progress import Progress
from airgap.store import layout
from airgap.store.seed import seed_documents
from airgap.store.tags import tags_of
from tests import forge
from tests.forge import single
from tests.unit.isolated.commands.test_prune import KEY, begin, bring, open_images, version

Damage = Callable[[State], None]


def deleted(state: State) -> None:
    for path in state.receipts.iterdir():
        path.unlink()


def garbled(state: State) -> None:
    (state.receipts / "000002.json").write_text("{}")


@pytest.fixture
def state(tmp_path: Path) -> State:
    """Three bundles of one name, of which the first was dropped."""
    state = State(tmp_path / "state")
    for serial in (1, 2, 3):
        bring(state, serial, [version(serial), single(f"ghcr.io/org/own:{serial}")])
    carry_out(state, plan_prune(state, 2), Progress())
    return state


def standing(state: State) -> list[str]:
    return [one.identity for one in ReceiptLog.read(state).installed()]


def renew(state: State) -> None:
    renew_log(state, [KEY.public])


@pytest.mark.parametrize("damage", [deleted, garbled])
def test_what_counts_is_found_again_and_all_is_remembered(state: State, damage: Damage) -> None:
    before = standing(state)
    known = {one.digest for one in ReceiptLog.read(state).history()}
    damage(state)
    with pytest.raises(TrustError) as caught:
        read_log(state)
    assert "airgap doctor --fix" in caught.value.remedy
    renew(state)
    read_log(state)
    assert standing(state) == before == ["site-2", "site-3"]
    log = ReceiptLog.read(state)
    assert {one.digest for one in log.history()} == known
    assert log.unfinished() is None
    assert all(one.signers for one in log.receipts)
    assert {one.verified for one in log.receipts if one.action == "begun"} == {
        "signature kept here"
    }


def test_what_was_rolled_back_stays_so(state: State) -> None:
    state.mirror.set_tags(tags_of([version(2).entry]))
    garbled(state)
    renew(state)
    assert standing(state) == ["site-2"]


def test_a_tag_that_was_lost_costs_no_bundle(state: State) -> None:
    for repository in layout.mirror_repositories(version(3).entry.reference):
        (state.mirror.root / layout.tag_link(repository, "1")).unlink()
    garbled(state)
    renew(state)
    assert standing(state) == ["site-2", "site-3"]


def forged(state: State) -> None:
    folder = state.root / "evil"
    forge.make_bundle(folder, forge.new_key(), name="site", serial=9)
    folder.rename(state.bundles / "site-9")


def damaged(state: State) -> None:
    (state.bundles / "site-3" / "bundle.json").write_text("{}")


def renamed(state: State) -> None:
    (state.bundles / "site-1").rename(state.bundles / "site-7")


@pytest.mark.parametrize("change", [forged, damaged, renamed])
def test_with_a_bundle_that_cannot_be_believed_the_old_record_stays(
    state: State, change: Damage
) -> None:
    """What it included would be forgotten, and an older bundle let in."""
    garbled(state)
    change(state)
    with pytest.raises(TrustError, match="cannot be believed") as caught:
        renew(state)
    assert "--allow-older" in caught.value.remedy
    assert (state.receipts / "000002.json").read_text() == "{}"


def test_a_blob_that_was_lost_costs_no_bundle(state: State) -> None:
    blob = next(iter(version(3).blobs))
    (state.mirror.root / layout.blob_data(blob)).unlink()
    garbled(state)
    renew(state)
    assert standing(state) == ["site-2", "site-3"]


@pytest.mark.parametrize("lived", [0, 1])
def test_killed_on_the_way_it_is_noticed_and_continues(
    state: State, monkeypatch: pytest.MonkeyPatch, lived: int
) -> None:
    garbled(state)
    left, rename = [lived], Path.rename

    def killed(path: Path, target: Path) -> Path:
        if left == [0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            renew(state)
    with pytest.raises(TrustError):
        read_log(state)
    renew(state)
    assert standing(state) == ["site-2", "site-3"]


def test_without_a_bundle_that_is_trusted_the_old_record_stays(state: State) -> None:
    garbled(state)
    with pytest.raises(TrustError, match="cannot be believed"):
        renew_log(state, [forge.new_key().public])
    shutil.rmtree(state.bundles)
    with pytest.raises(TrustError, match="nothing is kept of any bundle"):
        renew(state)
    assert not list(state.root.glob("receipts.broken-*"))


def test_what_was_begun_does_not_count(state: State) -> None:
    begin(state, 4, [version(4)], tagged=False)
    garbled(state)
    renew(state)
    assert standing(state) == ["site-2", "site-3"]


def test_where_a_registry_has_the_layers_manifests_tell(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    folder = tmp_path / "bundle"
    forge.make_bundle(folder, KEY, images=[version(1)], name="site")
    with open_images(folder) as archive:
        seed_documents(state.mirror, archive, archive.contents.images)
    receipts.write_receipt(state, "begun", read_signed(Media([folder]), [KEY.public]))
    garbled_only = state.receipts / "000001.json"
    garbled_only.write_text("{}")
    state.save_settings(HostSettings(registry_mirror="harbor.example.internal"))
    renew(state)
    assert standing(state) == ["site-1"]


def test_receipts_are_missed_though_the_mirror_is_gone_too(state: State) -> None:
    shutil.rmtree(state.mirror.root)
    shutil.rmtree(state.receipts)
    with pytest.raises(TrustError, match="the install log is gone"):
        read_log(state)
    assert receipts.are_gone(state)


def test_killed_before_its_first_receipt_an_install_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State(tmp_path / "state")
    forge.make_bundle(tmp_path / "bundle", KEY, name="site")
    signed = read_signed(Media([tmp_path / "bundle"]), [KEY.public])
    with monkeypatch.context() as patch:
        patch.setattr(receipts, "_add", lambda state, receipt: None)
        receipts.write_receipt(state, "begun", signed)
    assert list(state.bundles.iterdir())
    read_log(state)
    assert not receipts.are_gone(state)


def test_a_host_on_which_nothing_was_installed_has_a_record(tmp_path: Path) -> None:
    read_log(State(tmp_path))
