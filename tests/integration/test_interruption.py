"""Killed, interrupted, a full or closed disk: finished work is kept, and the command continues."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.cleanup import removed_at_end
from lab.publish import Image
from lab.run import run
from lab.upstream import Upstream
from tests.integration.command import airgap, started
from tests.integration.conftest import LayerMaker
from tests.integration.faults import FaultProxy, Held

BIG = "docker.io/lab/big"
_LAYERS = 12
_LAYER_BYTES = 2_000_000
MountFile = Callable[[str], Path]


@pytest.fixture(scope="module", autouse=True)
def big(registry: Upstream, layer: LayerMaker) -> None:
    """An image of 24 MB in many layers."""
    layers = [layer(f"big-{number}", _LAYER_BYTES) for number in range(_LAYERS)]
    registry.publisher().publish(BIG, ["1"], [Image("linux/amd64", layers, {})])


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[MountFile]:
    """Mounts a file system in memory with some options, and unmounts it at the end."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with removed_at_end("mount", str(folder)):

        def mount(options: str) -> Path:
            run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder])
            return folder

        yield mount


def _contents(bundle: Path) -> tuple[list[object], bytes]:
    """What is the same in two bundles of one request, and the blobs themselves."""
    document = json.loads((bundle / "bundle.json").read_bytes())
    tar = (bundle / "images.tar").read_bytes()
    bodies = b"".join(tar[b["offset"] : b["offset"] + b["size"]] for b in document["blobs"])
    return [document["images"], document["blobs"]], bodies


def _arguments(proxy: FaultProxy, key: Path, out: Path) -> list[str | Path]:
    name = f"{proxy.address}/{BIG}:1"
    return ["bundle", name, "--no-roles", "--platform", "linux/amd64", "--key", key, "-o", out]


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_run_continues_to_the_same_bundle(
    seed: int, tool: Path, key: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "bundle"
    assert airgap(*_arguments(proxy, key, undisturbed)).code == 0
    seeded = random.Random(seed)
    for _ in range(4):
        with started(tool, *_arguments(proxy, key, out)) as process:
            time.sleep(seeded.uniform(0.3, 1.2))
            process.send_signal(signal.SIGKILL)
        if (out / "SHA256SUMS").exists():
            break  # it was quicker
    outcome = airgap(*_arguments(proxy, key, out))
    assert outcome.code == 0 or "holds a finished bundle" in outcome.err
    assert _contents(out) == _contents(undisturbed)
    assert airgap("verify", out, "--trust", key.with_suffix(".pub")).code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_that_it_continues(
    number: signal.Signals, tool: Path, key: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.fault = held = Held()
    with started(tool, *_arguments(proxy, key, tmp_path / "bundle")) as process:
        assert held.reached.wait(30)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        held.go_on.set()
    assert process.returncode == 130
    assert "run the same command to continue" in err
    assert "Traceback" not in err


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(
    key: Path, proxy: FaultProxy, mounted: MountFile
) -> None:
    outcome = airgap(*_arguments(proxy, key, mounted("size=40m,mode=755") / "bundle"))
    assert outcome.code == 8
    assert "Nothing of it was written" in outcome.err
    assert proxy.blobs == [] or all(blob not in outcome.out for blob in proxy.blobs)


def test_a_disk_that_fills_up_half_way_keeps_what_is_finished(
    key: Path, proxy: FaultProxy, mounted: MountFile
) -> None:
    disk = mounted("size=96m,mode=755")
    out, filler = disk / "bundle", disk / "filler"

    def fill(_: object) -> bool:
        """Takes all the room once blobs are fetched, and so after the check."""
        if len(proxy.blobs) > _LAYERS // 2 and not filler.exists():
            subprocess.run(
                ["dd", "if=/dev/zero", f"of={filler}", "bs=1M"], capture_output=True, check=False
            )
        return False

    proxy.fault = fill
    outcome = airgap(*_arguments(proxy, key, out))
    assert outcome.code == 8, outcome.err
    assert "What was fetched is kept" in outcome.err
    proxy.fault = None
    filler.unlink()
    assert airgap(*_arguments(proxy, key, out)).code == 0
    assert airgap("verify", out, "--trust", key.with_suffix(".pub")).code == 0


def test_a_folder_that_cannot_be_written_to_is_exit_9(
    key: Path, proxy: FaultProxy, mounted: MountFile
) -> None:
    outcome = airgap(*_arguments(proxy, key, mounted("ro") / "bundle"))
    assert outcome.code == 9
    assert "cannot write to" in outcome.err
