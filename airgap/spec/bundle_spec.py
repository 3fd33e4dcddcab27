"""Bundle specs: TOML files that say which images a bundle carries.

name = "arm64-builder"
platforms = ["linux/amd64", "linux/arm64"]    # what images are carried for
host_platforms = ["linux/amd64"]              # hosts the bundle serves
[roles]                                       # defaults are built in
builder = "moby/buildkit:buildx-stable-1"
[[images]]
name = "golang:alpine"
[[images]]
name = "ghcr.io/example/base:1"
platforms = ["linux/arm64"]
[[recordings]]                                # builds whose downloads are carried
context = "app"                               # a folder, as seen from the spec's
dockerfile = "Dockerfile"                     # as seen from the context
target = "release"
args = { VERSION = "1.2" }
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airgap.bounded import read_toml
from airgap.bundle.contents import ROLES, is_bundle_name
from airgap.disk import read_user_file
from airgap.errors import UsageError
from airgap.limits import LIMITS
from airgap.oci.platform import Platform, parse_platform
from airgap.oci.reference import Reference, parse_reference

DEFAULT_NAME = "images"
DEFAULT_PLATFORMS = (Platform("linux", "amd64"), Platform("linux", "arm64"))
DEFAULT_HOST_PLATFORMS = (Platform("linux", "amd64"),)
DEFAULT_ROLES: Mapping[str, str] = {
    "builder": "moby/buildkit:buildx-stable-1",
    "emulator": "tonistiigi/binfmt:latest",
    "registry": "registry:3",
    "buildx": "docker/buildx-bin:latest",
    "frontend": "docker/dockerfile:1",
}
DEFAULT_DOCKERFILE = "Dockerfile"
_KEYS = ("name", "platforms", "host_platforms", "roles", "images", "recordings")
_RECORDING_KEYS = ("name", "context", "dockerfile", "target", "args", "platforms")
_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SETTABLE_ROLES = tuple(role for role in ROLES if role != "base")


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One `[[images]]` entry. `platforms` is None where the spec's own hold."""

    reference: Reference
    platforms: tuple[Platform, ...] | None = None


@dataclass(frozen=True, slots=True)
class RecordingSpec:
    """A build that is recorded.

    Attributes:
        name: The recording's.
        context: The build's folder.
        dockerfile: As seen from `context`.
        target: The stage to build; empty for the last one.
        args: Build arguments; their values may be secret.
        platforms: What it is built for; None where the spec's own hold.
    """

    name: str
    context: Path
    dockerfile: str = DEFAULT_DOCKERFILE
    target: str = ""
    args: Mapping[str, str] = field(default_factory=dict, repr=False)
    platforms: tuple[Platform, ...] | None = None

    @property
    def dockerfile_path(self) -> Path:
        """Where the Dockerfile is."""
        return self.context / self.dockerfile


@dataclass(frozen=True, slots=True)
class BundleSpec:
    """One spec file, or what the command line says in its place.

    Attributes:
        name: The bundle's name.
        platforms: What images are carried for.
        host_platforms: Hosts that the bundle serves: what roles are carried for.
        roles: Role to reference, over the defaults.
        images: The images.
        recordings: Builds that are recorded.
    """

    name: str = DEFAULT_NAME
    platforms: tuple[Platform, ...] = DEFAULT_PLATFORMS
    host_platforms: tuple[Platform, ...] = DEFAULT_HOST_PLATFORMS
    roles: Mapping[str, Reference] = field(default_factory=dict)
    images: tuple[ImageSpec, ...] = ()
    recordings: tuple[RecordingSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class WantedImage:
    """An image with all that is wanted of it.

    Attributes:
        reference: Its name.
        platforms: Wanted; empty means all that its index has.
        named: Those of `platforms` that somebody asked for in this image's own entry or for its
            role: an image without an index that lacks one of them is an error too.
        roles: What it is for.
    """

    reference: Reference
    platforms: tuple[Platform, ...]
    named: tuple[Platform, ...]
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for in all, before any name is resolved. Recordings have their platforms."""

    name: str
    host_platforms: tuple[Platform, ...]
    images: tuple[WantedImage, ...]
    recordings: tuple[RecordingSpec, ...] = ()


def load_spec(path: Path) -> BundleSpec:
    """Read a spec file.

    Raises:
        UsageError: It cannot be read, or says something that is not allowed; the message names
            the file and the line or key.
    """
    data = read_user_file(path, LIMITS.spec_bytes, "the spec ")
    try:
        document = read_toml(data, LIMITS.spec_bytes)
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    return _read_spec(document, str(path))


def make_request(
    specs: Sequence[BundleSpec],
    *,
    name: str = "",
    platforms: Sequence[Platform] = (),
    with_roles: bool = True,
    all_platforms: bool = False,
    may_be_empty: bool = False,
) -> Request:
    """Put specs together: images are united, later roles win, the first name holds.

    Args:
        specs: At least one.
        name: Instead of the first spec's.
        platforms: Instead of every spec's own (not of those in an image's entry).
        with_roles: Whether the roles' images are carried.
        all_platforms: Carry every platform of every index.
        may_be_empty: Whether a bundle without images is meant.

    Raises:
        UsageError: Nothing is asked for, the name is not one, or two recordings have one name.
    """
    name = name or specs[0].name
    if not is_bundle_name(name):
        raise _not_a_name(name, "--name")
    hosts = tuple(dict.fromkeys(host for spec in specs for host in spec.host_platforms))
    by_reference: dict[Reference, WantedImage] = {}
    if with_roles:
        roles = {role: parse_reference(text) for role, text in DEFAULT_ROLES.items()}
        for spec in specs:
            roles |= spec.roles
        for role, reference in roles.items():
            _add(by_reference, WantedImage(reference, hosts, hosts, (role,)))
    for spec in specs:
        for image in spec.images:
            chosen = image.platforms or tuple(platforms) or spec.platforms
            _add(
                by_reference, WantedImage(image.reference, chosen, image.platforms or (), ("base",))
            )
    if not by_reference and not may_be_empty:
        raise UsageError("no image is asked for", remedy="name images, or give a spec")
    images = tuple(by_reference.values())
    if all_platforms:
        images = tuple(
            WantedImage(image.reference, (), image.named, image.roles) for image in images
        )
    return Request(name, hosts, images, _recordings_of(specs, tuple(platforms)))


def parse_record(text: str) -> RecordingSpec:
    """Read `PATH[:DOCKERFILE]`, the value of `--record`.

    A folder whose own name has a colon is meant where there is one.

    Raises:
        UsageError: There is no such folder or Dockerfile.
    """
    path, colon, dockerfile = text.rpartition(":")
    if not colon or Path(text).is_dir():
        path, dockerfile = text, DEFAULT_DOCKERFILE
    if not path or not dockerfile:
        raise UsageError(f"--record {text}: write PATH or PATH:DOCKERFILE")
    context = Path(path)
    recording = RecordingSpec(default_name(context, dockerfile), context, dockerfile)
    _check_recording(recording, f"--record {text}", "")
    return recording


def default_name(context: Path, dockerfile: str = DEFAULT_DOCKERFILE) -> str:
    """Return the name of a recording that nobody named, in letters that names may have.

    It is the folder's, and with what tells its Dockerfile from the usual one: `app-web` for
    `Dockerfile.web`.
    """
    name = context.resolve().name
    if dockerfile != DEFAULT_DOCKERFILE:
        name += f"-{dockerfile.removeprefix(f'{DEFAULT_DOCKERFILE}.')}"
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower())[:64].strip("._-")


def _recordings_of(
    specs: Sequence[BundleSpec], platforms: tuple[Platform, ...]
) -> tuple[RecordingSpec, ...]:
    """Return the recordings of all specs, each with its platforms."""
    found: dict[str, RecordingSpec] = {}
    for spec in specs:
        for recording in spec.recordings:
            chosen = recording.platforms or platforms or spec.platforms
            if recording.name in found:
                raise UsageError(
                    f"two recordings are named {recording.name}: of "
                    f"{found[recording.name].context} and {recording.context}",
                    remedy="name them in a spec: [[recordings]], name = …, context = …",
                )
            found[recording.name] = replace(recording, platforms=chosen)
    return tuple(found.values())


def unite_images(images: Iterable[WantedImage]) -> tuple[WantedImage, ...]:
    """Merge entries for the same image."""
    by_reference: dict[Reference, WantedImage] = {}
    for image in images:
        _add(by_reference, image)
    return tuple(by_reference.values())


def _add(by_reference: dict[Reference, WantedImage], image: WantedImage) -> None:
    """Unite two wishes for one image."""
    known = by_reference.get(image.reference)
    if known is None:
        by_reference[image.reference] = image
        return
    by_reference[image.reference] = WantedImage(
        image.reference,
        _merged(known.platforms, image.platforms),
        _merged(known.named, image.named),
        tuple(role for role in ROLES if role in (*known.roles, *image.roles)),
    )


def _merged(left: Iterable[Platform], right: Iterable[Platform]) -> tuple[Platform, ...]:
    return tuple(dict.fromkeys((*left, *right)))


def _read_spec(document: dict[str, Any], path: str) -> BundleSpec:
    _allow(document, _KEYS, path, "")
    name = document.get("name", DEFAULT_NAME)
    if not isinstance(name, str) or not is_bundle_name(name):
        raise _not_a_name(name, f"{path}: name")
    platforms = _platforms(document, path, "platforms")
    hosts = _platforms(document, path, "host_platforms")
    return BundleSpec(
        name,
        DEFAULT_PLATFORMS if platforms is None else platforms,
        DEFAULT_HOST_PLATFORMS if hosts is None else hosts,
        _roles(document.get("roles", {}), path),
        _images(document.get("images", []), path),
        _recordings(document.get("recordings", []), path),
    )


def _roles(value: object, path: str) -> dict[str, Reference]:
    if not isinstance(value, dict):
        raise UsageError(f"{path}: roles must be a table of role = image")
    _allow(value, _SETTABLE_ROLES, path, "roles.")
    return {role: _reference(text, path, f"roles.{role}") for role, text in value.items()}


def _images(value: object, path: str) -> tuple[ImageSpec, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise UsageError(f"{path}: images must be tables: write [[images]] and name = …")
    images = []
    for number, entry in enumerate(value, start=1):
        key = f"images[{number}]"
        _allow(entry, ("name", "platforms"), path, f"{key}.")
        reference = _reference(entry.get("name"), path, f"{key}.name")
        images.append(ImageSpec(reference, _platforms(entry, path, "platforms", f"{key}.")))
    return tuple(images)


def _recordings(value: object, path: str) -> tuple[RecordingSpec, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise UsageError(f"{path}: recordings must be tables: write [[recordings]] and context = …")
    if len(value) > LIMITS.recordings:
        raise UsageError(f"{path}: {LIMITS.recordings} recordings are the most")
    found: dict[str, RecordingSpec] = {}
    for number, entry in enumerate(value, start=1):
        prefix = f"recordings[{number}]."
        _allow(entry, _RECORDING_KEYS, path, prefix)
        recording = _recording(entry, path, prefix)
        if recording.name in found:
            raise UsageError(f"{path}: {prefix}name: {recording.name!r} is there twice")
        found[recording.name] = recording
    return tuple(found.values())


def _recording(table: Mapping[str, Any], path: str, prefix: str) -> RecordingSpec:
    if "context" not in table:
        raise UsageError(f"{path}: {prefix}context is missing", remedy="name the build's folder")
    context = Path(path).parent / _text(table, "context", path, prefix)
    dockerfile = _text(table, "dockerfile", path, prefix) or DEFAULT_DOCKERFILE
    recording = RecordingSpec(
        _text(table, "name", path, prefix)
        if "name" in table
        else default_name(context, dockerfile),
        context,
        dockerfile,
        _text(table, "target", path, prefix),
        _args(table.get("args", {}), path, f"{prefix}args"),
        _platforms(table, path, "platforms", prefix),
    )
    _check_recording(recording, path, prefix)
    return recording


def _check_recording(recording: RecordingSpec, path: str, prefix: str) -> None:
    """Refuse what cannot be built, before anything is asked for or written."""
    if not is_bundle_name(recording.name):
        raise UsageError(
            f"{path}: {prefix}name: {recording.name[:80]!r} cannot name a recording",
            remedy="use lower-case letters, digits, dots and dashes, such as my-app",
        )
    if recording.target and not _TARGET.fullmatch(recording.target):
        raise UsageError(f"{path}: {prefix}target: {recording.target[:80]!r} cannot name a stage")
    if not recording.context.is_dir():
        raise UsageError(f"{path}: {prefix}context: {recording.context} is not a folder")
    if not recording.dockerfile_path.is_file():
        raise UsageError(f"{path}: {prefix}dockerfile: there is no {recording.dockerfile_path}")


def _args(value: object, path: str, key: str) -> dict[str, str]:
    """Build arguments; messages never show a value."""
    if not isinstance(value, dict):
        raise UsageError(f"{path}: {key} must be a table of name = text")
    for name, text in value.items():
        if not _ARGUMENT.fullmatch(name):
            raise UsageError(f"{path}: {key}: {name[:80]!r} cannot name a build argument")
        if not isinstance(text, str):
            raise UsageError(f"{path}: {key}.{name} must be text: put it into quotation marks")
    return dict(value)


def _text(table: Mapping[str, Any], key: str, path: str, prefix: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or not value.isprintable():
        raise UsageError(f"{path}: {prefix}{key} must be text of one line")
    return value


def _reference(value: object, path: str, key: str) -> Reference:
    if not isinstance(value, str):
        raise UsageError(f"{path}: {key} must be an image reference, such as golang:alpine")
    try:
        return parse_reference(value)
    except UsageError as error:
        raise UsageError(f"{path}: {key}: {error.message}", remedy=error.remedy) from error


def _platforms(
    table: Mapping[str, Any], path: str, key: str, prefix: str = ""
) -> tuple[Platform, ...] | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise UsageError(f'{path}: {prefix}{key} must be a list such as ["linux/arm64"]')
    try:
        return tuple(dict.fromkeys(parse_platform(text) for text in value))
    except UsageError as error:
        raise UsageError(f"{path}: {prefix}{key}: {error.message}", remedy=error.remedy) from error


def _allow(table: Mapping[str, Any], keys: Sequence[str], path: str, prefix: str) -> None:
    unknown = sorted(set(table) - set(keys))
    if unknown:
        raise UsageError(
            f"{path}: unknown key {prefix}{unknown[0][:80]}",
            remedy=f"allowed here: {', '.join(keys)}",
        )


def _not_a_name(name: object, where: str) -> UsageError:
    return UsageError(
        f"{where}: {repr(name)[:80]} cannot name a bundle",
        remedy="use lower-case letters, digits, dots and dashes, such as arm64-builder",
    )
