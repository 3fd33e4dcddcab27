"""`airgap inspect`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="inspect")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print bundle.json, as it is.")
def command(folder: Path, as_json: bool) -> None:
    """Show the contents of a bundle, without checking it.

    \b
    Example:
      airgap inspect /media/usb/airgap
    """
    from airgap.bundle.archive import image_sizes
    from airgap.bundle.media import Media
    from airgap.bundle.verify import read_contents
    from airgap.cli._shared.table import table
    from airgap.progress import format_bytes, format_count

    media = Media([folder])
    contents = read_contents(media)
    if as_json:
        click.echo(contents.to_bytes().decode(), nl=False)
        return
    size = sum(file.size for file in contents.files)
    click.echo(f"{contents.name}, serial {contents.serial}, made {contents.created}")
    click.echo(f"for hosts of {', '.join(contents.host_platforms)}, {format_bytes(size)}")
    click.echo(f"expires {contents.expires or 'never'}; signature not checked here")
    sizes = image_sizes(media, contents)
    rows = [("IMAGE", "SIZE", "PLATFORMS", "FOR")]
    for image in contents.images:
        left_out = format_count(len(image.omitted), "platform")
        rows.append(
            (
                image.reference.familiar,
                format_bytes(sizes[image.name]) if image.name in sizes else "damaged",
                image.made_for + (f" (without {left_out})" if image.omitted else ""),
                ", ".join(image.roles),
            )
        )
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
