"""The whole way of an arm64 server, on a real arm64 kernel: `python -m tests.native`.

The commands are those of the README. What they came to is written to `results.md`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lab import arm64, full_run, images
from lab.arm64_machine import Arm64Machine
from lab.cache import say
from lab.host import IsolatedHost
from lab.machine import Machine
from lab.medium import Medium
from lab.prepare import ready
from lab.upstream import Upstream
from tests.campaigns.where import machine as this_machine
from tests.campaigns.where import versions
from tests.readme import blocks

_DRIVE = "/media/usb"
_NATIVE, _BOTH = f"{_DRIVE}/arm64", f"{_DRIVE}/both"
_MEDIUM_BYTES = 1 << 30
_PATIENCE = 1800
_SECTION = "On an arm64 machine"
_SPEC = """\
name = "both"
platforms = ["linux/amd64", "linux/arm64"]
host_platforms = ["linux/amd64", "linux/arm64"]
[[images]]
name = "alpine"
"""
_BUILD_BOTH = """
image=127.0.0.1:5000/demo/both
docker buildx build --no-cache --platform linux/amd64,linux/arm64 -t $image --push .
docker run --rm --platform linux/amd64 $image
docker run --rm --platform linux/arm64 $image
"""


def _facts() -> dict[str, str]:
    return {**this_machine(), **versions(), "arm64 kernel": f"Linux {arm64.release()}"}


@dataclass(slots=True)
class Walk:
    """The way so far: each step, its seconds, and what showed that it was right."""

    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    facts: Mapping[str, str] = field(default_factory=_facts)
    steps: list[tuple[str, str, str]] = field(default_factory=list)
    shown: str = ""

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Times a step; it says in `shown` what it saw."""
        say(what)
        begun = time.monotonic()
        self.shown = ""
        yield
        self.steps.append((what, f"{time.monotonic() - begun:.0f}", self.shown))

    def expect(self, wanted: str, said: str) -> None:
        """What was said must hold this."""
        assert wanted in said, f"{wanted!r} is not in:\n{said}"
        self.shown += f"{', ' if self.shown else ''}`{wanted}`"

    def text(self) -> str:
        """The results for people."""
        seconds = sum(int(seconds) for _, seconds, _ in self.steps)
        begun = f"{self.begun:%Y-%m-%d %H:%M} UTC"
        return (
            "# An arm64 server, on a real arm64 kernel\n\n"
            f"Written by `python -m tests.native`, begun {begun}; its steps took "
            f"{seconds // 60} min {seconds % 60} s. qemu-system-aarch64 emulates the machine, so "
            "seconds say nothing of a real one.\n\n"
            f"{_table(('', ''), list(self.facts.items()))}\n"
            f"{_table(('step', 'seconds', 'what showed it'), self.steps)}"
        )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> int:
    walk = Walk()
    ready()
    with (
        tempfile.TemporaryDirectory() as folder,
        Upstream(images.storage()) as upstream,
        Medium(_MEDIUM_BYTES) as drive,
    ):
        key = full_run.make_key(Path(folder))
        with walk.step("two bundles, one for arm64 servers and one for both kinds"):
            _make_bundles(upstream, key, drive)
        with Arm64Machine() as machine:
            with walk.step("Docker starts"):
                machine.start_docker()
            _walk_arm64(walk, machine, key, drive)
        with IsolatedHost() as host:
            _walk_amd64(walk, host, key, drive)
    Path(__file__).with_name("results.md").write_text(walk.text())
    return 0


def _make_bundles(upstream: Upstream, key: Path, drive: Medium) -> None:
    spec = key.with_name("both.toml")
    spec.write_text(_SPEC)
    native = full_run.BUNDLES / "arm64-native.toml"
    full_run.make_bundle(upstream, key, drive.path / "arm64", [native])
    full_run.make_bundle(upstream, key, drive.path / "both", [spec])
    drive.seal()


def _walk_arm64(walk: Walk, machine: Machine, key: Path, drive: Medium) -> None:
    """The README's commands on the arm64 server, a bundle for both, and the way back."""
    kernel = f"{arm64.release()} aarch64"
    machine.attach(drive, _DRIVE)
    machine.write("/root/site.pub", key.with_suffix(".pub").read_bytes())
    machine.run(["mkdir", "/root/app"])
    with walk.step("checked, trusted, installed, `airgap status`: the README's commands"):
        said = "".join(
            _run(machine, block.text.replace(f"{_DRIVE}/airgap", _NATIVE))
            for block in blocks()
            if block.heading == "On the host"
        )
        for wanted in ("airgap.pyz: OK", "nothing to emulate", "built for linux/arm64 from"):
            walk.expect(wanted, said)
    with walk.step("built with buildx and pushed, built with `docker build` and run"):
        for block in blocks():
            if block.heading == _SECTION and block.language == "dockerfile":
                machine.write("/root/app/Dockerfile", block.text.encode())
            elif block.heading == _SECTION and block.place == "arm64":
                said = _run(machine, block.text)
        walk.expect(f"{kernel}\n{kernel}", said)
        walk.shown = f"image and server say `{kernel}`"
        assert not machine.run(["ls", "/proc/sys/fs/binfmt_misc"]).stdout, "something is emulated"
    with walk.step("the bundle for both kinds is installed over it"):
        said = _run(machine, f"airgap install {_BOTH}")
        walk.expect("runs linux/amd64", said)
        walk.expect("built for linux/arm64, linux/amd64", said)
        _run(machine, "airgap status")
    with walk.step("built for two platforms in one command, pushed, and both run"):
        said = _run(machine, _BUILD_BOTH)
        walk.expect("x86_64", said)
        walk.expect(kernel, said)
    with walk.step("`airgap uninstall --purge --purge-pushed`"):
        said = _run(machine, "airgap uninstall --purge --purge-pushed --yes")
        walk.expect("undone tool", said)
        assert not machine.run(["docker", "ps", "--all", "--quiet"]).stdout
        assert "airgap" not in machine.run(["ls", "/proc/sys/fs/binfmt_misc"]).stdout


def _walk_amd64(walk: Walk, host: IsolatedHost, key: Path, drive: Medium) -> None:
    """The bundle for both kinds, on a host of the other kind."""
    host.check_isolated()
    host.start_docker()
    host.attach(drive, _DRIVE)
    with walk.step("the bundle for both kinds on an amd64 host"):
        full_run.check_by_hand(host, key.with_suffix(".pub"), _BOTH)
        host.run([*full_run.TOOL, "trust", "add", "/root/site.pub"])
        said = host.run([*full_run.TOOL, "install", _BOTH]).stdout
        walk.expect("built for linux/amd64, linux/arm64", said)


def _run(machine: Machine, script: str) -> str:
    command = ["bash", "-euo", "pipefail", "-c", f"cd /root/app\n{script}"]
    return machine.run(command, timeout=_PATIENCE).stdout


if __name__ == "__main__":
    sys.exit(main())
