"""`airgap inspect`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="inspect")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print bundle.json, as it is.")
def command(folder: Path, as_json: bool) -> None:
    """Show what a bundle says it holds. It does not check who says so: see `airgap verify`.

    \b
    Example:
      airgap inspect /media/usb/airgap
    """
    from airgap.bundle.media import Media
    from airgap.bundle.verify import read_contents
    from airgap.cli._shared.table import table
    from airgap.progress import format_bytes

    contents = read_contents(Media([folder]))
    if as_json:
        click.echo(contents.to_bytes().decode(), nl=False)
        return
    size = sum(file.size for file in contents.files)
    click.echo(f"{contents.name}, serial {contents.serial}, made {contents.created}")
    click.echo(f"for hosts of {', '.join(contents.host_platforms)}, {format_bytes(size)}")
    click.echo(f"expires {contents.expires or 'never'}; signature not checked here")
    rows = [("IMAGE", "PLATFORMS", "LEFT OUT", "DIGEST", "FOR")]
    rows += [
        (
            image.reference.familiar,
            image.made_for,
            ", ".join(image.omitted) or "-",
            image.digest[:19],
            ", ".join(image.roles),
        )
        for image in contents.images
    ]
    click.echo(table(rows))
    if contents.recordings:
        recordings = [("RECORDING", "PLATFORMS", "APT CHECKS DATES UNTIL", "DIGEST")]
        recordings += [
            (
                recording.name,
                ", ".join(recording.platforms),
                recording.until or "-",
                recording.digest[:19],
            )
            for recording in contents.recordings
        ]
        click.echo(table(recordings))
