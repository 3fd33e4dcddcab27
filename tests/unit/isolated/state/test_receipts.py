from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.bundle.media import Media
from airgap.bundle.verify import VerifiedBundle, read_signed
from airgap.errors import TrustError
from airgap.isolated.state.layout import State
from airgap.isolated.state.receipts import (
    Action,
    Receipt,
    ReceiptLog,
    quarantine,
    retract,
    seen_bundle,
    write_receipt,
)
from tests import forge


@pytest.fixture
def state(tmp_path: Path) -> State:
    """Two bundles, of which the second was begun and not finished."""
    state = State(tmp_path / "state")
    write_receipt(state, "begun", signed(tmp_path, 1))
    write_receipt(state, "installed", signed(tmp_path, 1))
    write_receipt(state, "begun", signed(tmp_path, 2))
    return state


def _log(receipts: list[Receipt]) -> ReceiptLog:
    return ReceiptLog(State(Path("/nonexistent")), tuple(receipts))


def signed(tmp_path: Path, serial: int, name: str = "small") -> VerifiedBundle:
    folder, key = tmp_path / f"{name}-{serial}", forge.new_key()
    forge.make_bundle(folder, key, name=name, serial=serial)
    return read_signed(Media([folder]), [key.public])


def test_receipts_are_read_as_they_were_written(state: State) -> None:
    actions = [(receipt.action, receipt.bundle) for receipt in ReceiptLog.read(state).receipts]
    assert actions == [("begun", "small-1"), ("installed", "small-1"), ("begun", "small-2")]


def test_a_host_without_receipts_has_none(tmp_path: Path) -> None:
    assert ReceiptLog.read(State(tmp_path)).receipts == ()


def test_what_was_begun_counts_for_rollback_and_not_for_what_is_there(state: State) -> None:
    log = ReceiptLog.read(state)
    assert [known.serial for known in log.history()] == [1, 2]
    assert [contents.serial for contents in log.installed()] == [1]


def test_the_rollback_rules_are_given_the_tags_of_each_bundle(state: State) -> None:
    tags = ReceiptLog.read(state).history()[0].tags
    # Each as the mirror has it: images of Docker Hub are there under a second name.
    assert sorted(tags) == [
        "docker.io/library/alpine:3.20",
        "ghcr.io/org/app:1.0",
        "library/alpine:3.20",
    ]


def test_what_replaces_a_part_of_the_set_up_is_held_to_the_same_rules(tmp_path: Path) -> None:
    """Else an old bundle could include an old BuildKit back, under another tag."""
    folder, key = tmp_path / "bundle", forge.new_key()
    builder = forge.indexed("docker.io/moby/buildkit:v0.9", roles=["builder", "frontend"])
    forge.make_bundle(folder, key, images=[builder], recordings=[forge.recorded("app")])
    seen = seen_bundle(read_signed(Media([folder]), [key.public]).contents, "", {})
    digest = builder.entry.digest
    assert seen.tags == {
        "docker.io/moby/buildkit:v0.9": digest,
        "moby/buildkit:v0.9": digest,
        "the builder": digest,
        "the frontend": digest,
        "the recording app": forge.recorded("app").entry.digest,
    }


def test_after_an_uninstall_nothing_is_there_and_all_is_remembered(state: State) -> None:
    write_receipt(state, "uninstalled")
    log = ReceiptLog.read(state)
    assert log.installed() == []
    assert len(log.history()) == 2


def test_a_bundle_that_is_installed_again_becomes_the_last_one(
    state: State, tmp_path: Path
) -> None:
    other = signed(tmp_path, 1, "other")
    write_receipt(state, "installed", other)
    folder = State(tmp_path / "state")
    again = [contents.name for contents in ReceiptLog.read(folder).installed()]
    assert again == ["small", "other"]
    assert ReceiptLog.read(state).ends_with(other.digest)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_changed_receipt_is_noticed(state: State, number: int) -> None:
    path = state.receipts / f"{number:06}.json"
    changed = path.read_text().replace('"digest":"sha256:', '"digest":"sha256:0')
    path.write_text(changed)
    with pytest.raises(TrustError, match="the install log is broken"):
        ReceiptLog.read(state).history()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_byte_of_a_receipt_counts(state: State, number: int) -> None:
    path = state.receipts / f"{number:06}.json"
    path.write_text(path.read_text().replace('"at":"2', '"at":"1'))
    with pytest.raises(TrustError, match="the install log is broken"):
        ReceiptLog.read(state)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_missing_receipt_is_noticed(state: State, number: int) -> None:
    (state.receipts / f"{number:06}.json").unlink()
    with pytest.raises(TrustError):
        ReceiptLog.read(state)


def test_the_name_of_the_newest_receipt_is_missed(state: State) -> None:
    (state.receipts / "newest").unlink()
    with pytest.raises(TrustError, match="newest"):
        ReceiptLog.read(state)


def test_a_kill_before_the_newest_receipt_is_named_does_no_harm(
    state: State, tmp_path: Path
) -> None:
    named = (state.receipts / "newest").read_bytes()
    write_receipt(state, "installed", signed(tmp_path, 2))
    (state.receipts / "newest").write_bytes(named)
    assert len(ReceiptLog.read(state).receipts) == 4
    write_receipt(state, "uninstalled")
    assert len(ReceiptLog.read(state).receipts) == 5


UNKNOWN_ACTION = (
    '{"action":"moved","at":"","bundle":"","by":"","digest":"","previous":"","signers":[],'
    '"tool":"","verified":""}'
)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"signers":1}', '{"signers":[],"x":1}', UNKNOWN_ACTION]
)
def test_a_garbled_receipt_is_noticed(state: State, text: str) -> None:
    (state.receipts / "000002.json").write_text(text)
    with pytest.raises(TrustError, match="000002"):
        ReceiptLog.read(state)


def test_changed_contents_of_an_installed_bundle_are_noticed(state: State) -> None:
    path = state.bundles / "small-1" / "bundle.json"
    path.write_text(path.read_text().replace("alpine:3.20", "alpine:3.21"))
    with pytest.raises(TrustError, match="small-1"):
        ReceiptLog.read(state).installed()


def test_broken_receipts_can_be_put_aside_for_a_new_chain(state: State, tmp_path: Path) -> None:
    (state.receipts / "000001.json").unlink()
    quarantine(state)
    assert list(state.root.glob("receipts.broken-*/000002.json"))
    write_receipt(state, "begun", signed(tmp_path, 3))
    assert [receipt.bundle for receipt in ReceiptLog.read(state).receipts] == ["small-3"]


@pytest.mark.parametrize("action", ["rolled back", "dropped"])
def test_a_bundle_that_was_taken_out_does_not_count_and_is_remembered(
    state: State, tmp_path: Path, action: Literal["rolled back", "dropped"]
) -> None:
    write_receipt(state, "installed", signed(tmp_path, 2))
    retract(state, action, ReceiptLog.read(state).active()[-1])
    log = ReceiptLog.read(state)
    assert [contents.serial for contents in log.installed()] == [1]
    assert [known.serial for known in log.history()] == [1, 2]
    assert (log.receipts[-1].action, log.receipts[-1].bundle) == (action, "small-2")
    write_receipt(state, "installed", signed(tmp_path, 2))
    assert [one.bundle for one in ReceiptLog.read(state).active()] == ["small-1", "small-2"]


def test_a_bundle_that_was_installed_again_is_rolled_back_to_where_it_was(
    state: State, tmp_path: Path
) -> None:
    for serial in (2, 1, 1):
        write_receipt(state, "installed", signed(tmp_path, serial))
    first = ReceiptLog.read(state).active()
    assert [one.bundle for one in first] == ["small-2", "small-1"]
    retract(state, "rolled back", first[-1])
    second = ReceiptLog.read(state).active()
    assert [one.bundle for one in second] == ["small-1", "small-2"]
    retract(state, "rolled back", second[-1])
    assert [one.bundle for one in ReceiptLog.read(state).active()] == ["small-1"]


def test_what_was_begun_and_not_finished_is_rolled_back_first(state: State, tmp_path: Path) -> None:
    write_receipt(state, "installed", signed(tmp_path, 2))
    write_receipt(state, "begun", signed(tmp_path, 1))  # once more, and not finished
    begun = ReceiptLog.read(state).active(unfinished=True)
    assert [(one.action, one.bundle) for one in begun] == [
        ("installed", "small-2"),
        ("begun", "small-1"),
    ]
    retract(state, "rolled back", begun[-1])
    log = ReceiptLog.read(state)
    assert [one.bundle for one in log.active()] == ["small-1", "small-2"]
    assert log.active(unfinished=True) == log.active()


def test_a_bundle_that_is_begun_again_keeps_its_place(state: State, tmp_path: Path) -> None:
    write_receipt(state, "installed", signed(tmp_path, 2))
    before = ReceiptLog.read(state).active()
    write_receipt(state, "begun", signed(tmp_path, 2))
    assert ReceiptLog.read(state).active(unfinished=True) == before


def test_what_is_taken_out_is_said_with_who_signed_it(state: State) -> None:
    installed = ReceiptLog.read(state).active()[-1]
    retract(state, "rolled back", installed)
    assert ReceiptLog.read(state).receipts[-1].signers == installed.signers != ()


RECEIPTS = st.lists(
    st.builds(
        lambda action, bundle: Receipt("", action, "", "", "", bundle=bundle),
        st.sampled_from(["begun", "installed", "rolled back", "dropped", "uninstalled"]),
        st.sampled_from(["a-1", "a-2", "b-1"]),
    ),
    max_size=12,
)


@given(RECEIPTS, RECEIPTS)
def test_a_bundle_is_active_once_and_a_finished_one_was_installed(
    before: list[Receipt], after: list[Receipt]
) -> None:
    known = _log([*before, *after]).active(unfinished=True)
    bundles = [receipt.bundle for receipt in known]
    assert len(set(bundles)) == len(bundles)
    assert all(receipt.action in ("begun", "installed") for receipt in known)
    finished = _log([*before, *after]).active()
    assert all(receipt.action == "installed" for receipt in finished)
    assert {receipt.bundle for receipt in finished} <= set(bundles)


@given(RECEIPTS, st.sampled_from(["a-1", "a-2", "b-1"]))
def test_the_last_action_decides_about_its_bundle(before: list[Receipt], bundle: str) -> None:
    def after(action: Action) -> list[str]:
        receipts = [*before, Receipt("", action, "", "", "", bundle=bundle)]
        return [receipt.bundle for receipt in _log(receipts).active()]

    assert after("installed")[-1] == bundle
    assert bundle not in after("dropped")
    assert after("uninstalled") == []
    others = [name for name in after("rolled back") if name != bundle]
    assert others == [name for name in after("dropped") if name != bundle]
