"""`airgap install`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from airgap.cli._shared.option_group import OptionGroup
from airgap.cli._shared.settings import Settings, pass_settings
from airgap.errors import UsageError

if TYPE_CHECKING:
    from airgap.isolated.state.settings import HostSettings


@dataclass(frozen=True)
class _Steps(OptionGroup):
    """What this installation does."""

    only: str
    load: tuple[str, ...]
    allow_older: bool
    select: bool | None
    restart_docker: bool
    repair: bool
    fix: bool


@dataclass(frozen=True)
class _Host(OptionGroup):
    """What this host keeps for later installations; None where the option is not given."""

    mirror_port: int | None
    registry_port: int | None
    listen: str | None
    site_registry: tuple[str, ...]
    registry: str
    layout: str | None
    ca: Path | None
    rewrite: bool | None
    own_mirror: bool
    docker_mirror: bool | None

    def settings(self, known: HostSettings) -> HostSettings:
        """Return the settings of the host, with what the command line changes."""
        from airgap.isolated.host.addresses import parse_listen
        from airgap.isolated.services.site_registry import choose

        options = {
            "mirror_port": self.mirror_port,
            "registry_port": self.registry_port,
            "listen": None if self.listen is None else parse_listen(self.listen),
            "site_registries": self.site_registry or None,
            "docker_mirror": self.docker_mirror,
        }
        given = {key: value for key, value in options.items() if value is not None}
        return choose(
            replace(known, **given),  # type: ignore[arg-type]
            self.registry,
            self.layout or "",
            own_mirror=self.own_mirror,
            rewrite=self.rewrite,
        )


_step_options = _Steps.add(
    "steps",
    (
        click.option(
            "--only",
            default="",
            metavar="STEP,…",
            help="Do only these steps; everything is still checked [default: all].",
        ),
        click.option(
            "--load",
            multiple=True,
            metavar="NAME",
            help="Also copy this image to Docker's own store, for plain docker build; repeatable.",
        ),
        click.option(
            "--allow-older", is_flag=True, help="Allow tags to move back to an older bundle's."
        ),
        click.option(
            "--use/--no-use",
            "select",
            default=None,
            help="Select the builder airgap [default: if you have not selected another].",
        ),
        click.option(
            "--restart-docker",
            is_flag=True,
            help="Restart Docker if its mirror setting changes; plain docker build needs that.",
        ),
        click.option(
            "--repair",
            is_flag=True,
            help="Verify everything installed and restore damaged or missing blobs from this "
            "bundle. Also accepts an older bundle that is still active; tags are not changed.",
        ),
        click.option(
            "--fix",
            is_flag=True,
            help="Change the setting of Docker 19.03 that hides buildx.",
        ),
    ),
)
_host_options = _Host.add(
    "host",
    (
        click.option(
            "--mirror-port",
            type=click.IntRange(1, 65535),
            help="Port of the mirror on loopback [default: 5001].",
        ),
        click.option(
            "--registry-port",
            type=click.IntRange(1, 65535),
            help="Port of the registry for what you push [default: 5000].",
        ),
        click.option(
            "--listen",
            metavar="ADDRESS|none",
            help="Also serve mirror and registry to other machines, at this address of the host, "
            "with TLS and the accounts of `airgap account` [default: none].",
        ),
        click.option(
            "--site-registry",
            multiple=True,
            metavar="HOST[:PORT]",
            help="Let the builder reach this registry of your site; repeatable.",
        ),
        click.option(
            "--registry",
            default="",
            metavar="HOST[:PORT][/PREFIX]",
            help="Push the images to this registry, and use it instead of a mirror on this host.",
        ),
        click.option(
            "--registry-layout",
            "layout",
            type=click.Choice(["nested", "flat"]),
            default=None,
            help="Where --registry holds images: PREFIX/HOST/REPOSITORY, or flat: PREFIX/REPOSITORY"
            " for registries that limit the depth of paths, such as GitLab [default: nested].",
        ),
        click.option(
            "--ca",
            type=click.Path(path_type=Path),
            help="CA certificate (PEM) of --registry, if this host does not already trust it.",
        ),
        click.option(
            "--rewrite-indexes/--keep-indexes",
            "rewrite",
            default=None,
            help="Rewrite each index to list only the platforms in the bundle, for registries that "
            "reject incomplete indexes. This changes the digests [default: keep].",
        ),
        click.option(
            "--own-mirror", is_flag=True, help="Use a mirror on this host again, after --registry."
        ),
        click.option(
            "--docker-mirror/--no-docker-mirror",
            default=None,
            help="Name the mirror in dockerd's own configuration [default: name it].",
        ),
    ),
)


@click.command(name="install")
@click.argument("folders", metavar="DIR…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--trust",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Trust this public key now, instead of the keys of `airgap trust`; repeatable.",
)
@_step_options
@_host_options
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@pass_settings
def command(
    settings: Settings,
    folders: tuple[Path, ...],
    trust: tuple[Path, ...],
    steps: _Steps,
    host: _Host,
    as_json: bool,
) -> None:
    """Check a bundle, and install it on this host.

    DIR is the folder with bundle.json; name several if the bundle is on several media. Its key
    must be trusted first: airgap trust add PUB. Running the command again changes nothing. If it
    was interrupted, run the same command to continue.

    Ports and registries are kept for later installations.

    \b
    Steps, in order:
      tool, seed, recordings, push, load, emulator, mirror, registry, listen, authorities,
      builder, buildx, enable, docker-mirror

    \b
    Examples:
      airgap install /media/usb/airgap
      airgap install /media/usb/airgap --load arm64v8/alpine
      airgap install /media/usb/airgap --only seed
      airgap install /media/usb/airgap --listen 192.0.2.10
      airgap install /media/usb/airgap --registry harbor.example.internal/mirror --ca ca.pem
    """
    from airgap.cli._shared.table import outcome_line, unlisted_lines
    from airgap.isolated.commands.apply import Outcome
    from airgap.isolated.commands.install import InstallOptions, install
    from airgap.isolated.context import Options
    from airgap.isolated.host.user import User
    from airgap.isolated.services.site_registry import read_ca
    from airgap.isolated.state.layout import State
    from airgap.isolated.steps import STEP_NAMES
    from airgap.trust.folder import refuse_key_on_medium, trusted_keys
    from airgap.trust.keys import load_public
    from airgap.views.host import InstallResult, StepResult
    from airgap.views.view import to_json, view_of

    for path in (*trust, *([settings.trust_dir] if settings.trust_dir.exists() else [])):
        refuse_key_on_medium(folders, path)
    keys = [load_public(path) for path in trust] or list(trusted_keys(settings.trust_dir))
    state = State(settings.root)
    options = InstallOptions(
        folders,
        keys,
        only=_step_names(steps.only, STEP_NAMES),
        settings=host.settings(state.settings()),
        options=Options(
            steps.load,
            steps.select,
            steps.restart_docker,
            steps.repair,
            steps.fix,
            steps.allow_older,
        ),
        ca=read_ca(host.ca) if host.ca else b"",
    )

    def show(outcome: Outcome) -> None:
        if not as_json:
            click.echo(outcome_line(outcome))

    with settings.progress() as progress:
        report = install(state, options, User.behind_this_process(), progress, show)
    contents = report.contents
    for line in unlisted_lines(report.unlisted):
        click.echo(line, err=True)
    if as_json:
        done = [view_of(StepResult, outcome) for outcome in report.outcomes]
        unlisted = [str(path) for path in report.unlisted]
        click.echo(to_json(InstallResult(contents.identity, report.changed, done, unlisted)))
    elif report.changed:
        alone = f", only {steps.only}" if steps.only else ""
        verb = "repaired" if [step.name for step in report.outcomes] == ["repair"] else "installed"
        click.echo(f"{verb}: {contents.name}, serial {contents.serial}{alone}")
    else:
        click.echo(f"nothing to change: {contents.name}, serial {contents.serial}, is installed")


def _step_names(text: str, names: Iterable[str]) -> tuple[str, ...]:
    steps = tuple(step for step in text.split(",") if step)
    for step in steps:
        if step not in names:
            raise UsageError(f"there is no step {step!r}", remedy=f"choose from {', '.join(names)}")
    return steps
