"""What a user needs of their own: a buildx instance, and defaults for builders they make."""

from __future__ import annotations

from pathlib import Path

from airgap.builder import buildx_instance
from airgap.builder.buildx_instance import BuilderNode, local_node
from airgap.builder.config import HEADER, buildkitd_toml
from airgap.errors import HostError
from airgap.isolated.context import CheckResult, Context
from airgap.isolated.host import docker_cli
from airgap.isolated.host.files import read_regular
from airgap.isolated.host.system import last_lines
from airgap.isolated.host.user import User
from airgap.isolated.nodes.registered import Node, nodes
from airgap.isolated.services.containers import BUILDER, REPLAYER, mirror_servers, registry_servers
from airgap.isolated.services.users_docker import check_own_folder, check_user, selected_context
from airgap.isolated.steps.base import Step
from airgap.limits import LIMITS
from airgap.oci.platform import native_platform

_THEIRS = "theirs"
_INSTANCES = {
    buildx_instance.INSTANCE: BUILDER,
    buildx_instance.COMPOSE_INSTANCE: BUILDER,
    buildx_instance.REPLAY_INSTANCE: REPLAYER,
}


class EnableStep(Step):
    """The user has instances for the builders, and builders that they make use the mirror."""

    name = "enable"

    def check(self, context: Context) -> CheckResult:
        """Ask buildx, as the user."""
        user = context.user
        for name in _INSTANCES:
            if problem := buildx_instance.problem(user.run, name, builder_nodes(context, name)):
                selected = selected_context(user)
                return CheckResult(
                    False,
                    f"{user.name}: {problem}" + (f" ({selected})" if selected else ""),
                    f"as {user.name}: docker context use default" if selected else "",
                )
        if (
            context.options.select
            and buildx_instance.selected(user.run) != buildx_instance.INSTANCE
        ):
            return CheckResult(False, f"{user.name} has another builder selected")
        if _defaults(user) not in (_wanted_defaults(context), _THEIRS):
            return CheckResult(False, f"{_path(user)} is not as it should be")
        return CheckResult(True, f"{user.name} has the builder {buildx_instance.INSTANCE!r}")

    def require(self, context: Context) -> None:
        """Check that the user can write buildx's files, and has no such builder of their own.

        Raises:
            HostError: They cannot, or have.
        """
        user = context.user
        for folder in (user.buildx_folder, user.buildx_folder / "instances"):
            check_own_folder(user, folder)
        for name in _INSTANCES:
            buildx_instance.check_name(user.run, name, builder_nodes(context, name))

    def apply(self, context: Context) -> None:
        """Create the instances, and select the first unless the user has chosen another."""
        user = context.user
        chosen = buildx_instance.selected(user.run)
        unwell = [
            name
            for name in _INSTANCES
            if buildx_instance.problem(user.run, name, builder_nodes(context, name))
        ]
        if unwell:
            context.changes.add(self.name, user.name)
        for name in unwell:
            buildx_instance.create(user.run, _path(user).parent, name, builder_nodes(context, name))
        is_new = buildx_instance.INSTANCE in unwell
        wish = context.options.select
        if wish or (wish is None and is_new and chosen in ("", "default")):
            buildx_instance.select(user.run)
        _write_defaults(context)

    def undo(self, context: Context) -> None:
        """Do so for every user who got them by way of root and still has an account."""
        for name in context.changes.of(self.name):
            try:
                disable(context, User.called(name))
            except HostError as error:
                context.progress.message(f"left as it is: {error.message}")


def enable(context: Context) -> CheckResult:
    """Give the user what they need; without root, for themselves.

    Raises:
        HostError: buildx refuses, or the user may not use Docker.
    """
    step = EnableStep()
    finding = step.check(context)
    if not finding.ok:
        check_user(context)
        _check_buildx(context.user)
        step.apply(context)
        finding = step.check(context)
    if not finding.ok:
        raise HostError(finding.detail, remedy="may the user use Docker? See: docker version")
    return finding


def _check_buildx(user: User) -> None:
    if user.run(["docker", "buildx", "version"]).returncode == 0:
        return
    if problem := docker_cli.problem(user):
        raise HostError(problem, remedy="set it, then run the same command again")


def builder_nodes(context: Context, name: str) -> list[BuilderNode]:
    """Return where a user's instance leads: to this host's builder, then to its nodes.

    With nodes each platform is given to one of them. Else buildx would ask all of them what they
    can before each build, and fail if one is switched off.
    """
    container = _INSTANCES[name]
    others = [] if container == REPLAYER else nodes(context.state)
    elsewhere = {platform for other in others for platform in other.platforms}
    native = native_platform()
    here = [str(item) for item in (native, *context.desired.emulated(native))]
    own = tuple(item for item in here if item not in elsewhere) if others else ()
    return [local_node(name, container, own), *(_builder_node(other, name) for other in others)]


def _builder_node(node: Node, name: str) -> BuilderNode:
    # As of this host's own node: all of an instance's agree on that.
    options = (*local_node(name, "").options, *node.tls_options)
    if not node.is_ssh:
        return BuilderNode(node.name, node.endpoint, node.platforms, options)
    endpoint = f"docker-container://{BUILDER}?context={node.context}"
    return BuilderNode(
        node.name, endpoint, node.platforms, options, node.context, host=node.endpoint
    )


def disable(context: Context, user: User) -> None:
    """Remove a user's instances, and the defaults if we wrote them.

    Raises:
        HostError: The docker command is not there.
    """
    for name in _INSTANCES:
        buildx_instance.remove(user.run, name)
    for node in nodes(context.state):
        if node.is_ssh:
            buildx_instance.remove_context(user.run, node.context)
    if _defaults(user) != _THEIRS:
        user.run(["rm", "-f", str(_path(user))])


def _write_defaults(context: Context) -> None:
    user = context.user
    if _defaults(user) == _THEIRS:
        context.progress.message(f"{_path(user)} is {user.name}'s own and was left as it is")
        return
    # As the user: root must not follow links in someone's home.
    user.run(["mkdir", "-p", str(_path(user).parent)])
    done = user.run(["tee", str(_path(user))], text=_wanted_defaults(context))
    if done.returncode != 0:
        raise HostError(f"cannot write {_path(user)}", meaning=last_lines(done.stderr))


def _path(user: User) -> Path:
    """Return what buildx gives to every builder that is created without a configuration."""
    return user.buildx_folder / "buildkitd.default.toml"


def _defaults(user: User) -> str:
    """Return the user's file if we wrote it, a mark if they did; else nothing."""
    try:
        data = read_regular(_path(user), LIMITS.spec_bytes)
    except FileNotFoundError:
        return ""
    except OSError:
        return _THEIRS
    return data.decode() if data.startswith(HEADER.encode()) else _THEIRS


def _wanted_defaults(context: Context) -> str:
    # The bridge first: there a builder has its network, and loopback is its own.
    mirrors = mirror_servers(context)[::-1]
    return buildkitd_toml(context.desired.hosts, mirrors, registry_servers(context))
