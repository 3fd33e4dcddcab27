"""A workstation writes to a medium that somebody prepared, or changes while it is unplugged."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from platformdirs import user_state_path

from lab.publish import Image
from lab.upstream import Upstream
from tests.integration.command import Outcome, airgap
from tests.integration.conftest import APP, LayerMaker
from tests.integration.faults import FaultProxy, answers

_TOOL = "tool/airgap.pyz"


class Workstation:
    """Makes a bundle of one image, whole or until its blobs are refused."""

    def __init__(self, proxy: FaultProxy, key: Path, folder: Path, image: str = f"{APP}:1") -> None:
        self._proxy, self._key, self.output = proxy, key, folder / "bundle"
        self.name = f"{proxy.address}/{image}"

    def run(self) -> Outcome:
        patience = ("--retry-for", "1", "--platform", "linux/amd64", "--no-roles")
        return airgap("bundle", self.name, *patience, "--key", self._key, "-o", self.output)

    def interrupt(self) -> None:
        """Leaves an unfinished bundle."""
        self._proxy.fault = answers(500, when=lambda request: request.is_blob)
        assert self.run().code == 4
        self._proxy.fault = None

    def is_good(self) -> bool:
        trust = ("--trust", self._key.with_suffix(".pub"))
        return airgap("verify", self.output, *trust).code == 0

    def document(self) -> dict[str, object]:
        document: dict[str, object] = json.loads((self.output / "bundle.json").read_bytes())
        return document


@pytest.fixture
def workstation(proxy: FaultProxy, key: Path, tmp_path: Path) -> Workstation:
    return Workstation(proxy, key, tmp_path)


def test_a_medium_does_not_choose_digests_date_or_serial(
    registry: Upstream, proxy: FaultProxy, key: Path, layer: LayerMaker, tmp_path: Path
) -> None:
    publisher = registry.publisher()
    images = [Image("linux/amd64", [layer(f"medium-{one}")]) for one in (1, 2)]
    old = publisher.publish("plain/medium", ["1"], images[:1])
    workstation = Workstation(proxy, key, tmp_path, "plain/medium:1")
    workstation.interrupt()
    (kept,) = (
        path
        for path in (user_state_path("airgap") / "unfinished").iterdir()
        if json.loads(path.read_bytes())["digests"].get(workstation.name) == old
    )
    document = json.loads(kept.read_bytes())
    kept.unlink()
    publisher.publish("plain/medium", ["1"], images[1:])
    plan = workstation.output / ".unfinished/plan.json"
    for planted in (document, document | {"created": "2099-01-01T00:00:00Z", "serial": 9**9}):
        plan.write_text(json.dumps(planted))
        assert workstation.run().code == 2
    plan.write_text(json.dumps({"begun": "0" * 32}))
    outcome = workstation.run()
    assert outcome.code == 2
    assert "was not begun here" in outcome.err
    assert not (workstation.output / "SHA256SUMS").exists()


def test_the_plan_of_a_bundle_that_was_signed_does_not_come_back(workstation: Workstation) -> None:
    workstation.interrupt()
    saved = workstation.output.with_name("saved")
    shutil.copytree(workstation.output, saved)
    assert workstation.run().code == 0
    shutil.rmtree(workstation.output)
    saved.rename(workstation.output)
    assert workstation.run().code == 2


def _device(path: Path, _precious: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


def _pipe(path: Path, _precious: Path) -> None:
    os.mkfifo(path)


def _link(path: Path, precious: Path) -> None:
    path.symlink_to(precious)


def _hard_link(path: Path, precious: Path) -> None:
    path.hardlink_to(precious)


Plant = Callable[[Path, Path], None]


@pytest.mark.parametrize("plant", [_device, _pipe, _link, _hard_link])
@pytest.mark.parametrize("name", ["images.tar", ".unfinished/journal", _TOOL, "README.txt"])
def test_only_files_of_ours_are_written_to(
    name: str, plant: Plant, workstation: Workstation, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    workstation.interrupt()
    path = workstation.output / name
    path.unlink(missing_ok=True)
    plant(path, precious)
    outcome = workstation.run()
    assert precious.read_text() == "as it was"
    assert precious.stat().st_nlink == (2 if plant is _hard_link and outcome.code else 1)
    if name in (_TOOL, "README.txt"):  # a new file takes its place
        assert outcome.code == 0, outcome.err
        assert workstation.is_good()
    else:
        assert outcome.code == 9
        assert Path(name).name in outcome.err
        assert not (workstation.output / "SHA256SUMS").exists()


@pytest.mark.parametrize("name", ["tool", ".unfinished"])
def test_no_folder_of_a_medium_leads_elsewhere(
    name: str, workstation: Workstation, tmp_path: Path
) -> None:
    workstation.interrupt()
    elsewhere = tmp_path / "elsewhere"
    (workstation.output / name).rename(elsewhere)
    (elsewhere / "airgap.pyz").unlink(missing_ok=True)
    before = sorted(path.name for path in elsewhere.iterdir())
    (workstation.output / name).symlink_to(elsewhere)
    assert workstation.run().code != 0
    assert sorted(path.name for path in elsewhere.iterdir()) == before
    assert not (workstation.output / "SHA256SUMS").exists()


def test_a_journal_that_claims_what_is_not_there_changes_nothing(workstation: Workstation) -> None:
    workstation.interrupt()
    journal = workstation.output / ".unfinished/journal"
    tar = workstation.output / "images.tar"
    for count in (1, 100, 10**6):
        journal.write_bytes(b"%015d\n" % count * (journal.stat().st_size // 16))
    os.truncate(tar, 10**8)  # zeros, long enough for all of it
    assert workstation.run().code == 0
    assert workstation.is_good()


def test_a_clock_that_went_back_signs_nothing(workstation: Workstation) -> None:
    workstation.interrupt()
    for path in (user_state_path("airgap") / "unfinished").iterdir():
        document = json.loads(path.read_bytes())
        path.write_text(json.dumps(document | {"created": "2099-01-01T00:00:00Z"}))
    outcome = workstation.run()
    assert outcome.code == 9
    assert "clock" in outcome.err
    assert not (workstation.output / "SHA256SUMS").exists()
