"""`airgap rehearse`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from airgap.cli._shared.keys import keys_for, trust_option
from airgap.cli._shared.settings import Settings, pass_settings


@click.command(name="rehearse")
@click.argument("folder", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.argument("paths", metavar="PATH[:DOCKERFILE]…", nargs=-1, required=True)
@trust_option
@click.option("--recording", default="", metavar="NAME", help="Replay this one of several.")
@click.option(
    "--platform",
    multiple=True,
    metavar="PLATFORM,…",
    help="Build for these; repeatable [default: the recorded platforms].",
)
@click.option("--target", default="", help="The stage to build.")
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="As buildx's.")
@pass_settings
def command(  # noqa: PLR0913, PLR0917 - one parameter an option
    settings: Settings,
    folder: Path,
    paths: tuple[str, ...],
    trust: tuple[Path, ...],
    recording: str,
    platform: tuple[str, ...],
    target: str,
    build_args: tuple[str, ...],
) -> None:
    """Build from a bundle alone, before it is carried.

    It proves a bundle before it is carried: the same check for what is missing, the same BuildKit,
    mirror and recordings as on the isolated host. It needs Docker. Nothing is left behind.

    \b
    Examples:
      airgap rehearse /media/usb/airgap ./app --trust site.pub
      airgap rehearse ./out ./app:Dockerfile.web --platform linux/arm64 --trust site.pub
    """
    from platformdirs import user_cache_path

    from airgap.builder.ephemeral_builder import ephemeral_folder
    from airgap.bundle.archive import Archive
    from airgap.bundle.media import Media
    from airgap.bundle.replay_tar import ReplayTar
    from airgap.bundle.verify import read_signed
    from airgap.connected.rehearse import rehearse
    from airgap.oci.platform import parse_platforms
    from airgap.spec.builds import read_args
    from airgap.spec.bundle_spec import parse_record

    media = Media([folder])
    contents = read_signed(media, keys_for(settings, trust, [folder])).contents
    platforms = parse_platforms(platform)
    args = read_args(build_args, os.environ)
    builds = [
        replace(parse_record(path), target=target, args=args, platforms=platforms or None)
        for path in paths
    ]
    with (
        Archive(media, contents) as archive,
        ReplayTar(media, contents) as replay,
        settings.progress() as progress,
        ephemeral_folder(user_cache_path("airgap")) as workplace,
    ):
        rehearse(archive, replay, builds, workplace, progress, recording)
    click.echo(f"rehearsed {len(paths)} builds from {contents.name}, serial {contents.serial}")
