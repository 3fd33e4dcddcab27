"""What a bundle shall hold: the arguments that `airgap bundle` and `airgap update` share."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from airgap.errors import UsageError
from airgap.oci.platform import parse_platform
from airgap.oci.reference import parse_reference
from airgap.spec.bundle_spec import (
    BundleSpec,
    ImageSpec,
    Request,
    load_spec,
    make_request,
    parse_record,
)
from airgap.spec.lock import DEFAULT_PATH
from airgap.spec.request_file import RequestFile

if TYPE_CHECKING:
    from airgap.oci.registry import RegistryClient
    from airgap.progress import Progress

_NOTHING = RequestFile()
_CONNECTIONS = 10
_Command = TypeVar("_Command", bound=Callable[..., None])

wanted_argument = click.argument("wanted", metavar="[SPEC.toml…] [IMAGE…]", nargs=-1)

_OPTIONS = (
    click.option("--name", default="", help="The bundle's name [default: the spec's, or images]."),
    click.option("--platform", multiple=True, help="What images are carried for; repeatable."),
    click.option("--all-platforms", is_flag=True, help="Carry every platform of every index."),
    click.option("--no-roles", is_flag=True, help="Carry the named images alone."),
    click.option(
        "--expires", type=click.DateTime(["%Y-%m-%d"]), help="Hosts refuse it after that."
    ),
    click.option(
        "--registries",
        type=click.Path(path_type=Path),
        envvar="AIRGAP_REGISTRIES",
        show_envvar=True,
        help="TOML file with mirrors, replacements, plain HTTP and CA files.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0.1),
        default=30.0,
        help="Seconds to wait for a registry.",
    ),
    click.option(
        "--retry-for",
        type=click.FloatRange(min=0),
        default=300.0,
        metavar="SECONDS",
        help="Bear with a failing registry for so long while nothing comes [default: 300].",
    ),
    click.option(
        "--jobs",
        "-j",
        type=click.IntRange(1, 64),
        default=4,
        show_default=True,
        help="Connections at once, at most; for blobs fewer where registries limit them.",
    ),
)


def request_options(command: _Command) -> _Command:
    """Gives a command the options that decide the request, and how registries are asked."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_request(  # noqa: PLR0913, PLR0917 - one parameter an option
    wanted: tuple[str, ...],
    name: str,
    platform: tuple[str, ...],
    all_platforms: bool,
    no_roles: bool,
    record: tuple[str, ...] = (),
    asked: RequestFile = _NOTHING,
) -> Request:
    """The request of specs, image names, builds to record and request files.

    Raises:
        UsageError: A spec, name or platform is not one.
    """
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
    elif named or record or asked != _NOTHING:
        specs.append(BundleSpec(images=named))
    if not specs:
        raise UsageError("nothing is asked for", remedy="name specs or images: --help has examples")
    if record:
        recordings = (*specs[0].recordings, *(parse_record(text) for text in record))
        specs[0] = replace(specs[0], recordings=recordings)
    if asked.images:
        images = tuple(ImageSpec(one.reference, one.platforms) for one in asked.images)
        specs.append(BundleSpec(host_platforms=specs[0].host_platforms, images=images))
    return make_request(
        specs,
        name=name,
        platforms=[parse_platform(text) for text in platform],
        with_roles=not no_roles,
        all_platforms=all_platforms,
        # What is built names images of its own.
        may_be_empty=bool(asked.urls or any(spec.recordings for spec in specs)),
    )


def read_deadline(expires: datetime | None) -> datetime | None:
    """The moment of `--expires`.

    Raises:
        UsageError: It is over.
    """
    deadline = expires.replace(tzinfo=UTC) if expires else None
    if deadline and deadline <= datetime.now(UTC):
        raise UsageError(f"--expires {deadline:%Y-%m-%d} is over: no host would take the bundle")
    return deadline


@contextmanager
def registry_client(
    registries: Path | None,
    timeout: float,
    retry_for: float,
    progress: Progress,
    asked: RequestFile = _NOTHING,
) -> Iterator[RegistryClient]:
    """What asks registries, as the options say; closed at the end.

    Args:
        registries: The file of registries, if there is one.
        timeout: Seconds to wait for a connection, and for each piece of an answer.
        retry_for: Seconds for which failures are retried while nothing comes.
        progress: Sees what is waited out.
        asked: What request files ask for: of this, only public addresses are connected to.

    Raises:
        UsageError: The file of registries is not one.
    """
    from airgap.connected.public_addresses import REFUSED, PublicAdapter
    from airgap.oci.credentials import Credentials
    from airgap.oci.registries import Registries, load_registries
    from airgap.oci.registry import RegistryClient

    config = load_registries(registries) if registries else Registries()
    client = RegistryClient(
        config,
        Credentials(),
        timeout=timeout,
        retry_for=retry_for,
        say=progress.message,
        foreign={image.reference.name for image in asked.images},
        public=lambda context: PublicAdapter(REFUSED, context, _CONNECTIONS),
    )
    with closing(client):
        yield client


def update_command(wanted: tuple[str, ...], lock: Path) -> str:
    """What a person types to lock the request of another command, for messages."""
    words = ["airgap", "update", *wanted]
    if lock != DEFAULT_PATH:
        words += ["--lock", str(lock)]
    return f"{shlex.join(words)} (and the other options of this command)"
