"""The buildx plugin for the docker command, from the bundle's image."""

from __future__ import annotations

import json
import os
from pathlib import Path

from airgap.canonical import canonical
from airgap.disk import copy_theirs
from airgap.errors import HostError
from airgap.isolated.context import CheckResult, Context
from airgap.isolated.host import docker_cli
from airgap.isolated.host.files import write_file
from airgap.isolated.host.system import is_root, last_lines
from airgap.isolated.host.user import User
from airgap.isolated.services import docker_images
from airgap.isolated.services.users_docker import check_own_folder
from airgap.isolated.steps.base import Step
from airgap.limits import LIMITS
from airgap.oci.platform import native_platform
from airgap.versions import Version, version_in

_SYSTEM_FOLDER = Path("/usr/local/lib/docker/cli-plugins")
_PLUGIN = "docker-buildx"
_IN_IMAGE = "/buildx"
# Before a user's name, among the changes; no image is called so.
_SHOWN_TO = "experimental="
# The remote driver takes default-load since then.
_OLDEST = Version((0, 14))


class BuildxStep(Step):
    """`docker buildx` is there and not older than the bundle's."""

    name = "buildx"

    def check(self, context: Context) -> CheckResult:
        """Ask the docker command, as the user would."""
        version = _version_in_use(context.user)
        if not version:
            problem = docker_cli.problem(context.user) or "the docker command has no buildx"
            return CheckResult(False, problem + _hint(context.user))
        carried = _carried_version(context)
        if carried is None:
            return CheckResult(False, "not compared with the bundle's yet")
        if version < carried:
            problem = f"buildx {version} is older than {carried}"
            return CheckResult(False, problem + _hint(context.user))
        return CheckResult(True, f"buildx {version}")

    def places(self, context: Context) -> list[Path]:
        """Return the plugin's folder, where root installs it for all."""
        return [_SYSTEM_FOLDER] if is_root() else []

    def require(self, context: Context) -> None:
        """Check that the user has no plugin of their own that hides the bundle's.

        Raises:
            HostError: They have, or cannot write where theirs would be.
        """
        super().require(context)
        user = context.user
        own = _hint(user)
        if not is_root():
            check_own_folder(user, user.docker_folder / "cli-plugins")
            return
        version = _version_in_use(user)
        if not own or version >= _OLDEST:
            return
        problem = f"buildx {version} is too old"
        if not version:
            problem = docker_cli.problem(user) or "docker buildx does not work"
            if context.options.fix and problem == docker_cli.problem(user):
                return
        raise HostError(problem + own, meaning="Nothing was changed.")

    def apply(self, context: Context) -> None:
        """Put the bundle's plugin in place, unless a newer one is there."""
        image = context.desired.role("buildx")
        folder = _SYSTEM_FOLDER if is_root() else context.user.docker_folder / "cli-plugins"
        context.changes.make_folder(self.name, folder)
        candidate = folder / f".{_PLUGIN}.candidate"
        write_file(candidate, _plugin_bytes(context), 0o755)
        try:
            carried = _version([str(candidate), "version"], context.user)
            if carried > _version_in_use(context.user):
                _put_in_place(context, candidate, folder / _PLUGIN)
        finally:
            candidate.unlink(missing_ok=True)
        note = {"image": image.digest, "version": list(carried.numbers)}
        write_file(_note_path(context), canonical(note))
        _show(context)

    def undo(self, context: Context) -> None:
        """Remove the plugin, and put back the one that stood there before."""
        for text in context.changes.of(self.name):
            path = Path(text)
            if text.startswith(_SHOWN_TO):
                _hide_again(context, text.removeprefix(_SHOWN_TO))
            elif path.name == _PLUGIN:
                path.unlink(missing_ok=True)
                if os.path.lexists(_kept_copy(context)):
                    copy_theirs(_kept_copy(context), path)
        context.changes.remove_folders(self.name)
        _note_path(context).unlink(missing_ok=True)


def _hint(user: User) -> str:
    own = user.docker_folder / "cli-plugins" / _PLUGIN
    return f"; remove {own}, which comes first" if own.exists() else ""


def _show(context: Context) -> None:
    """Have the user's docker command show the plugin, if it is one that hides it.

    Raises:
        HostError: That was not asked for; it says what to set.
    """
    if _version_in_use(context.user):
        return
    problem = docker_cli.problem(context.user)
    if not problem:
        return
    if not context.options.fix:
        raise HostError(
            problem + _hint(context.user),
            remedy="set it, or have it set: run the same command again with --fix",
        )
    context.changes.add(BuildxStep.name, f"{_SHOWN_TO}{context.user.name}")
    context.progress.message(f"changing {docker_cli.config_path(context.user)}")
    docker_cli.show_all(context.user)


def _hide_again(context: Context, name: str) -> None:
    try:
        docker_cli.take_back(User.called(name))
    except HostError as error:
        context.progress.message(f"left as it is: {error.message}")


def _plugin_bytes(context: Context) -> bytes:
    """Return the plugin's program, read out of its image by way of Docker."""
    from airgap.isolated.steps.load import load_image

    image = context.desired.role("buildx")
    was_there = context.engine_id(image, native_platform())
    if not was_there:
        load_image(context, image, native_platform())
    native = context.engine_id(image, native_platform())
    data = context.engine.read_file(native, [_IN_IMAGE], LIMITS.plugin_bytes)
    if not was_there:
        docker_images.unload(context, image.reference.familiar)
    if data is None:
        raise HostError(f"{image.reference.familiar} has no file {_IN_IMAGE}")
    return data


def _put_in_place(context: Context, candidate: Path, path: Path) -> None:
    if os.path.lexists(path) and str(path) not in context.changes.of(BuildxStep.name):
        _kept_copy(context).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        copy_theirs(path, _kept_copy(context))
    context.changes.add(BuildxStep.name, str(path))
    context.progress.message(f"installing {path}")
    candidate.replace(path)


def _carried_version(context: Context) -> Version | None:
    """Return the version in the bundle's image, as it was found when the image was looked into."""
    if "buildx" not in context.desired.roles:
        return _OLDEST
    try:
        note = json.loads(_note_path(context).read_bytes())
        if note["image"] == context.desired.role("buildx").digest:
            return Version(tuple(note["version"]))
    except (OSError, ValueError, KeyError):
        pass
    return None


def _version_in_use(user: User) -> Version:
    """Return the version that the docker command finds; empty if it finds none."""
    try:
        return _version(["docker", "buildx", "version"], user)
    except HostError:
        return Version()


def _version(command: list[str], user: User) -> Version:
    done = user.run(command)
    version = version_in(done.stdout)
    if done.returncode != 0 or not version:
        raise HostError(
            f"{' '.join(command)} does not work", meaning=last_lines(done.stderr or done.stdout)
        )
    return version


def _note_path(context: Context) -> Path:
    return context.state.config / "buildx.json"


def _kept_copy(context: Context) -> Path:
    return context.state.replaced / _PLUGIN
