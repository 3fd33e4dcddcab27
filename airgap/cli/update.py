"""`airgap update`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from airgap.cli._shared.bundle_options import (
    RegistryOptions,
    RequestOptions,
    read_deadline,
    read_request,
    registry_client,
    registry_options,
    request_options,
)
from airgap.cli._shared.settings import Settings, pass_settings
from airgap.spec.lock import DEFAULT_PATH, load_lock

if TYPE_CHECKING:
    from airgap.spec.lock import Lock
    from airgap.spec.lock_changes import ImageChange
    from airgap.views.workstation import LockUpdate


@click.command(name="update")
@request_options
@click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_PATH,
    show_default=True,
    help="The lock to update.",
)
@registry_options
@click.option("--dry-run", is_flag=True, help="Print what would change, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
@pass_settings
def command(
    settings: Settings,
    selection: RequestOptions,
    registry: RegistryOptions,
    lock: Path,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Resolve names again, and show what changes in the lock.

    `airgap bundle --locked`, with the same specs, images and options, makes bundles of the lock.

    \b
    Examples:
      airgap update arm64-builder
      airgap update my.toml --lock my.lock --dry-run
    """
    from airgap.connected.lockfile import resolve_lock, write_lock
    from airgap.tool.build_pyz import build_tool
    from airgap.views.view import to_json

    request = read_request(selection)
    deadline = read_deadline(selection.expires)
    before = load_lock(lock)
    with (
        settings.progress() as progress,
        registry_client(registry, progress) as client,
    ):
        progress.message(f"resolving {len(request.images)} images")
        after = resolve_lock(
            request,
            deadline,
            before,
            client,
            lambda hosts, shown: build_tool(hosts, progress=shown),
            progress,
            registry.jobs,
        )
    if after != before and not dry_run:
        write_lock(lock, after)
    if as_json:
        click.echo(to_json(_view(lock, before, after)))
    else:
        click.echo(_report(lock, before, after, dry_run=dry_run))


def _report(path: Path, before: Lock | None, after: Lock, *, dry_run: bool) -> str:
    """Return what changed as people read it: a line an image, the rest, and what was written."""
    from airgap.cli._shared.table import table
    from airgap.spec.lock_changes import image_changes, other_changes

    lines = [table([_row(change) for change in image_changes(before, after)])]
    lines += [str(change) for change in other_changes(before, after)]
    if after == before:
        lines.append(f"{path} is up to date: serial {after.serial}, made {after.created}")
    elif dry_run:
        lines.append(f"{path} is as it was: this is a dry run")
    else:
        lines.append(f"{path} is written: serial {after.serial}, made {after.created}")
    return "\n".join(lines)


def _row(change: ImageChange) -> tuple[str, str, str, str]:
    from airgap.oci.reference import parse_reference

    old, new = (digest[:19] for digest in change.digests)
    digests = f"{old} -> {new}" if old and new and old != new else new or old
    notes = [f"+{platform}" for platform in change.came]
    notes += [f"-{platform}" for platform in change.went]
    notes += [str(request) for request in change.requests]
    return change.kind, parse_reference(change.name).familiar, digests, "  ".join(notes)


def _view(path: Path, before: Lock | None, after: Lock) -> LockUpdate:
    """Return what changed, for programs."""
    from airgap.spec.lock_changes import image_changes, other_changes
    from airgap.views import workstation
    from airgap.views.view import view_of

    images = [
        view_of(
            workstation.ImageChange,
            change,
            change=change.kind,
            before=change.digests[0],
            after=change.digests[1],
            platforms_came=change.came,
            platforms_went=change.went,
        )
        for change in image_changes(before, after)
    ]
    others = [view_of(workstation.OtherChange, change) for change in other_changes(before, after)]
    return view_of(
        workstation.LockUpdate,
        after,
        lock=str(path),
        changed=after != before,
        images=images,
        others=others,
    )
