"""Which bundles go, and what goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from airgap.bundle.archive import Archive
from airgap.bundle.media import Media
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.verify import read_signed
from airgap.errors import HostError
from airgap.isolated.commands.prune import carry_out, plan_prune
from airgap.isolated.state import receipts
from airgap.isolated.state.layout import State
from airgap.progress import Progress
from airgap.store.seed import seed, seed_replay
from tests import forge
from tests.forge import Image, indexed, recorded, single

KEY = forge.new_key()
BUILDER = single("docker.io/moby/buildkit:1", roles=["builder"], texts=["builder"])


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def version(serial: int) -> Image:
    """An image whose tag moves with each serial."""
    return indexed("docker.io/library/a:1", texts=[f"version {serial}"])


def bring(state: State, serial: int, images: Sequence[Image], *, name: str = "site") -> None:
    """Installs a bundle as far as receipts and storage go."""
    folder = state.root.parent / f"{name}-{serial}"
    answers = {"https://example.com/file": f"{name} {serial}".encode()}
    recordings = [recorded("app", answers)]
    forge.make_bundle(folder, KEY, images=images, recordings=recordings, name=name, serial=serial)
    media = Media([folder])
    signed = read_signed(media, [KEY.public])
    receipts.write_receipt(state, "begun", signed)
    with Archive(media, signed.contents) as archive, ReplayTar(media, signed.contents) as replay:
        seed(state.mirror, archive, Progress())
        seed_replay(state.replay, replay, Progress())
    receipts.write_receipt(state, "installed", signed)


def open_images(folder: Path) -> Archive:
    media = Media([folder])
    return Archive(media, read_signed(media, [KEY.public]).contents)


def begin(state: State, serial: int, images: Sequence[Image], *, tagged: bool) -> None:
    """An install that was stopped: after its first blob, or after the tags and before the end."""
    folder = state.root.parent / f"begun-{serial}"
    forge.make_bundle(folder, KEY, images=images, name="site", serial=serial)
    media = Media([folder])
    signed = read_signed(media, [KEY.public])
    receipts.write_receipt(state, "begun", signed)
    if tagged:
        with open_images(folder) as archive:
            seed(state.mirror, archive, Progress())
    else:
        digest, data = next(iter(images[0].blobs.items()))
        state.mirror.write_blob(digest, [data])


def blobs(state: State) -> set[str]:
    return {f"sha256:{path.parent.name}" for path in state.mirror.root.rglob("data")}


def dropped(state: State, keep: int) -> list[str]:
    return [receipt.bundle for receipt in plan_prune(state, keep).dropped]


def test_of_each_name_the_last_ones_are_kept(state: State) -> None:
    for serial in (1, 2, 3):
        bring(state, serial, [version(serial)])
    bring(state, 1, [single("ghcr.io/other/app:1")], name="other")
    assert dropped(state, 3) == []
    assert dropped(state, 2) == ["site-1"]
    assert dropped(state, 1) == ["site-1", "site-2"]


def test_what_goes_is_what_no_kept_bundle_needs(state: State) -> None:
    bring(state, 1, [version(1), single("ghcr.io/gone/app:1", texts=["gone"])])
    bring(state, 2, [version(2)])
    plan = plan_prune(state, 1)
    assert plan.images == ["ghcr.io/gone/app:1"]
    assert plan.size == plan.mirror.size + plan.replay.size > 0
    carry_out(state, plan, Progress())
    assert blobs(state) == {*version(2).bodies, *version(2).blobs}
    left = [path.read_text() for path in state.replay.root.rglob("data")]
    assert "site 2" in left
    assert "site 1" not in left
    assert plan_prune(state, 1).size == 0
    log = receipts.ReceiptLog.read(state)
    assert [one.identity for one in log.installed()] == ["site-2"]
    assert (log.receipts[-1].action, log.receipts[-1].bundle) == ("dropped", "site-1")


def test_a_bundle_stays_that_still_includes_a_part_of_the_set_up(state: State) -> None:
    bring(state, 1, [version(1), BUILDER])
    bring(state, 2, [version(2)])
    bring(state, 3, [version(3)])
    assert dropped(state, 1) == ["site-2"]


def test_killed_between_receipts_and_storage_it_continues(state: State) -> None:
    bring(state, 1, [version(1)])
    bring(state, 2, [version(2)])
    plan = plan_prune(state, 1)
    receipts.retract(state, "dropped", plan.dropped[0])
    again = plan_prune(state, 1)
    assert again.dropped == []
    assert again.size == plan.size


@pytest.mark.parametrize("tagged", [False, True])
def test_what_was_begun_and_not_finished_loses_nothing(state: State, tagged: bool) -> None:
    bring(state, 1, [version(1)])
    begin(state, 2, [version(2), single("ghcr.io/new/app:1", texts=["new"])], tagged=tagged)
    before = {path: path.read_bytes() for path in state.root.rglob("*") if path.is_file()}
    plan = plan_prune(state, 1)
    assert (plan.dropped, plan.images) == ([], [])
    carry_out(state, plan, Progress())
    assert {path: path.read_bytes() for path in before} == before


def test_a_bundle_before_that_was_begun_goes(state: State) -> None:
    bring(state, 1, [version(1)])
    bring(state, 2, [version(2)])
    begin(state, 3, [version(3)], tagged=True)
    carry_out(state, plan_prune(state, 1), Progress())
    kept = [version(2), version(3)]
    assert blobs(state) == {digest for one in kept for digest in (*one.bodies, *one.blobs)}
    assert state.mirror.is_tagged(version(3).entry)


def test_what_was_begun_before_another_install_is_given_up(state: State) -> None:
    bring(state, 1, [version(1)])
    begin(state, 2, [version(2)], tagged=True)
    bring(state, 3, [version(3)])
    again = read_signed(Media([state.root.parent / "site-1"]), [KEY.public])
    receipts.write_receipt(state, "begun", again)  # it stands, whatever became of that
    bring(state, 4, [version(4)])
    assert dropped(state, 3) == []
    carry_out(state, plan_prune(state, 3), Progress())
    kept = [version(serial) for serial in (1, 3, 4)]
    assert blobs(state) == {digest for one in kept for digest in (*one.bodies, *one.blobs)}


def test_with_no_receipts_nothing_goes(state: State) -> None:
    bring(state, 1, [version(1)])
    for path in state.receipts.iterdir():
        path.unlink()
    with pytest.raises(HostError, match="no receipt says what is installed"):
        plan_prune(state, 1)
