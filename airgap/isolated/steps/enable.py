"""What a user needs of their own: a buildx instance, and defaults for builders they make."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from airgap.builder import instance
from airgap.builder.config import HEADER, buildkitd_toml
from airgap.errors import HostError
from airgap.isolated.containers import BUILDER, REPLAYER, mirror_servers, registry_servers
from airgap.isolated.host import User, last_lines
from airgap.isolated.step import Finding, Step, Work
from airgap.limits import LIMITS

_THEIRS = "theirs"
_INSTANCES = {instance.INSTANCE: BUILDER, instance.REPLAY_INSTANCE: REPLAYER}


class EnableStep(Step):
    """The user has an instance for each builder, and builders that they make use the mirror."""

    name = "enable"

    def check(self, work: Work) -> Finding:
        """Asks buildx, as the user."""
        user = work.user
        for name, container in _INSTANCES.items():
            if problem := instance.problem(user.run, name, container):
                return Finding(False, f"{user.name}: {problem}")
        if work.options.select and instance.selected(user.run) != instance.INSTANCE:
            return Finding(False, f"{user.name} has another builder selected")
        if _defaults(user) not in (_wanted_defaults(work), _THEIRS):
            return Finding(False, f"{_path(user)} is not as it should be")
        return Finding(True, f"{user.name} has the builder {instance.INSTANCE!r}")

    def apply(self, work: Work) -> None:
        """Creates the instances, and selects the first unless the user has chosen another."""
        user = work.user
        chosen = instance.selected(user.run)
        is_new = bool(instance.problem(user.run, instance.INSTANCE, BUILDER))
        for name, container in _INSTANCES.items():
            if instance.problem(user.run, name, container):
                work.changes.add(self.name, user.name)
                instance.create(user.run, _path(user).parent, name, container)
        wish = work.options.select
        if wish or (wish is None and is_new and chosen in ("", "default")):
            instance.select(user.run)
        _write_defaults(work)

    def undo(self, work: Work) -> None:
        """Does so for every user who got them by way of root and still has an account."""
        for name in work.changes.of(self.name):
            try:
                disable(User.called(name))
            except HostError as error:
                work.progress.message(f"left as it is: {error.message}")


def enable(work: Work) -> Finding:
    """Gives the user what they need; without root, for themselves.

    Raises:
        HostError: buildx refuses, or the user may not use Docker.
    """
    step = EnableStep()
    finding = step.check(work)
    if not finding.well:
        step.apply(work)
        finding = step.check(work)
    if not finding.well:
        raise HostError(finding.detail, remedy="may the user use Docker? See: docker version")
    return finding


def disable(user: User) -> None:
    """Removes a user's instances, and the defaults if we wrote them.

    Raises:
        HostError: The docker command is not there.
    """
    for name in _INSTANCES:
        instance.remove(user.run, name)
    if _defaults(user) not in ("", _THEIRS):
        user.run(["rm", "-f", str(_path(user))])


def _write_defaults(work: Work) -> None:
    user = work.user
    if _defaults(user) == _THEIRS:
        work.progress.message(f"{_path(user)} is {user.name}'s own and was left as it is")
        return
    # As the user: root must not follow links in somebody's home.
    user.run(["mkdir", "-p", str(_path(user).parent)])
    done = user.run(["tee", str(_path(user))], text=_wanted_defaults(work))
    if done.returncode != 0:
        raise HostError(f"cannot write {_path(user)}", meaning=last_lines(done.stderr))


def _path(user: User) -> Path:
    """What buildx gives to every builder that is created without a configuration."""
    return user.home / ".docker" / "buildx" / "buildkitd.default.toml"


def _defaults(user: User) -> str:
    """The text of the user's file if we wrote it, a mark if they did; empty if there is none.

    It is theirs to change while root reads it: no links, regular files only, no more than needed.
    """
    try:
        descriptor = os.open(_path(user), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError:
        return _THEIRS
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return _THEIRS
        data = file.read(LIMITS.spec_bytes)
    return data.decode() if data.startswith(HEADER.encode()) else _THEIRS


def _wanted_defaults(work: Work) -> str:
    # The bridge first: there a builder has its network, and loopback is its own.
    mirrors = mirror_servers(work)[::-1]
    return buildkitd_toml(work.wanted.hosts, mirrors, registry_servers(work))
