"""What a user needs of their own: a buildx instance, and defaults for builders they make."""

from __future__ import annotations

from pathlib import Path

from airgap.builder.config import HEADER, buildkitd_toml
from airgap.builder.instance import INSTANCE, create, remove, select, selected, stands
from airgap.isolated.containers import BUILDER
from airgap.isolated.host import User
from airgap.isolated.state import write_file
from airgap.isolated.step import Finding, Step, Work

_THEIRS = "theirs"


class EnableStep(Step):
    """The user has the instance `airgap`, and builders that they make use the mirror."""

    name = "enable"

    def check(self, work: Work) -> Finding:
        """Asks buildx, as the user."""
        user = work.user
        if not stands(user.run, BUILDER):
            return Finding(False, f"{user.name} has no builder {INSTANCE!r}")
        if work.options.select and selected(user.run) != INSTANCE:
            return Finding(False, f"{user.name} has another builder selected")
        if _defaults(user) not in (_wanted_defaults(work), _THEIRS):
            return Finding(False, f"{_path(user)} is not as it should be")
        return Finding(True, f"{user.name} has the builder {INSTANCE!r}")

    def apply(self, work: Work) -> None:
        """Creates the instance, and selects it unless the user has chosen another."""
        user = work.user
        chosen = selected(user.run)
        if is_new := not stands(user.run, BUILDER):
            work.changes.add(self.name, user.name)
            create(user.run, BUILDER)
        wish = work.options.select
        if wish or (wish is None and is_new and chosen in ("", "default")):
            select(user.run)
        _write_defaults(work)

    def undo(self, work: Work) -> None:
        """Does so for every user who got them by way of root."""
        for name in work.changes.of(self.name):
            disable(User.called(name))


def enable(work: Work) -> Finding:
    """Gives the user what they need; without root, for themselves.

    Raises:
        HostError: buildx refuses.
    """
    step = EnableStep()
    finding = step.check(work)
    if not finding.well:
        step.apply(work)
        finding = step.check(work)
    return finding


def disable(user: User) -> None:
    """Removes a user's instance, and the defaults if we wrote them."""
    remove(user.run)
    if _defaults(user) not in ("", _THEIRS):
        user.run(["rm", "-f", str(_path(user))])


def _write_defaults(work: Work) -> None:
    user, wanted = work.user, _wanted_defaults(work)
    shared = work.state.config / "buildkitd.default.toml"
    if not shared.exists() or shared.read_text() != wanted:
        write_file(shared, wanted.encode())
    if _defaults(user) == _THEIRS:
        work.progress.message(f"{_path(user)} is {user.name}'s own and was left as it is")
    else:
        # As the user: root must not follow links in somebody's home.
        user.run(["install", "-D", "-m", "0644", str(shared), str(_path(user))])


def _path(user: User) -> Path:
    """What buildx gives to every builder that is created without a configuration."""
    return user.home / ".docker" / "buildx" / "buildkitd.default.toml"


def _defaults(user: User) -> str:
    """The text of the user's file if we wrote it, a mark if they did; empty if there is none."""
    try:
        text = _path(user).read_text()
    except (OSError, ValueError):
        return ""
    return text if text.startswith(HEADER) else _THEIRS


def _wanted_defaults(work: Work) -> str:
    gateway = work.engine.bridge_gateway()
    port = work.settings.mirror_port
    mirrors = [*([f"{gateway}:{port}"] if gateway else []), work.settings.mirror]
    return buildkitd_toml(work.wanted.hosts, mirrors, [work.settings.registry])
