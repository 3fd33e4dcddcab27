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

    def check(self, context: Context) -> CheckResult:
        """Run a small program of each platform."""
        platforms = _emulated(context)
        for platform in platforms:
            problem = binfmt.check_emulator(platform, context.state.scratch)
            if problem:
                return CheckResult(False, f"{platform}: {problem}{_culprits(platform)}")
            ours = binfmt.registered_by_us(platform)
            if ours is not None and ours != _path(context, platform):
                return CheckResult(False, f"{platform}: another bundle's emulator is registered")
        if not self._survives_reboot(context):
            return CheckResult(False, "the registration would not survive a reboot")
        return CheckResult(True, _summary(context, platforms))

    def places(self, context: Context) -> list[Path]:
        """Return where the emulators are, and what registers them at boot."""
        rules = [_SYSTEMD_RULES] if has_systemd() else []
        return [FOLDER, *rules] if _emulated(context) else []

    def require(self, context: Context) -> None:
        """Check that the kernel has a table of foreign program formats.

        Raises:
            HostError: It has none.
        """
        super().require(context)
        if _emulated(context):
            binfmt.check_table()

    def apply(self, context: Context) -> None:
        """Register qemu for those platforms that do not run, and makes that last."""
        binfmt.mount_table()
        ours = {platform: binfmt.registered_by_us(platform) for platform in _emulated(context)}
        if any(path and path != _path(context, platform) for platform, path in ours.items()):
            let_builds_end(context, BUILDERS, "the emulator")
        context.changes.make_folder(self.name, FOLDER)
        rules = [
            self._register(context, platform)
            for platform, path in ours.items()
            if path or binfmt.check_emulator(platform, context.state.scratch)
        ]
        write_file(_RULES, "".join(f"{rule}\n" for rule in rules).encode())
        self._make_last(context)
        for old in FOLDER.iterdir():
            if old.is_dir() and old != _image_folder(context):
                shutil.rmtree(old)

    def undo(self, context: Context) -> None:
        """Take its registrations, files and container away."""
        context.engine.remove_container(binfmt_container.NAME)
        if not context.changes.of(self.name):
            return
        binfmt.unregister_ours()
        _SYSTEMD_RULES.unlink(missing_ok=True)
        if FOLDER.exists():
            shutil.rmtree(FOLDER)
        context.changes.remove_folders(self.name)

    def _register(self, context: Context, platform: Platform) -> str:
        """Register the bundle's qemu for one platform, and return the rule."""
        image = context.desired.role("emulator")
        path = _path(context, platform)
        context.progress.message(f"registering {path.name} for {platform}")
        if not path.exists():
            paths = [f"/usr/bin/{path.name}", f"/usr/bin/{path.name}-static"]
            limit = LIMITS.emulator_bytes
            native = context.engine_id(image, native_platform())
            qemu = context.engine.read_file(native, paths, limit)
            if qemu is None:
                raise HostError(
                    f"{image.reference.familiar} has no emulator for {platform}",
                    remedy=f"include images without {platform}, or another emulator image",
                )
            write_file(path, qemu, 0o755)
        return binfmt.register(platform, path, context.state.scratch)

    def _make_last(self, context: Context) -> None:
        if has_systemd():
            context.changes.make_folder(self.name, _SYSTEMD_RULES.parent)
            write_file(_SYSTEMD_RULES, _RULES.read_bytes())
        elif _RULES.read_bytes():
            binfmt_container.run(context, FOLDER, _RULES)

    def _survives_reboot(self, context: Context) -> bool:
        """Return whether our own registrations come back after a reboot."""
        if not any(binfmt.registered_by_us(platform) for platform in _emulated(context)):
            return True
        if has_systemd():
            return _SYSTEMD_RULES.exists()
        return _RULES.exists() and not context.engine.container_problem(
            binfmt_container.spec(context, FOLDER, _RULES)
        )


def _emulated(context: Context) -> list[Platform]:
    """Return one foreign platform for each architecture that there is a test program for."""
    by_architecture = {
        platform.architecture: platform
        for platform in context.desired.emulated(native_platform())
        if binfmt.is_known(platform)
    }
    return list(by_architecture.values())


def _culprits(platform: Platform) -> str:
    """Return who else registered emulators for a platform, for when programs do not run.

    The kernel asks the entry that was registered last.
    """
    others = binfmt.others(platform)
    return f"; registered by others: {', '.join(others)}" if others else ""


def _summary(context: Context, platforms: list[Platform]) -> str:
    unknown = [
        item for item in context.desired.emulated(native_platform()) if not binfmt.is_known(item)
    ]
    runs = f"runs {', '.join(map(str, platforms))}" if platforms else "nothing to emulate"
    return runs + (f"; not emulated: {', '.join(map(str, unknown))}" if unknown else "")


def _image_folder(context: Context) -> Path:
    return FOLDER / hex_of(context.desired.role("emulator").digest)[:16]


def _path(context: Context, platform: Platform) -> Path:
    """Return where the bundle's emulator for a platform is kept, and how it is called."""
    return _image_folder(context) / binfmt.qemu_name(platform)
