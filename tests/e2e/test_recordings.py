"""Recordings on an isolated host: included once, from two media, and not if one byte is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from airgap.errors import ExitCode
from airgap.trust.keys import PrivateKey
from lab import full_run
from lab.host import IsolatedHost
from tests import forge
from tests.contract import parse_json
from tests.e2e.conftest import Carried, visit

ROOT, FIRST, SECOND = "/srv/state", "/srv/first", "/srv/second"
STEPS = "seed,recordings"


class Host:
    """A host with Docker where nothing is installed, and a small bundle in two of its folders."""

    def __init__(self, host: IsolatedHost, key: PrivateKey) -> None:
        self.host, self.key = host, key
        self.first, self.second, self.root = map(host.path, (FIRST, SECOND, ROOT))
        host.path("/srv/site.pub").write_bytes(key.public.pem())

    def clear(self) -> None:
        """Begins again with a good bundle, the recordings on the second medium, and no state."""
        for path in (self.first, self.second, self.root):
            shutil.rmtree(path, ignore_errors=True)
        recordings = [forge.recorded("app"), forge.recorded("lib", {})]
        forge.make_bundle(self.first, self.key, recordings=recordings, volume_bytes=2500)
        self.second.mkdir()
        for path in self.first.glob("replay.tar.*"):
            path.rename(self.second / path.name)

    def airgap(self, *arguments: str) -> CompletedProcess[str]:
        """Runs the tool."""
        return self.host.run([*full_run.TOOL, "--root", ROOT, *arguments], check=False)

    def install(self, *folders: str) -> CompletedProcess[str]:
        """Includes images and recordings."""
        return self.airgap("install", *folders, "--only", STEPS, "--trust", "/srv/site.pub")

    def kept(self) -> dict[Path, tuple[int, bytes]]:
        """Everything in the recordings' storage."""
        files = [path for path in self.root.glob("replay/**/*") if path.is_file()]
        return {path: (path.stat().st_ino, path.read_bytes()) for path in files}


@pytest.fixture(scope="module")
def one_host(carried: Carried) -> Iterator[Host]:
    with IsolatedHost() as host:
        visit(host, carried)
        yield Host(host, forge.new_key())


@pytest.fixture
def target(one_host: Host) -> Host:
    one_host.clear()
    return one_host


def test_recordings_are_included_from_a_second_medium_and_only_once(target: Host) -> None:
    done = target.install(FIRST, SECOND)
    assert done.returncode == 0, done.stderr
    assert "done  recordings     2 recordings" in done.stdout
    before = target.kept()
    brought = {data for _, data in before.values()}
    assert brought == {
        data
        for one in (forge.recorded("app"), forge.recorded("lib", {}))
        for data in one.blobs.values()
    }
    again = target.install(FIRST, SECOND)
    assert again.returncode == 0, again.stderr
    assert "nothing to change" in again.stdout
    assert target.kept() == before
    report = parse_json("status", target.airgap("status", "--json").stdout)
    assert report["steps"]["recordings"]["detail"] == "2 recordings"
    assert report["steps"]["recordings"]["ok"]
    assert set(report["recordings"]) == {"app", "lib"}


def test_a_medium_that_is_missing_is_named_before_anything_changes(target: Host) -> None:
    done = target.install(FIRST)
    assert done.returncode == ExitCode.INTEGRITY
    assert f"missing from {FIRST}: replay.tar.000 (volume 1 of 3), replay.tar.001" in done.stderr
    assert not (target.root / "mirror").exists()


def test_a_damaged_answer_is_not_kept_and_a_repaired_copy_is(target: Host) -> None:
    volume = next(path for path in target.second.iterdir() if b"oneone" in path.read_bytes())
    good = volume.read_bytes()
    volume.write_bytes(good.replace(b"oneone", b"onetwo", 1))
    done = target.install(FIRST, SECOND)
    assert done.returncode == ExitCode.INTEGRITY
    assert f"{volume.name} (volume " in done.stderr
    assert not any(b"onetwo" in data for _, data in target.kept().values())
    (target.first / volume.name).write_bytes(good)
    done = target.install(FIRST, SECOND)
    assert done.returncode == 0, done.stderr


def test_a_damaged_answer_on_the_host_is_seen_by_its_size_and_restored(target: Host) -> None:
    assert target.install(FIRST, SECOND).returncode == 0
    path = next(path for path, (_, data) in target.kept().items() if data == b"two")
    path.write_bytes(b"tw")
    report = parse_json("status", target.airgap("status", "--json").stdout)
    assert report["steps"]["recordings"]["detail"].startswith("app lacks sha256:")
    assert target.install(FIRST, SECOND).returncode == 0
    assert path.read_bytes() == b"two"


def test_uninstall_takes_them_away(target: Host) -> None:
    assert target.install(FIRST, SECOND).returncode == 0
    done = target.airgap("uninstall", "--purge")
    assert done.returncode == 0, done.stderr
    assert not (target.root / "replay").exists()
