"""`airgap bundle`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from airgap.cli._shared.bundle_options import (
    read_deadline,
    read_request,
    registry_client,
    request_options,
    update_command,
    wanted_argument,
)
from airgap.cli._shared.confirm_request import confirm, read_requests, request_file_options
from airgap.cli._shared.settings import Settings, pass_settings
from airgap.cli._shared.size import Size
from airgap.cli.keygen import read_passphrase
from airgap.cli.recording import Wish, recording
from airgap.errors import UsageError
from airgap.limits import KIB, MIB
from airgap.oci.platform import Platform
from airgap.progress import Progress
from airgap.spec.lock import DEFAULT_PATH, load_lock

if TYPE_CHECKING:
    from airgap.trust.keys import PrivateKey


@click.command(name="bundle")
@wanted_argument
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
@request_options
@click.option(
    "--record",
    multiple=True,
    metavar="PATH[:DOCKERFILE]",
    help="Build what is in a folder, and carry what its RUN steps download; repeatable.",
)
@click.option(
    "--record-authenticated",
    is_flag=True,
    help="Keep also answers to requests that came with credentials: who has the bundle has them.",
)
@click.option(
    "--record-ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Certificates to trust while recording, beside the system's.",
)
@click.option(
    "--rehearse",
    "rehearsed",
    is_flag=True,
    help="Before signing, build what was recorded from the bundle alone, without a network.",
)
@request_file_options
@click.option("--locked", is_flag=True, help="Make the very bundle of the lock, byte for byte.")
@click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Lock what is resolved in this file; with --locked: the lock [default: airgap.lock].",
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
    record: tuple[str, ...],
    record_authenticated: bool,
    record_ca: Path | None,
    rehearsed: bool,
    requests: tuple[Path, ...],
    yes: bool,
    locked: bool,
    lock: Path | None,
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
      airgap bundle my.toml --locked --key site.key -o ./out
      airgap bundle my.toml --record ./app --key site.key -o ./out
      airgap bundle --request airgap-request.toml --no-roles --key site.key -o ./out
    """
    from airgap.connected.fetch import TransferLimits
    from airgap.connected.lockfile import Locked, lock_of, write_lock
    from airgap.connected.make_bundle import OutputOptions, plan_bundle, write_bundle
    from airgap.connected.plan import describe, document
    from airgap.connected.record_builds import check_workstation, with_images
    from airgap.tool.build_pyz import build_tool

    asked = read_requests(requests, locked=locked or lock is not None)
    request = with_images(
        read_request(wanted, name, platform, all_platforms, no_roles, record, asked)
    )
    wish = Wish(request, asked, record_ca, record_authenticated, rehearsed, jobs)
    if request.recordings and not dry_run:
        check_workstation(request)
    if rehearsed and not request.recordings:
        raise UsageError("there is nothing to rehearse", remedy="--record PATH, or airgap rehearse")
    if key is None and not dry_run:
        raise UsageError("--key is missing", remedy="make one: airgap keygen site")
    deadline = read_deadline(expires)
    fixed: Locked | None = None
    if locked:
        path = lock or DEFAULT_PATH
        fixed = Locked.open(path, request, deadline, update_command(wanted, path))
    elif lock:
        load_lock(lock)  # a file that is none stays as it is
    # Before anything is fetched: a wrong passphrase shall not show after hours.
    signing_key = _open_key(key, passphrase_file) if key and not dry_run else None
    confirm(asked, yes=yes)
    target = OutputOptions(
        output,
        fixed.expires if fixed else deadline,
        # One byte less: FAT32 holds files of up to 4 GiB minus one.
        max(0, volume_size - 1),
        durable=not no_sync,
        fixed=fixed.started if fixed else None,
    )
    with (
        settings.progress() as progress,
        registry_client(registries, timeout, retry_for, progress, asked) as client,
        fixed.explained() if fixed else nullcontext(),
    ):
        if fixed and fixed.is_over:
            progress.message(f"{fixed.path} expired: hosts will refuse the bundle")
        progress.message(f"resolving {len(request.images)} images")
        draft = plan_bundle(request, target, client, progress, jobs)
        click.echo(json.dumps(document(draft.plan)) if as_json else describe(draft.plan))
        for registry, left in client.rate_limits.items():
            progress.message(f"{registry}: {left}")
        if key is None or signing_key is None:
            return

        def checked_tool(hosts: Sequence[Platform], shown: Progress) -> bytes:
            tool = build_tool(hosts, progress=shown)
            if fixed:
                fixed.check_tool(tool)
            elif lock:
                write_lock(lock, lock_of(request, draft.plan.contents, tool))
            return tool

        with recording(wish, draft.started.serial, progress) as (record_all, rehearse_all):
            contents = write_bundle(
                draft,
                client,
                checked_tool,
                signing_key,
                TransferLimits(jobs, limit_rate),
                progress,
                record_all,
                rehearse_all,
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
