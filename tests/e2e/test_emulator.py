"""What install makes of emulators that are registered already. (One table serves all hosts.)"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab import binfmt, full_run
from lab.host import IsolatedHost

RULE = f":qemu-aarch64:M::{binfmt.AARCH64}:/usr/bin/qemu-aarch64-static"


def _entries(host: IsolatedHost) -> set[str]:
    table = host.path("/proc/sys/fs/binfmt_misc")
    return {path.name for path in table.glob("*aarch64")} | {
        path.name for path in table.glob("airgap-*")
    }


def test_a_registration_that_works_is_left_alone(fresh_host: Callable[..., IsolatedHost]) -> None:
    host = fresh_host()
    binfmt.register(f"{RULE}:FP")
    said = full_run.install(host)
    assert "ok    emulator" in said
    assert _entries(host) == {"qemu-aarch64"}
    host.run(["airgap", "uninstall"])
    assert _entries(host) == {"qemu-aarch64"}


@pytest.mark.parametrize("flags", ["P", "F"], ids=["not open", "argv[0] is lost"])
def test_one_that_does_not_work_in_containers_is_overruled(
    fresh_host: Callable[..., IsolatedHost], flags: str
) -> None:
    host = fresh_host()
    binfmt.register(f"{RULE}:{flags}")
    host.run([*full_run.TOOL, "trust", "add", "/root/site.pub"])
    only = ["--only", "tool,seed,load,emulator"]
    said = host.run([*full_run.TOOL, "install", full_run.ON_MEDIUM, *only]).stdout
    assert "done  emulator" in said
    assert _entries(host) == {"qemu-aarch64", "airgap-arm64"}
    arm64 = ["docker", "run", "--rm", "--platform", "linux/arm64", "alpine", "uname", "-m"]
    host.run(["airgap", "load", "alpine"])
    assert host.run(arm64).stdout == "aarch64\n"
