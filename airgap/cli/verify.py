"""`airgap verify`."""

from __future__ import annotations

from pathlib import Path

import click

from airgap.cli._shared.keys import keys_for, trust_option
from airgap.cli._shared.settings import Settings, pass_settings


@click.command(name="verify")
@click.argument("folders", metavar="DIR…", nargs=-1, required=True, type=click.Path(path_type=Path))
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print name, serial and signers as JSON.")
@pass_settings
def command(
    settings: Settings, folders: tuple[Path, ...], trust: tuple[Path, ...], as_json: bool
) -> None:
    """Check the signature and every byte of a bundle.

    DIR is the folder with bundle.json; name several if the bundle lies on several media.

    \b
    Example:
      airgap verify /media/usb/airgap --trust site.pub
    """
    from airgap.bundle.archive import Archive
    from airgap.bundle.media import Media
    from airgap.bundle.replay_tar import ReplayTar
    from airgap.bundle.verify import listed_names, read_signed, verify_all
    from airgap.cli._shared.table import unlisted_lines
    from airgap.replay.contents_rules import check_bundle
    from airgap.views.view import to_json
    from airgap.views.workstation import VerifyResult

    keys = keys_for(settings, trust, folders)
    media = Media(folders)
    signed = read_signed(media, keys)
    for line in unlisted_lines(media.unlisted(listed_names(signed.contents))):
        click.echo(line, err=True)
    with settings.progress() as progress:
        verify_all(media, signed.contents, progress)
    contents = signed.contents
    with Archive(media, contents) as archive, ReplayTar(media, contents) as replay:
        check_bundle(media, contents, archive, replay)
    if as_json:
        signers = [key.fingerprint for key in signed.signers]
        click.echo(to_json(VerifyResult(contents.name, contents.serial, signed.digest, signers)))
        return
    names = ", ".join(key.name for key in signed.signers)
    click.echo(f"good: {contents.name}, serial {contents.serial}, signed by {names}")
