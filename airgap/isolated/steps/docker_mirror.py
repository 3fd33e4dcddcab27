"""dockerd's own mirror setting, for `docker pull` and the legacy builder.

It takes no path, so it cannot name the site's registry that holds the mirror below one: images are
pulled from there by their full names.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from airgap import processes
from airgap.disk import copy_theirs, write_theirs
from airgap.errors import HostError
from airgap.isolated.context import CheckResult, Context
from airgap.isolated.host import dockerd
from airgap.isolated.host.files import not_writable
from airgap.isolated.host.system import has_systemd
from airgap.isolated.services.site_registry import RegistryMirror
from airgap.isolated.steps.base import Step
from airgap.waiting import wait_until

_CONFIG = dockerd.DEFAULT_CONFIG
_KEY = "registry-mirrors"
_PATIENCE = 20.0
_LEFT_ALONE = "--no-docker-mirror"


class DockerMirrorStep(Step):
    """The running dockerd asks the mirror for images of Docker Hub."""

    name = "docker-mirror"
    needs_root = True

    def check(self, context: Context) -> CheckResult:
        """Ask dockerd for its mirrors, and look into its file for the time after a restart."""
        if not _is_wanted(context):
            if _knows_own_mirror(context):
                return CheckResult(False, f"{_CONFIG} still names this host's mirror")
            return CheckResult(True, _note(context))
        url, number = _url(context), dockerd.process()
        file = dockerd.config_file(number)
        lasting = dockerd.states_on_its_command_line(number, url) or url in _mirrors(file)
        if lasting and url in context.engine.registry_mirrors():
            return CheckResult(True, "dockerd asks the mirror for images of Docker Hub")
        if problem := _foreign_file(context, file):
            return CheckResult(False, problem, _by_hand(url, file))
        if not lasting:
            return CheckResult(False, f"{_CONFIG} does not name {url}")
        return CheckResult(False, f"dockerd does not know {url}")

    def places(self, context: Context) -> list[Path]:
        """Return the file, where it is to be changed."""
        return [_CONFIG] if _is_wanted(context) else []

    def require(self, context: Context) -> None:
        """Check that dockerd's configuration can be read, changed and loaded again.

        Raises:
            HostError: It cannot; or dockerd would refuse the change.
        """
        super().require(context)
        if context.options.restart_docker and not has_systemd():
            raise HostError("only systemd can restart Docker", remedy="leave out --restart-docker")
        if not _is_wanted(context):
            return
        number, url = dockerd.process(), _url(context)
        file = dockerd.config_file(number)
        if problem := _foreign_file(context, file):
            raise HostError(problem, meaning="Nothing was changed.", remedy=_by_hand(url, file))
        if number is None and not has_systemd():
            raise _cannot_reload()
        after = _with_mirror(context, _read(_CONFIG))
        if objection := dockerd.objection(number, _bytes(after), context.state.scratch):
            raise HostError(
                f"dockerd would refuse {_CONFIG} with the mirror {url} in it: {objection}",
                meaning="Nothing was changed.",
                remedy=f"correct it, or leave dockerd as it is: {_LEFT_ALONE}",
            )

    def apply(self, context: Context) -> None:
        """Add the mirror to dockerd's file and has it read again.

        Raises:
            HostError: dockerd does not take it; its file is as it was.
        """
        if not _is_wanted(context):
            _forget_own_mirror(context)
            return
        if problem := _foreign_file(context, file := dockerd.config_file(dockerd.process())):
            raise HostError(problem, remedy=_by_hand(_url(context), file))
        if _url(context) not in _mirrors(_CONFIG):
            self._add(context)
        try:
            _reload()
            _wait_until_known(context)
        except HostError:
            # With the setting in its file and on its command line dockerd would not start again.
            _take_out(context)
            raise
        if context.options.restart_docker:
            _restart()
        else:
            context.progress.message(
                "note: plain docker build reads the mirror only after a restart of Docker; "
                "docker pull and buildx use it now"
            )

    def _add(self, context: Context) -> None:
        after = _with_mirror(context, _read(_CONFIG))
        context.changes.make_folder(self.name, _CONFIG.parent)
        if _CONFIG.exists() and not _kept_copy(context).exists():
            _keep(context)
        context.changes.add(self.name, _url(context))
        _write(_bytes(after))

    def undo(self, context: Context) -> None:
        """Take the mirror out of dockerd's file."""
        _forget_own_mirror(context)
        context.changes.remove_folders(self.name)


def _is_wanted(context: Context) -> bool:
    """Return whether dockerd is to ask this host's mirror."""
    return context.settings.docker_mirror and not context.settings.registry_mirror


def _note(context: Context) -> str:
    """Return what takes the place of that."""
    mirror = RegistryMirror.of(context.settings)
    if mirror is not None:
        return f"docker pull takes names such as {mirror}/docker.io/library/alpine"
    return f"dockerd is left as it is ({_LEFT_ALONE})"


def _foreign_file(context: Context, file: Path) -> str:
    """Return why dockerd's file is not ours to change; empty if it is the usual one."""
    if context.engine.is_rootless():
        return "this Docker runs without root, and reads a configuration in its user's home"
    return "" if file == _CONFIG else f"dockerd reads {file}, not {_CONFIG}"


def _by_hand(url: str, file: Path) -> str:
    where = "its configuration" if file == _CONFIG else file
    return (
        f'add "{_KEY}": ["{url}"] to {where} and restart Docker, or leave dockerd as it is, for '
        f"good: airgap install DIR {_LEFT_ALONE}"
    )


def _with_mirror(context: Context, config: dict[str, Any]) -> dict[str, Any]:
    url = _url(context)
    others = [mirror for mirror in config.get(_KEY) or () if mirror not in _ours(context)]
    return config | {_KEY: [*(other for other in others if other.rstrip("/") != url), url]}


def _forget_own_mirror(context: Context) -> None:
    if _knows_own_mirror(context):
        _take_out(context)
        _reload()


def _knows_own_mirror(context: Context) -> bool:
    return any(mirror in _ours(context) for mirror in _mirrors(_CONFIG))


def _take_out(context: Context) -> None:
    config = _read(_CONFIG)
    others = [mirror for mirror in config.pop(_KEY, None) or () if mirror not in _ours(context)]
    _restore(config | ({_KEY: others} if others else {}), _kept_copy(context))


def _ours(context: Context) -> list[str]:
    """Return the mirrors that we have put into dockerd's file, at whatever port."""
    return [what for what in context.changes.of(DockerMirrorStep.name) if not what.endswith("/")]


def _restore(config: dict[str, Any], original: Path) -> None:
    """Leave the file as it was before, to the byte unless somebody has changed it since."""
    if original.exists() and _without_empty(dockerd.parse(original.read_bytes())) == config:
        _write(original.read_bytes())
    elif config or original.exists():
        _write(_bytes(config))
    else:
        # The file alone: a link that led nowhere does so again.
        Path(os.path.realpath(_CONFIG)).unlink()


def _without_empty(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without a list of mirrors that has none."""
    return {key: value for key, value in config.items() if key != _KEY or value}


def _kept_copy(context: Context) -> Path:
    return context.state.replaced / _CONFIG.name


def _keep(context: Context) -> None:
    copy = _kept_copy(context)
    try:
        copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        copy_theirs(Path(os.path.realpath(_CONFIG)), copy)
    except OSError as error:
        raise not_writable(copy, error) from error


def _url(context: Context) -> str:
    return f"http://{context.settings.mirror}"


def _mirrors(file: Path) -> list[str]:
    return [mirror.rstrip("/") for mirror in _read(file).get(_KEY) or ()]


def _read(file: Path) -> dict[str, Any]:
    """Return what dockerd reads.

    Raises:
        HostError: It cannot, or reads no list of mirrors in it.
    """
    try:
        document = dockerd.parse(file.read_bytes())
        mirrors = document.get(_KEY) or []
        if not isinstance(mirrors, list) or not all(isinstance(mirror, str) for mirror in mirrors):
            raise ValueError(f'"{_KEY}" is no list of addresses')
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise HostError(
            f"{file} cannot be read: {reason}",
            meaning="dockerd would not start with it.",
            remedy="correct it",
        ) from error
    return document


def _bytes(config: dict[str, Any]) -> bytes:
    return json.dumps(config, indent=2).encode() + b"\n"


def _write(data: bytes) -> None:
    try:
        write_theirs(_CONFIG, data)
    except OSError as error:
        raise not_writable(_CONFIG, error) from error


def _reload() -> None:
    """Have dockerd read its file again; running containers do not notice."""
    number = dockerd.process()
    if number is None and has_systemd():
        _systemctl("reload")
        return
    try:
        if number is None:
            raise _cannot_reload()
        os.kill(number, signal.SIGHUP)  # as systemctl reload does
    except OSError as error:
        raise _cannot_reload() from error


def _cannot_reload() -> HostError:
    return HostError(
        "dockerd cannot be told to read its configuration again: its process is not known",
        remedy=f"restart Docker and run the same command again, or add {_LEFT_ALONE}",
    )


def _restart() -> None:
    if not has_systemd():
        raise HostError("only systemd can restart Docker", remedy="restart it by hand")
    _systemctl("restart")


def _systemctl(verb: str) -> None:
    command = ["systemctl", verb, "docker"]
    done = processes.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(f"{' '.join(command)} failed: {done.stderr.strip()}")


def _wait_until_known(context: Context) -> None:
    url = _url(context)
    if not wait_until(lambda: url in context.engine.registry_mirrors(), seconds=_PATIENCE):
        raise HostError(
            f"dockerd does not use the mirror {url}, which its configuration names",
            meaning="Its log says why: journalctl --unit docker",
            remedy=f"to leave dockerd as it is: {_LEFT_ALONE}",
        )
