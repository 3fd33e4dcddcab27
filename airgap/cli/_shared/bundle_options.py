"""The options that `airgap bundle` and `airgap update` share: what to include, and from where."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from airgap.cli._shared.option_group import OptionGroup
from airgap.errors import UsageError
from airgap.oci.platform import parse_platforms
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
from airgap.spec.ready_made import ready_made
from airgap.spec.request_file import RequestFile

if TYPE_CHECKING:
    from airgap.oci.registry import RegistryClient
    from airgap.progress import Progress

_NOTHING = RequestFile()
_CONNECTIONS = 10
# How the files end that builds are described in: their names look like images of Docker Hub.
_BUILD_FILES = ("Dockerfile", ".yaml", ".yml", ".hcl", ".json")


@dataclass(frozen=True)
class RequestOptions(OptionGroup):
    """What a bundle must contain.

    Attributes:
        references: Paths of specs, names of images.
        name: The bundle's name; empty for the first spec's.
        platform: Platforms to include, as they were written.
        all_platforms: Include every platform of every index.
        no_roles: Include the named images alone.
        expires: The last day of the bundle.
    """

    references: tuple[str, ...]
    name: str
    platform: tuple[str, ...]
    all_platforms: bool
    no_roles: bool
    expires: datetime | None


@dataclass(frozen=True)
class RegistryOptions(OptionGroup):
    """How registries are asked.

    Attributes:
        registries: The registries file.
        timeout: Seconds to wait for a connection, and for each piece of a response.
        retry_for: Seconds without progress after which a registry is given up.
        jobs: The largest number of connections at once.
    """

    registries: Path | None
    timeout: float
    retry_for: float
    jobs: int


request_options = RequestOptions.add(
    "selection",
    (
        click.argument("references", metavar="[SPEC…] [IMAGE…]", nargs=-1),
        click.option(
            "--name", default="", help="Name of the bundle [default: the spec's, or images]."
        ),
        click.option(
            "--platform",
            multiple=True,
            metavar="PLATFORM,…",
            help="Include images for these platforms; repeatable.",
        ),
        click.option("--all-platforms", is_flag=True, help="Include every platform of each index."),
        click.option(
            "--no-roles", is_flag=True, help="Include the named images without a builder's parts."
        ),
        click.option(
            "--expires",
            type=click.DateTime(["%Y-%m-%d"]),
            help="Hosts refuse the bundle after this day [default: never].",
        ),
    ),
)
registry_options = RegistryOptions.add(
    "registry",
    (
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
            help="Seconds to wait for a registry [default: 30].",
        ),
        click.option(
            "--retry-for",
            type=click.FloatRange(min=0),
            default=300.0,
            metavar="SECONDS",
            help="Keep retrying a failing registry until this many seconds pass without progress "
            "[default: 300].",
        ),
        click.option(
            "--jobs",
            "-j",
            type=click.IntRange(1, 64),
            default=4,
            show_default=True,
            help="Largest number of connections; fewer for blobs where registries limit them.",
        ),
    ),
)


def read_request(
    options: RequestOptions, record: Sequence[str] = (), request_file: RequestFile = _NOTHING
) -> Request:
    """Return the request of specs, image names, builds to record and request files.

    Args:
        options: Names, platforms and specs.
        record: Builds to record, as they were written.
        request_file: What hosts asked for.

    Raises:
        UsageError: A spec, name or platform is not valid.
    """
    specs = _specs(options.references, is_needed=bool(record) or request_file != _NOTHING)
    if record:
        recordings = (*specs[0].recordings, *(parse_record(text) for text in record))
        specs[0] = replace(specs[0], recordings=recordings)
    if request_file.images:
        images = tuple(ImageSpec(item.reference, item.platforms) for item in request_file.images)
        specs.append(BundleSpec(host_platforms=specs[0].host_platforms, images=images))
    return make_request(
        specs,
        name=options.name,
        platforms=parse_platforms(options.platform),
        with_roles=not options.no_roles,
        all_platforms=options.all_platforms,
        # What is built names images of its own.
        may_be_empty=bool(request_file.urls or any(spec.recordings for spec in specs)),
    )


def _specs(references: Sequence[str], *, is_needed: bool) -> list[BundleSpec]:
    """Return the specs that are named, and one for the images that are named."""
    known = ready_made()
    paths = {text: known.get(text, Path(text)) for text in references}
    specs = [_load(path) for path in paths.values() if path.suffix == ".toml"]
    names = [text for text, path in paths.items() if path.suffix != ".toml"]
    for name in names:
        _refuse_path(name)
    images = tuple(ImageSpec(parse_reference(name)) for name in names)
    if images and specs:
        # Images named beside specs are included for the platforms of the first spec.
        first = specs[0]
        specs.append(
            BundleSpec(
                platforms=first.platforms, host_platforms=first.host_platforms, images=images
            )
        )
    elif images or is_needed:
        specs.append(BundleSpec(images=images))
    if not specs:
        raise UsageError("nothing to bundle", remedy="name specs or images: --help has examples")
    return specs


def _load(path: Path) -> BundleSpec:
    if not path.exists():
        remedy = f"ready-made specs are named without a path: {', '.join(ready_made())}"
        raise UsageError(f"there is no spec {path}", remedy=remedy)
    return load_spec(path)


def _refuse_path(text: str) -> None:
    """Refuse the path of something that is built, where an image is expected.

    Raises:
        UsageError: `text` is a folder or a Dockerfile, bake or compose file.
    """
    path = Path(text)
    if not (text.startswith((".", "/", "~")) or text.endswith(_BUILD_FILES)):
        return
    shown = shlex.quote(text)
    raise UsageError(
        f"{text!r} is a path, and an image name or SPEC.toml is expected",
        meaning="`airgap bundle` includes images. It builds a Dockerfile to include what that "
        "downloads.",
        remedy=f"to record its build: airgap bundle --record {_folder_and_file(path)} …\n"
        f"     to see what it needs: airgap scan {shown}\n"
        f"     to write a spec for it: airgap init {shown}",
    )


def _folder_and_file(path: Path) -> str:
    """Return a path as `--record` takes it: the folder, and the file unless it is a Dockerfile."""
    if path.name == "Dockerfile":
        path = path.parent
    elif path.name.endswith(_BUILD_FILES):
        return shlex.quote(f"{path.parent}:{path.name}")
    return shlex.quote(str(path))


def read_deadline(expires: datetime | None) -> datetime | None:
    """Return the moment of `--expires`.

    Raises:
        UsageError: It has passed.
    """
    deadline = expires.replace(tzinfo=UTC) if expires else None
    if deadline and deadline <= datetime.now(UTC):
        raise UsageError(
            f"--expires {deadline:%Y-%m-%d} is in the past: every host would reject the bundle"
        )
    return deadline


@contextmanager
def registry_client(
    options: RegistryOptions, progress: Progress, request_file: RequestFile = _NOTHING
) -> Iterator[RegistryClient]:
    """Open the client that asks registries; it is closed at the end.

    Args:
        options: How registries are asked.
        progress: Sees each retry.
        request_file: What hosts asked for: for its images only public addresses are used.

    Raises:
        UsageError: The registries file is not valid.
    """
    from airgap.connected.public_addresses import REFUSED, PublicAdapter
    from airgap.oci.credentials import Credentials
    from airgap.oci.registries import Registries, load_registries
    from airgap.oci.registry import RegistryClient
    from airgap.oci.retry import once_per_cause

    config = load_registries(options.registries) if options.registries else Registries()
    client = RegistryClient(
        config,
        Credentials(),
        timeout=options.timeout,
        retry_for=options.retry_for,
        say=once_per_cause(progress.message),
        foreign={image.reference.name for image in request_file.images},
        public=lambda context: PublicAdapter(REFUSED, context, _CONNECTIONS),
    )
    with closing(client):
        yield client


def update_command(references: Sequence[str], lock: Path) -> str:
    """Return the command that locks the request of another command, for messages."""
    words = ["airgap", "update", *references]
    if lock != DEFAULT_PATH:
        words += ["--lock", str(lock)]
    return f"{shlex.join(words)} (and the other options of this command)"
