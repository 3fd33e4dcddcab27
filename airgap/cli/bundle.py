"""`airgap bundle`."""

from __future__ import annotations

import time
from dataclasses import dataclass
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
    update_command,
)
from airgap.cli._shared.bundle_report import plan_text, plan_view, result_text, result_view
from airgap.cli._shared.confirm_request import REQUEST_FILE_OPTIONS, confirm, read_requests
from airgap.cli._shared.option_group import OptionGroup
from airgap.cli._shared.settings import Settings, pass_settings
from airgap.cli._shared.size import Size
from airgap.cli.keygen import read_passphrase
from airgap.errors import UsageError
from airgap.limits import KIB, MIB
from airgap.spec.lock import DEFAULT_PATH
from airgap.views.view import to_json

if TYPE_CHECKING:
    from airgap.connected.make_bundle import BundleOptions
    from airgap.connected.plan import BundlePlan
    from airgap.trust.keys import PrivateKey


@dataclass(frozen=True)
class _Signing(OptionGroup):
    """Who signs the bundle, and where it is written."""

    key: Path | None
    passphrase_file: Path | None
    output: Path


@dataclass(frozen=True)
class _Recording(OptionGroup):
    """What is recorded, and which request files are fetched."""

    record: tuple[str, ...]
    record_authenticated: bool
    record_ca: Path | None
    rehearse: bool
    requests: tuple[Path, ...]
    yes: bool


@dataclass(frozen=True)
class _Form(OptionGroup):
    """Which form the bundle has, and what is printed."""

    locked: bool
    lock: Path | None
    limit_rate: int
    volume_size: int
    no_sync: bool
    dry_run: bool
    as_json: bool


_signing_options = _Signing.add(
    "signing",
    (
        click.option("--key", type=click.Path(path_type=Path), help="Private key that signs."),
        click.option(
            "--passphrase-file",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Read the key's passphrase from the first line of a file.",
        ),
        click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path),
            required=True,
            help="Folder of the bundle: new, empty, or with this unfinished bundle.",
        ),
    ),
)
_recording_options = _Recording.add(
    "recording",
    (
        click.option(
            "--record",
            multiple=True,
            metavar="PATH[:DOCKERFILE]",
            help="Build a folder, and include what its RUN steps download; repeatable.",
        ),
        click.option(
            "--record-authenticated",
            is_flag=True,
            help="Also record responses to authenticated requests. Anyone with the bundle can "
            "read them.",
        ),
        click.option(
            "--record-ca",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="CA certificates to trust while recording, beside the system's.",
        ),
        click.option(
            "--rehearse",
            is_flag=True,
            help="Before signing, build what was recorded from the bundle alone, without a "
            "network.",
        ),
        *REQUEST_FILE_OPTIONS,
    ),
)
_form_options = _Form.add(
    "form",
    (
        click.option(
            "--locked", is_flag=True, help="Make exactly the bundle of the lock, byte for byte."
        ),
        click.option(
            "--lock",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Write a lock to this file; with --locked, read it [default: airgap.lock].",
        ),
        click.option(
            "--limit-rate",
            type=Size(16 * KIB),
            default=0,
            metavar="SIZE",
            help="Fetch at most this many bytes a second, such as 2MiB [default: no limit].",
        ),
        click.option(
            "--volume-size",
            type=Size(MIB),
            default=0,
            metavar="SIZE",
            help="Cut images.tar into files below this size, such as 4GiB, for several media or "
            "FAT32 [default: one file].",
        ),
        click.option(
            "--no-sync",
            is_flag=True,
            help="Skip fsync. Faster, but a power failure may lose the whole bundle.",
        ),
        click.option("--dry-run", is_flag=True, help="Print the plan and stop."),
        click.option(
            "--json", "as_json", is_flag=True, help="Print the result, or the plan, as JSON."
        ),
    ),
)


@click.command(name="bundle")
@request_options
@_signing_options
@registry_options
@_recording_options
@_form_options
@pass_settings
def command(
    settings: Settings,
    selection: RequestOptions,
    signing: _Signing,
    registry: RegistryOptions,
    recording: _Recording,
    form: _Form,
) -> None:
    """Pack images and a builder into a signed bundle.

    Each SPEC and IMAGE is included for its platforms, and, unless --no-roles says otherwise, also
    what the host builds with: BuildKit, buildx, an emulator and a registry. SPEC is a TOML file,
    or the name of a ready-made one (airgap specs).

    \b
    Examples:
      airgap bundle arm64-builder --key site.key -o /media/usb/airgap
      airgap bundle golang:alpine alpine --no-roles --key site.key -o ./images
      airgap bundle my.toml --volume-size 4GiB --key site.key -o ./volumes
      airgap bundle my.toml --dry-run -o ./out
      airgap bundle my.toml --locked --key site.key -o ./out
      airgap bundle my.toml --record ./app --key site.key -o ./out
      airgap bundle --request airgap-request.toml --no-roles --key site.key -o ./out
    """
    from airgap.connected.make_bundle import make_bundle

    started = time.monotonic()
    options = _options(selection, signing, registry, recording, form)
    options.check(dry_run=form.dry_run)
    # Before anything is fetched, so that a wrong passphrase does not show after hours.
    key = None if form.dry_run else _open_key(signing)
    confirm(options.request_file, yes=recording.yes)

    def show(plan: BundlePlan) -> None:
        if not form.as_json:
            click.echo(plan_text(plan))
        elif form.dry_run:
            click.echo(to_json(plan_view(plan)))

    with (
        settings.progress() as progress,
        registry_client(registry, progress, options.request_file) as client,
    ):
        contents = make_bundle(options, client, key, progress, show)
    if contents is not None and key is not None and signing.key is not None:
        result = result_view(contents, signing.output, key, time.monotonic() - started)
        click.echo(to_json(result) if form.as_json else result_text(result, signing.key))


def _options(
    selection: RequestOptions,
    signing: _Signing,
    registry: RegistryOptions,
    recording: _Recording,
    form: _Form,
) -> BundleOptions:
    from airgap.connected.fetch import TransferLimits
    from airgap.connected.lockfile import Locked
    from airgap.connected.make_bundle import BundleOptions
    from airgap.connected.record_builds import with_images
    from airgap.connected.write_bundle import OutputOptions

    request_file = read_requests(recording.requests, locked=form.locked or form.lock is not None)
    request = with_images(read_request(selection, recording.record, request_file))
    expires = read_deadline(selection.expires)
    locked: Locked | None = None
    if form.locked:
        path = form.lock or DEFAULT_PATH
        locked = Locked.open(path, request, expires, update_command(selection.references, path))
    return BundleOptions(
        request,
        request_file,
        OutputOptions(
            signing.output,
            locked.expires if locked else expires,
            # One byte less: FAT32 holds files of up to 4 GiB minus one.
            max(0, form.volume_size - 1),
            durable=not form.no_sync,
            fixed=locked.started if locked else None,
        ),
        TransferLimits(registry.jobs, form.limit_rate),
        recording.record_ca,
        recording.record_authenticated,
        recording.rehearse,
        locked,
        None if form.locked else form.lock,
    )


def _open_key(signing: _Signing) -> PrivateKey:
    from airgap.trust.keys import is_encrypted, load_private

    if signing.key is None:
        raise UsageError("--key is missing", remedy="make one: airgap keygen site")
    passphrase = read_passphrase(signing.passphrase_file)
    if passphrase is None and is_encrypted(signing.key):
        question = f"Passphrase for {signing.key}"
        passphrase = click.prompt(question, hide_input=True, err=True).encode()
    return load_private(signing.key, passphrase)
