"""`airgap init`."""

from __future__ import annotations

from pathlib import Path

import click

from airgap.cli.scan import build_parameters, hints_text, scan_paths


@click.command(name="init")
@build_parameters
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("airgap.toml"),
    show_default=True,
    help="The spec.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(
    paths: tuple[Path, ...],
    target: tuple[str, ...],
    build_arg: tuple[str, ...],
    platform: tuple[str, ...],
    output: Path,
    force: bool,
) -> None:
    """Write a bundle spec for Dockerfiles and bake files.

    PATH is as for `airgap scan`. The spec is yours to change; values of --build-arg are in it.

    \b
    Example:
      airgap init . -o airgap.toml
      airgap bundle airgap.toml --key site.key -o /media/usb/airgap
    """
    from airgap.dockerfile.scan import unite
    from airgap.spec.draft import draft_spec, write_draft

    found = scan_paths(paths, target, build_arg, platform)
    write_draft(output, draft_spec(found, output.parent), force=force)
    scan = unite(scan for _, scan in found)
    if scan.hints:
        click.echo(hints_text(scan.hints), err=True)
    click.echo(f"{output}: {len({need.reference for need in scan.images})} images")
    click.echo(f"carry them: airgap bundle {output} --key KEY -o DIR")
