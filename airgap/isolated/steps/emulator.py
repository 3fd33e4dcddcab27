"""The emulator: qemu for every foreign platform, registered with the kernel for good."""

from __future__ import annotations

import shutil
from pathlib import Path

from airgap.errors import HostError
from airgap.isolated import binfmt, keeper
from airgap.isolated.host import has_systemd, native_platform
from airgap.isolated.state import write_file
from airgap.isolated.step import Finding, Step, Work
from airgap.oci.platform import Platform

# SELinux lets containers execute what lies there.
FOLDER = Path("/usr/libexec/airgap")
_RULES = FOLDER / "binfmt.conf"
_BINFMT_D = Path("/etc/binfmt.d")


class EmulatorStep(Step):
    """Programs of every foreign platform run, in containers too, and see their own arguments."""

    name = "emulator"
    needs_root = True

    def check(self, work: Work) -> Finding:
        """Runs a small program of each platform."""
        platforms = _emulated(work)
        for platform in platforms:
            problem = binfmt.problem_with(platform)
            if problem:
                return Finding(False, f"{platform}: {problem}")
        if not self._survives_reboot(work):
            return Finding(False, "the registration would not survive a reboot")
        names = ", ".join(map(str, platforms))
        return Finding(True, f"runs {names}" if names else "nothing to emulate")

    def apply(self, work: Work) -> None:
        """Registers qemu for those platforms that do not run, and makes that last."""
        binfmt.mount_table()
        rules = []
        for platform in _emulated(work):
            if binfmt.problem_with(platform) or binfmt.is_ours(platform):
                rules.append(self._register(work, platform))
        write_file(_RULES, "".join(f"{rule}\n" for rule in rules).encode())
        self._make_last(work)

    def undo(self, work: Work) -> None:
        """Takes its registrations, files and container away."""
        binfmt.unregister_ours()
        (_BINFMT_D / "airgap.conf").unlink(missing_ok=True)
        work.engine.remove_container(keeper.NAME)
        if FOLDER.exists():
            shutil.rmtree(FOLDER)

    def _register(self, work: Work, platform: Platform) -> str:
        """Registers the bundle's qemu for one platform, and returns the rule."""
        image = work.wanted.role("emulator")
        name = binfmt.qemu_name(platform)
        work.progress.message(f"registering {name} for {platform}")
        paths = [f"/usr/bin/{name}", f"/usr/bin/{name}-static"]
        qemu = work.engine.read_file(work.engine_id(image), paths)
        if qemu is None:
            raise HostError(
                f"{image.reference.familiar} has no emulator for {platform}",
                remedy=f"bring images without {platform}, or another emulator image",
            )
        path = FOLDER / name
        if not path.exists() or path.read_bytes() != qemu:
            write_file(path, qemu, 0o755)
        return binfmt.register(platform, path)

    def _make_last(self, work: Work) -> None:
        if has_systemd():
            write_file(_BINFMT_D / "airgap.conf", _RULES.read_bytes())
        elif _RULES.read_bytes():
            keeper.run(work, FOLDER, _RULES)

    def _survives_reboot(self, work: Work) -> bool:
        """Whether what we registered is registered again; other people's is their own matter."""
        if not any(binfmt.is_ours(platform) for platform in _emulated(work)):
            return True
        if has_systemd():
            return (_BINFMT_D / "airgap.conf").exists()
        return _RULES.exists() and not work.engine.container_problem(
            keeper.spec(work, FOLDER, _RULES)
        )


def _emulated(work: Work) -> list[Platform]:
    """Those foreign platforms that there is a test program for; see `scripts/build-programs`."""
    foreign = work.wanted.emulated(native_platform())
    return [platform for platform in foreign if binfmt.is_known(platform)]
