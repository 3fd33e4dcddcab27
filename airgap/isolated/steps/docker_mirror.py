"""dockerd's own mirror setting, for `docker pull` and the legacy builder.

It takes no path, so it cannot name somebody's registry that holds the mirror below one: images are
pulled from there by their full names.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from airgap.errors import HostError
from airgap.isolated.host import has_systemd
from airgap.isolated.registry_mirror import RegistryMirror
from airgap.isolated.state import write_file
from airgap.isolated.step import Finding, Step, Work

_CONFIG = Path("/etc/docker/daemon.json")
_PID_FILE = Path("/run/docker.pid")
_KEY = "registry-mirrors"
_PATIENCE = 20.0


class DockerMirrorStep(Step):
    """The running dockerd asks the mirror for images of Docker Hub."""

    name = "docker-mirror"
    needs_root = True

    def check(self, work: Work) -> Finding:
        """Asks dockerd for its mirrors, and looks into its file for the time after a restart."""
        mirror = RegistryMirror.of(work.settings)
        if mirror is not None:
            if _knows_own_mirror(work):
                return Finding(False, "dockerd still asks this host's mirror, which is not there")
            return Finding(
                True, f"docker pull takes names such as {mirror}/docker.io/library/alpine"
            )
        url = _url(work)
        if url not in work.engine.registry_mirrors():
            return Finding(False, f"dockerd does not know {url}")
        if url not in _read().get(_KEY, ()):
            return Finding(False, f"{_CONFIG} does not name {url}")
        return Finding(True, "dockerd asks the mirror for images of Docker Hub")

    def apply(self, work: Work) -> None:
        """Adds the mirror to dockerd's file and has it read again.

        Raises:
            HostError: dockerd does not take it; its file is as it was.
        """
        if work.settings.registry_mirror:
            _forget_own_mirror(work)
            return
        before, url = _read(), _url(work)
        work.changes.make_folder(self.name, _CONFIG.parent)
        if _CONFIG.exists() and not _kept_copy(work).exists():
            write_file(_kept_copy(work), _CONFIG.read_bytes(), _mode())
        others = [mirror for mirror in before.get(_KEY, ()) if mirror not in _ours(work)]
        work.changes.add(self.name, url)
        _write(before | {_KEY: [*others, url]})
        try:
            _reload()
            _wait_until_known(work)
        except HostError:
            # With the setting in its file and on its command line dockerd would not start again.
            _take_out(work)
            raise
        if work.options.restart_docker:
            _restart()
        else:
            work.progress.message(
                "note: plain docker build reads the mirror only after a restart of Docker; "
                "docker pull and buildx use it now"
            )

    def undo(self, work: Work) -> None:
        """Takes the mirror out of dockerd's file."""
        _forget_own_mirror(work)
        work.changes.remove_folders(self.name)


def _forget_own_mirror(work: Work) -> None:
    if _knows_own_mirror(work):
        _take_out(work)
        _reload()


def _knows_own_mirror(work: Work) -> bool:
    return any(mirror in _ours(work) for mirror in _read().get(_KEY, ()))


def _take_out(work: Work) -> None:
    config = _read()
    others = [mirror for mirror in config.pop(_KEY, ()) if mirror not in _ours(work)]
    _restore(config | ({_KEY: others} if others else {}), _kept_copy(work))


def _ours(work: Work) -> list[str]:
    """The mirrors that we have put into dockerd's file, at whatever port."""
    return [what for what in work.changes.of(DockerMirrorStep.name) if not what.endswith("/")]


def _restore(config: dict[str, Any], original: Path) -> None:
    """Leaves the file as it was before, to the byte unless somebody has changed it since."""
    if original.exists() and json.loads(original.read_bytes()) == config:
        write_file(_CONFIG, original.read_bytes(), _mode())
    elif config or original.exists():
        _write(config)
    else:
        _CONFIG.unlink()


def _kept_copy(work: Work) -> Path:
    return work.state.replaced / _CONFIG.name


def _url(work: Work) -> str:
    return f"http://{work.settings.mirror}"


def _read() -> dict[str, Any]:
    try:
        document = json.loads(_CONFIG.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise HostError(f"{_CONFIG} cannot be read: {error}", remedy="correct it") from error
    if not isinstance(document, dict) or not isinstance(document.get(_KEY, []), list):
        raise HostError(f"{_CONFIG} is not what dockerd reads", remedy="correct it")
    return document


def _write(config: dict[str, Any]) -> None:
    write_file(_CONFIG, json.dumps(config, indent=2).encode() + b"\n", _mode())


def _mode() -> int:
    return _CONFIG.stat().st_mode & 0o777 if _CONFIG.exists() else 0o644


def _reload() -> None:
    """Has dockerd read its file again; running containers do not notice."""
    if has_systemd():
        _systemctl("reload")
        return
    try:
        process = int(_PID_FILE.read_text())
        if Path(f"/proc/{process}/comm").read_text().strip() != "dockerd":
            raise ProcessLookupError(errno.ESRCH, f"process {process} is not dockerd")
        os.kill(process, signal.SIGHUP)
    except (OSError, ValueError) as error:
        raise HostError(
            "dockerd cannot be told to read its configuration again",
            remedy="restart Docker, then give the same command again",
        ) from error


def _restart() -> None:
    if not has_systemd():
        raise HostError("only systemd can restart Docker", remedy="restart it by hand")
    _systemctl("restart")


def _systemctl(verb: str) -> None:
    command = ["systemctl", verb, "docker"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(f"{' '.join(command)} failed: {done.stderr.strip()}")


def _wait_until_known(work: Work) -> None:
    deadline = time.monotonic() + _PATIENCE
    while _url(work) not in work.engine.registry_mirrors():
        if time.monotonic() > deadline:
            raise HostError(
                f"dockerd was told of the mirror {_url(work)} and does not use it",
                meaning="Perhaps its command line sets registry mirrors, or names another file.",
            )
        time.sleep(0.1)
