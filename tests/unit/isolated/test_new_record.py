"""Receipts that are gone or garbled: what is kept of bundles makes a new record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.bundle.media import Media
from airgap.bundle.verify import read_signed
from airgap.errors import TrustError
from airgap.isolated import receipts
from airgap.isolated.new_record import check_record, renew_record
from airgap.isolated.prune import carry_out, plan_prune
from airgap.isolated.receipts import history, installed, read_receipts
from airgap.isolated.state import HostSettings, State
from airgap.progress import Progress
from airgap.store.seed import seed_documents
from tests import forge
from tests.forge import single
from tests.unit.isolated.test_prune import KEY, begin, bring, open_images, version

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
    return [one.identity for one in installed(state, read_receipts(state))]


def renew(state: State) -> list[str]:
    said: list[str] = []
    renew_record(state, [KEY.public], said.append)
    return said


@pytest.mark.parametrize("damage", [deleted, garbled])
def test_what_counts_is_found_again_and_all_is_remembered(state: State, damage: Damage) -> None:
    before = standing(state)
    known = {one.digest for one in history(state, read_receipts(state))}
    damage(state)
    with pytest.raises(TrustError) as caught:
        check_record(state)
    assert "airgap doctor --fix" in caught.value.remedy
    assert renew(state) == []
    check_record(state)
    assert standing(state) == before == ["site-2", "site-3"]
    record = read_receipts(state)
    assert {one.digest for one in history(state, record)} == known
    assert receipts.unfinished(record) is None
    assert all(one.signers for one in record)


def test_what_was_rolled_back_stays_so(state: State) -> None:
    state.mirror.tag_images([version(2).entry])
    garbled(state)
    renew(state)
    assert standing(state) == ["site-2"]


def test_a_bundle_is_believed_only_if_it_is_signed_and_itself(state: State, tmp_path: Path) -> None:
    forge.make_bundle(tmp_path / "evil", forge.new_key(), name="site", serial=9)
    (tmp_path / "evil").rename(state.bundles / "site-9")
    (state.bundles / "site-2" / "bundle.json").write_text("{}")
    (state.bundles / "site-1").rename(state.bundles / "site-7")
    garbled(state)
    said = renew(state)
    assert [line.split(":")[1].strip() for line in said] == ["site-2", "site-7", "site-9"]
    assert standing(state) == ["site-3"]


def test_without_a_bundle_that_is_trusted_the_old_record_stays(state: State) -> None:
    garbled(state)
    with pytest.raises(TrustError, match="no bundle that a trusted key has signed"):
        renew_record(state, [forge.new_key().public], lambda text: None)
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


def test_a_host_on_which_nothing_was_installed_has_a_record(tmp_path: Path) -> None:
    check_record(State(tmp_path))
