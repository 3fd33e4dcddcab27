"""`airgap verify`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from airgap.cli.settings import Settings, pass_settings


@click.command(name="verify")
@click.argument("folders", metavar="DIR…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--trust",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Check with this public key, and not with those of `airgap trust`; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print name, serial and signers as JSON.")
@pass_settings
def command(
    settings: Settings, folders: tuple[Path, ...], trust: tuple[Path, ...], as_json: bool
) -> None:
    """Check a bundle's signature and every byte of it. Nothing is installed.

    DIR is the folder with bundle.json; name several if the bundle lies on several media.

    \b
    Example:
      airgap verify /media/usb/airgap --trust site.pub
    """
    from airgap.bundle.media import Media
    from airgap.bundle.replay_tar import ReplayTar
    from airgap.bundle.verify import listed_names, read_signed, verify_all
    from airgap.replay.carried import check_maps
    from airgap.trust.folder import refuse_key_in, trusted_keys
    from airgap.trust.keys import load_public

    for path in trust:
        refuse_key_in(folders, path)
    keys = [load_public(path) for path in trust] or list(trusted_keys(settings.trust_dir))
    media = Media(folders)
    signed = read_signed(media, keys)
    for path in media.unlisted(listed_names(signed.contents)):
        click.echo(f"not part of the bundle, not opened: {path}", err=True)
    with settings.progress() as progress:
        verify_all(media, signed.contents, progress)
    with ReplayTar(media, signed.contents) as replay:
        check_maps(replay)
    contents = signed.contents
    if as_json:
        report = {
            "name": contents.name,
            "serial": contents.serial,
            "digest": signed.digest,
            "signers": [key.fingerprint for key in signed.signers],
        }
        click.echo(json.dumps(report))
        return
    names = ", ".join(key.name for key in signed.signers)
    click.echo(f"good: {contents.name}, serial {contents.serial}, signed by {names}")
