"""`install --repair`: what a disk has damaged or lost, from the medium that has it."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from airgap.errors import IntegrityError, TrustError
from airgap.isolated.commands.install import InstallOptions, Report, install
from airgap.isolated.context import Options
from airgap.isolated.host.user import User
from airgap.isolated.state.layout import State
from airgap.isolated.state.receipts import ReceiptLog
from airgap.isolated.state.settings import HostSettings
from airgap.oci.manifest import Manifest
from airgap.progress import Progress
from airgap.store import layout
from tests import forge
from tests.forge import Image, indexed, recorded

KEY = forge.new_key()
IMAGES = {serial: indexed("docker.io/library/a:1", texts=[f"{serial}"]) for serial in (1, 2)}
STORAGE = ("seed", "recordings")


class Said(Progress):
    """Keeps what is said to people."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def state(tmp_path: Path) -> State:
    """Two bundles, of which the second moved the tag of the first."""
    state = State(tmp_path / "state")
    for serial, image in IMAGES.items():
        answers = {"https://example.com/file": f"answer {serial}".encode()}
        forge.make_bundle(
            tmp_path / str(serial),
            KEY,
            images=[image],
            recordings=[recorded("app", answers)],
            serial=serial,
            created=f"2026-0{serial}-01T00:00:00Z",
        )
        bring(state, serial)
    return state


def bring(
    state: State, serial: int, *, repair: bool = False, progress: Progress | None = None
) -> Report:
    order = InstallOptions(
        [state.root.parent / str(serial)],
        [KEY.public],
        only=STORAGE,
        options=Options(repair=repair),
    )
    user = User.behind_this_process()
    return install(state, order, user, progress or Progress(), lambda outcome: None)


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def own_blobs(state: State, serial: int) -> list[Path]:
    """What only one of the bundles included to the mirror."""
    mine, other = IMAGES[serial], IMAGES[3 - serial]
    digests = {*mine.bodies, *mine.blobs} - {*other.bodies, *other.blobs}
    return [state.mirror.root / layout.blob_data(digest) for digest in digests]


def good(paths: Sequence[Path], image: Image) -> bool:
    bodies = {**image.bodies, **image.blobs}
    return all(path.read_bytes() == bodies[f"sha256:{path.parent.name}"] for path in paths)


def test_a_bundle_that_newer_ones_came_after_restores_its_blobs_and_no_tag(state: State) -> None:
    damaged, lost = own_blobs(state, 1)[:2]
    flip(damaged)
    lost.unlink()
    answers = [path for path in state.replay.root.rglob("data") if path.read_bytes()]
    for path in answers:
        flip(path)
    before = ReceiptLog.read(state).receipts
    with pytest.raises(TrustError, match="would go back to an older state"):
        bring(state, 1)
    report = bring(state, 1, repair=True)
    assert report.changed
    assert good(own_blobs(state, 1), IMAGES[1])
    assert state.mirror.is_tagged(IMAGES[2].entry)
    assert ReceiptLog.read(state).receipts == before
    left = bring(state, 2, repair=True)
    assert [one.detail for one in left.outcomes if one.name == "repair"] == [
        "2 blobs restored"  # of the recording: its map, and the answer
    ]
    assert not bring(state, 1, repair=True).changed


def test_recordings_that_are_lost_come_back_for_those_alone_who_may_build(state: State) -> None:
    shutil.rmtree(state.replay.root)
    assert bring(state, 2, repair=True).changed
    assert any(state.replay.root.rglob("data"))
    assert stat.S_IMODE(state.replay.root.stat().st_mode) & 0o027 == 0


def test_what_the_bundle_has_not_stays_and_is_named_with_its_bundle(state: State) -> None:
    theirs, ours = own_blobs(state, 1)[0], own_blobs(state, 2)[0]
    flip(theirs)
    flip(ours)
    progress = Said()
    report = bring(state, 2, repair=True, progress=progress)
    assert theirs.exists()
    assert good([ours], IMAGES[2])
    assert f"damaged, and in the bundle small-1: sha256:{theirs.parent.name}" in progress.lines
    assert report.outcomes[0].detail == ("1 blobs restored, 1 damaged ones are not in this bundle")


def test_nothing_is_lost_if_the_medium_is_damaged_too(state: State) -> None:
    layer = next(
        layout.blob_data(layer.digest)
        for document in IMAGES[2].documents.values()
        if isinstance(document, Manifest)
        for layer in document.blobs[1:]
    )
    blob = state.mirror.root / layer
    kept, tar = blob.read_bytes(), state.root.parent / "2" / "images.tar"
    data = bytearray(tar.read_bytes())
    data[data.index(kept)] ^= 1
    tar.write_bytes(data)
    flip(blob)
    flipped = blob.read_bytes()
    with pytest.raises(IntegrityError, match=r"images.tar is damaged: the blob"):
        bring(state, 2, repair=True)
    assert blob.read_bytes() == flipped


def test_other_options_count_not_where_no_step_is_done(state: State) -> None:
    order = InstallOptions(
        [state.root.parent / "1"],
        [KEY.public],
        settings=HostSettings(mirror_port=6001),
        options=Options(repair=True),
    )
    install(state, order, User.behind_this_process(), Progress(), lambda outcome: None)
    assert state.settings() == HostSettings()


def test_that_a_rule_was_set_aside_is_in_the_record(state: State) -> None:
    order = InstallOptions(
        [state.root.parent / "1"], [KEY.public], STORAGE, options=Options(allow_older=True)
    )
    install(state, order, User.behind_this_process(), Progress(), lambda outcome: None)
    record = ReceiptLog.read(state).receipts
    assert [one.verified for one in record[-3:]] == [
        "signature",
        "signature, --allow-older",
        "signature, --allow-older",
    ]


def test_without_repair_a_bundle_that_stands_is_no_exception(state: State) -> None:
    assert not bring(state, 2).changed
    with pytest.raises(TrustError):
        bring(state, 1)
