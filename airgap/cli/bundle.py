"""`airgap bundle`."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from airgap.cli.keygen import read_passphrase
from airgap.cli.settings import Settings, pass_settings
from airgap.cli.size import Size
from airgap.errors import UsageError
from airgap.limits import KIB, MIB
from airgap.oci.platform import parse_platform
from airgap.oci.reference import parse_reference
from airgap.spec.bundle_spec import BundleSpec, ImageSpec, Request, load_spec, make_request

if TYPE_CHECKING:
    from airgap.trust.keys import PrivateKey


@click.command(name="bundle")
@click.argument("wanted", metavar="[SPEC.toml…] [IMAGE…]", nargs=-1, required=True)
@click.option("--key", type=click.Path(path_type=Path), help="Private key to sign with.")
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Take the key's passphrase from a file's first line.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The bundle's folder: a new one, an empty one, or this plan's unfinished bundle.",
)
@click.option("--name", default="", help="The bundle's name [default: the spec's, or images].")
@click.option("--platform", multiple=True, help="What images are carried for; repeatable.")
@click.option("--all-platforms", is_flag=True, help="Carry every platform of every index.")
@click.option("--no-roles", is_flag=True, help="Carry the named images alone.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="Hosts refuse it after that.")
@click.option(
    "--registries",
    type=click.Path(path_type=Path),
    envvar="AIRGAP_REGISTRIES",
    show_envvar=True,
    help="TOML file with mirrors, replacements, plain HTTP and CA files.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=30.0,
    help="Seconds to wait for a registry.",
)
@click.option(
    "--retry-for",
    type=click.FloatRange(min=0),
    default=300.0,
    metavar="SECONDS",
    help="Bear with a failing registry for so long while nothing comes [default: 300].",
)
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Connections at once; fewer by itself when registries limit them.",
)
@click.option(
    "--limit-rate",
    type=Size(16 * KIB),
    default=0,
    metavar="SIZE",
    help="Fetch at most so many bytes a second, such as 2MiB.",
)
@click.option(
    "--volume-size",
    type=Size(MIB),
    default=0,
    metavar="SIZE",
    help="Cut images.tar into files below this size, such as 4GiB, for several media or FAT32.",
)
@click.option(
    "--no-sync",
    is_flag=True,
    help="Do not wait until the disk has it: quicker, but a power cut may cost all.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@pass_settings
def command(  # noqa: PLR0913, PLR0917 - one parameter an option
    settings: Settings,
    wanted: tuple[str, ...],
    key: Path | None,
    passphrase_file: Path | None,
    output: Path,
    name: str,
    platform: tuple[str, ...],
    all_platforms: bool,
    no_roles: bool,
    expires: datetime | None,
    registries: Path | None,
    timeout: float,
    retry_for: float,
    jobs: int,
    limit_rate: int,
    volume_size: int,
    no_sync: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fetch images and the parts of a builder, and pack them into a signed bundle.

    \b
    Examples:
      airgap bundle bundles/arm64-builder.toml --key site.key -o /media/usb/airgap
      airgap bundle golang:alpine alpine --no-roles --key site.key -o ./images
      airgap bundle my.toml --volume-size 4GiB --key site.key -o ./volumes
      airgap bundle my.toml --dry-run -o ./out
    """
    from airgap.connected.fetch import Pace
    from airgap.connected.make_bundle import Target, plan_bundle, write_bundle
    from airgap.connected.plan import describe, document
    from airgap.oci.credentials import Credentials
    from airgap.oci.registries import Registries, load_registries
    from airgap.oci.registry import RegistryClient
    from airgap.tool.build import build_tool

    request = _request(wanted, name, platform, all_platforms, no_roles)
    if key is None and not dry_run:
        raise UsageError("--key is missing", remedy="make one: airgap keygen site")
    deadline = expires.replace(tzinfo=UTC) if expires else None
    if deadline and deadline <= datetime.now(UTC):
        raise UsageError(f"--expires {deadline:%Y-%m-%d} is over: no host would take the bundle")
    # Before anything is fetched: a wrong passphrase shall not show after hours.
    signing_key = _open_key(key, passphrase_file) if key and not dry_run else None
    config = load_registries(registries) if registries else Registries()
    # One byte less: FAT32 holds files of up to 4 GiB minus one.
    target = Target(output, deadline, max(0, volume_size - 1), durable=not no_sync)
    with (
        settings.progress() as progress,
        closing(
            RegistryClient(
                config,
                Credentials(),
                timeout=timeout,
                retry_for=retry_for,
                say=progress.message,
            )
        ) as client,
    ):
        progress.message(f"resolving {len(request.images)} images")
        draft = plan_bundle(request, target, client, jobs)
        click.echo(json.dumps(document(draft.plan)) if as_json else describe(draft.plan))
        for registry, left in client.rate_limits.items():
            progress.message(f"{registry}: {left}")
        if key is None or signing_key is None:
            return
        contents = write_bundle(
            draft,
            client,
            lambda hosts, shown: build_tool(hosts, progress=shown),
            signing_key,
            Pace(jobs, limit_rate),
            progress,
        )
    if not as_json:
        click.echo(f"{output}: bundle {contents.name}, serial {contents.serial}, is signed")
        click.echo(f"check it: airgap verify {output} --trust {key.with_suffix('.pub')}")


def _open_key(path: Path, passphrase_file: Path | None) -> PrivateKey:
    from airgap.trust.keys import is_encrypted, load_private

    passphrase = read_passphrase(passphrase_file)
    if passphrase is None and is_encrypted(path):
        passphrase = click.prompt(f"Passphrase for {path}", hide_input=True, err=True).encode()
    return load_private(path, passphrase)


def _request(
    wanted: tuple[str, ...],
    name: str,
    platform: tuple[str, ...],
    all_platforms: bool,
    no_roles: bool,
) -> Request:
    specs = [load_spec(Path(text)) for text in wanted if text.endswith(".toml")]
    named = tuple(ImageSpec(parse_reference(text)) for text in wanted if not text.endswith(".toml"))
    if named and specs:
        # Images named beside specs are carried for what the first spec is.
        specs.append(
            BundleSpec(
                platforms=specs[0].platforms,
                host_platforms=specs[0].host_platforms,
                images=named,
            )
        )
    elif named:
        specs.append(BundleSpec(images=named))
    return make_request(
        specs,
        name=name,
        platforms=[parse_platform(text) for text in platform],
        with_roles=not no_roles,
        all_platforms=all_platforms,
    )
