"""`airgap install`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import click

from airgap.cli._shared.settings import Settings, pass_settings
from airgap.errors import UsageError


@click.command(name="install")
@click.argument("folders", metavar="DIR…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--trust",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Trust this public key now, and not those of `airgap trust`; repeatable.",
)
@click.option(
    "--only",
    default="",
    metavar="STEP,…",
    help="Do these steps alone; everything is checked all the same.",
)
@click.option(
    "--load",
    multiple=True,
    metavar="NAME",
    help="Put this image into Docker's own store too, for plain docker build; repeatable.",
)
@click.option("--allow-older", is_flag=True, help="Tags may go back to an older bundle's.")
@click.option(
    "--mirror-port",
    type=click.IntRange(1, 65535),
    help="Port of the mirror on loopback [default: 5001].",
)
@click.option(
    "--registry-port",
    type=click.IntRange(1, 65535),
    help="Port of the registry for what you push [default: 5000].",
)
@click.option(
    "--listen",
    metavar="ADDRESS|none",
    help="Serve mirror and registry to other machines too, at this address of the host, with TLS "
    "and the accounts of airgap account.",
)
@click.option(
    "--site-registry",
    multiple=True,
    metavar="HOST[:PORT]",
    help="A registry of your site that the builder may reach; repeatable.",
)
@click.option(
    "--registry",
    default="",
    metavar="HOST[:PORT][/PREFIX]",
    help="Push the images to this registry, which serves them in place of a mirror on this host.",
)
@click.option(
    "--registry-layout",
    "layout",
    type=click.Choice(["nested", "flat"]),
    default=None,
    help="Where --registry holds images: PREFIX/HOST/REPOSITORY, or flat: PREFIX/REPOSITORY, for "
    "registries that limit how deep paths are, such as GitLab [default: nested].",
)
@click.option(
    "--ca",
    type=click.Path(path_type=Path),
    help="PEM file with the authority that vouches for --registry, if this host knows it not.",
)
@click.option(
    "--rewrite-indexes/--keep-indexes",
    "rewrite",
    default=None,
    help="For a registry that wants all that an index names: push indexes of what the bundle "
    "carries alone, which have other digests [default: keep].",
)
@click.option("--own-mirror", is_flag=True, help="Have the mirror on this host again.")
@click.option(
    "--use/--no-use",
    "select",
    default=None,
    help="Make airgap your selected builder [default: if you have not selected one yourself].",
)
@click.option(
    "--docker-mirror/--no-docker-mirror",
    default=None,
    help="Name the mirror in dockerd's own configuration, or leave that alone; kept for later "
    "installs [default: name it].",
)
@click.option(
    "--restart-docker",
    is_flag=True,
    help="Restart Docker if its mirror setting changes; plain docker build reads it only then.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="Hash all that earlier installs brought, and bring again what the disk has damaged. Of "
    "an older bundle that counts still, bring blobs and move no tag.",
)
@click.option(
    "--fix",
    is_flag=True,
    help="Change a setting of yours that hides buildx: Docker 19.03 has one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@pass_settings
def command(  # noqa: PLR0913, PLR0917 - one parameter an option
    settings: Settings,
    folders: tuple[Path, ...],
    trust: tuple[Path, ...],
    only: str,
    load: tuple[str, ...],
    allow_older: bool,
    mirror_port: int | None,
    registry_port: int | None,
    listen: str | None,
    site_registry: tuple[str, ...],
    registry: str,
    layout: str | None,
    ca: Path | None,
    rewrite: bool | None,
    own_mirror: bool,
    select: bool | None,
    docker_mirror: bool | None,
    restart_docker: bool,
    repair: bool,
    fix: bool,
    as_json: bool,
) -> None:
    """Check a bundle and set this host up with it, so that it builds without a network.

    DIR is the folder with bundle.json; name several if the bundle lies on several media. The key
    of whoever signed it must be trusted first: airgap trust add PUB. Given again, the command
    changes nothing; stopped half-way, it goes on.

    Ports and registries are kept for later installs.

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
    from airgap.isolated.host.addresses import parse_listen
    from airgap.isolated.host.user import User
    from airgap.isolated.services.site_registry import choose, read_ca
    from airgap.isolated.state.layout import State
    from airgap.isolated.steps import STEP_NAMES
    from airgap.trust.folder import refuse_key_on_medium, trusted_keys
    from airgap.trust.keys import load_public

    for path in (*trust, *([settings.trust_dir] if settings.trust_dir.exists() else [])):
        refuse_key_on_medium(folders, path)
    keys = [load_public(path) for path in trust] or list(trusted_keys(settings.trust_dir))
    state = State(settings.root)
    chosen = {
        "mirror_port": mirror_port,
        "registry_port": registry_port,
        "listen": None if listen is None else parse_listen(listen),
        "site_registries": site_registry or None,
        "docker_mirror": docker_mirror,
    }
    given = {key: value for key, value in chosen.items() if value is not None}
    order = InstallOptions(
        folders,
        keys,
        only=_steps(only, STEP_NAMES),
        settings=choose(
            replace(state.settings(), **given),  # type: ignore[arg-type]
            registry,
            layout or "",
            own_mirror=own_mirror,
            rewrite=rewrite,
        ),
        options=Options(load, select, restart_docker, repair, fix, allow_older),
        ca=read_ca(ca) if ca else b"",
    )

    def show(outcome: Outcome) -> None:
        if not as_json:
            click.echo(outcome_line(outcome))

    with settings.progress() as progress:
        report = install(state, order, User.behind_this_process(), progress, show)
    contents = report.contents
    for line in unlisted_lines(report.unlisted):
        click.echo(line, err=True)
    if as_json:
        document = {
            "bundle": contents.identity,
            "changed": report.changed,
            "steps": [asdict(outcome) for outcome in report.outcomes],
            "unlisted": [str(path) for path in report.unlisted],
        }
        click.echo(json.dumps(document))
    elif report.changed:
        alone = f", of which {only} alone" if only else ""
        done = "repaired" if [one.name for one in report.outcomes] == ["repair"] else "installed"
        click.echo(f"{done}: {contents.name}, serial {contents.serial}{alone}")
    else:
        click.echo(f"nothing to change: {contents.name}, serial {contents.serial}, is installed")


def _steps(text: str, names: Iterable[str]) -> tuple[str, ...]:
    steps = tuple(step for step in text.split(",") if step)
    for step in steps:
        if step not in names:
            raise UsageError(f"there is no step {step!r}", remedy=f"choose from {', '.join(names)}")
    return steps
