"""The emulator: qemu for every foreign platform, registered with the kernel for good."""

from __future__ import annotations

import shutil
from pathlib import Path

from airgap.errors import HostError
from airgap.isolated.context import CheckResult, Context
from airgap.isolated.host import binfmt
from airgap.isolated.host.files import write_file
from airgap.isolated.host.system import has_systemd
from airgap.isolated.services import binfmt_container
from airgap.isolated.services.containers import BUILDERS
from airgap.isolated.services.drain import let_builds_end
from airgap.isolated.steps.base import Step
from airgap.limits import LIMITS
from airgap.oci.digest import hex_of
from airgap.oci.platform import Platform, native_platform

# SELinux lets containers execute what lies there. Below it a folder for each emulator image.
FOLDER = Path("/usr/libexec/airgap")
_RULES = FOLDER / "binfmt.conf"
# Files are read in the order of their names, and the rule that was added last counts.
_SYSTEMD_RULES = Path("/etc/binfmt.d/zz-airgap.conf")


class EmulatorStep(Step):
    """Programs of every foreign platform run, in containers too, and see their own arguments."""

    name = "emulator"
    needs_root = True

    def check(self, work: Context) -> CheckResult:
        """Runs a small program of each platform."""
        platforms = _emulated(work)
        for platform in platforms:
            problem = binfmt.problem_with(platform, work.state.scratch)
            if problem:
                return CheckResult(False, f"{platform}: {problem}{_culprits(platform)}")
            ours = binfmt.registered_by_us(platform)
            if ours is not None and ours != _path(work, platform):
                return CheckResult(False, f"{platform}: another bundle's emulator is registered")
        if not self._survives_reboot(work):
            return CheckResult(False, "the registration would not survive a reboot")
        return CheckResult(True, _summary(work, platforms))

    def places(self, work: Context) -> list[Path]:
        """Where the emulators are, and what registers them at boot."""
        rules = [_SYSTEMD_RULES] if has_systemd() else []
        return [FOLDER, *rules] if _emulated(work) else []

    def require(self, work: Context) -> None:
        """The kernel has a table of foreign program formats.

        Raises:
            HostError: It has none.
        """
        super().require(work)
        if _emulated(work):
            binfmt.check_table()

    def apply(self, work: Context) -> None:
        """Registers qemu for those platforms that do not run, and makes that last."""
        binfmt.mount_table()
        ours = {platform: binfmt.registered_by_us(platform) for platform in _emulated(work)}
        if any(path and path != _path(work, platform) for platform, path in ours.items()):
            let_builds_end(work, BUILDERS, "the emulator")
        work.changes.make_folder(self.name, FOLDER)
        rules = [
            self._register(work, platform)
            for platform, path in ours.items()
            if path or binfmt.problem_with(platform, work.state.scratch)
        ]
        write_file(_RULES, "".join(f"{rule}\n" for rule in rules).encode())
        self._make_last(work)
        for old in FOLDER.iterdir():
            if old.is_dir() and old != _image_folder(work):
                shutil.rmtree(old)

    def undo(self, work: Context) -> None:
        """Takes its registrations, files and container away."""
        work.engine.remove_container(binfmt_container.NAME)
        if not work.changes.of(self.name):
            return
        binfmt.unregister_ours()
        _SYSTEMD_RULES.unlink(missing_ok=True)
        if FOLDER.exists():
            shutil.rmtree(FOLDER)
        work.changes.remove_folders(self.name)

    def _register(self, work: Context, platform: Platform) -> str:
        """Registers the bundle's qemu for one platform, and returns the rule."""
        image = work.wanted.role("emulator")
        path = _path(work, platform)
        work.progress.message(f"registering {path.name} for {platform}")
        if not path.exists():
            paths = [f"/usr/bin/{path.name}", f"/usr/bin/{path.name}-static"]
            limit = LIMITS.emulator_bytes
            native = work.engine_id(image, native_platform())
            qemu = work.engine.read_file(native, paths, limit)
            if qemu is None:
                raise HostError(
                    f"{image.reference.familiar} has no emulator for {platform}",
                    remedy=f"bring images without {platform}, or another emulator image",
                )
            write_file(path, qemu, 0o755)
        return binfmt.register(platform, path, work.state.scratch)

    def _make_last(self, work: Context) -> None:
        if has_systemd():
            work.changes.make_folder(self.name, _SYSTEMD_RULES.parent)
            write_file(_SYSTEMD_RULES, _RULES.read_bytes())
        elif _RULES.read_bytes():
            binfmt_container.run(work, FOLDER, _RULES)

    def _survives_reboot(self, work: Context) -> bool:
        """Whether what we registered is registered again; other people's is their own matter."""
        if not any(binfmt.registered_by_us(platform) for platform in _emulated(work)):
            return True
        if has_systemd():
            return _SYSTEMD_RULES.exists()
        return _RULES.exists() and not work.engine.container_problem(
            binfmt_container.spec(work, FOLDER, _RULES)
        )


def _emulated(work: Context) -> list[Platform]:
    """One foreign platform for each architecture that there is a test program for."""
    by_architecture = {
        platform.architecture: platform
        for platform in work.wanted.emulated(native_platform())
        if binfmt.is_known(platform)
    }
    return list(by_architecture.values())


def _culprits(platform: Platform) -> str:
    """Who else has registered emulators for a platform, to be told where programs do not run.

    The kernel asks the entry that was registered last.
    """
    others = binfmt.others(platform)
    return f"; registered by others: {', '.join(others)}" if others else ""


def _summary(work: Context, platforms: list[Platform]) -> str:
    unknown = [one for one in work.wanted.emulated(native_platform()) if not binfmt.is_known(one)]
    runs = f"runs {', '.join(map(str, platforms))}" if platforms else "nothing to emulate"
    return runs + (f"; not emulated: {', '.join(map(str, unknown))}" if unknown else "")


def _image_folder(work: Context) -> Path:
    return FOLDER / hex_of(work.wanted.role("emulator").digest)[:16]


def _path(work: Context, platform: Platform) -> Path:
    """Where the bundle's emulator for a platform is kept, and how it is called."""
    return _image_folder(work) / binfmt.qemu_name(platform)
