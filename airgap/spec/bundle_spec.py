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
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airgap.bundle.contents import ROLES, is_bundle_name
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
_SETTABLE_ROLES = tuple(role for role in ROLES if role != "base")


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One `[[images]]` entry. `platforms` is None where the spec's own hold."""

    reference: Reference
    platforms: tuple[Platform, ...] | None = None


@dataclass(frozen=True, slots=True)
class BundleSpec:
    """One spec file, or what the command line says in its place.

    Attributes:
        name: The bundle's name.
        platforms: What images are carried for.
        host_platforms: Hosts that the bundle serves: what roles are carried for.
        roles: Role to reference, over the defaults.
        images: The images.
    """

    name: str = DEFAULT_NAME
    platforms: tuple[Platform, ...] = DEFAULT_PLATFORMS
    host_platforms: tuple[Platform, ...] = DEFAULT_HOST_PLATFORMS
    roles: Mapping[str, Reference] = field(default_factory=dict)
    images: tuple[ImageSpec, ...] = ()


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
    """What is asked for in all, before any name is resolved."""

    name: str
    host_platforms: tuple[Platform, ...]
    images: tuple[WantedImage, ...]


def load_spec(path: Path) -> BundleSpec:
    """Reads a spec file.

    Raises:
        UsageError: It cannot be read, or says something that is not allowed; the message names
            the file and the line or key.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LIMITS.spec_bytes + 1)
    except OSError as error:
        raise UsageError(f"cannot read the spec {path}: {error.strerror}") from error
    if len(data) > LIMITS.spec_bytes:
        raise UsageError(f"{path} is larger than {LIMITS.spec_bytes} bytes")
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    return _read_spec(document, str(path))


def make_request(
    specs: Sequence[BundleSpec],
    *,
    name: str = "",
    platforms: Sequence[Platform] = (),
    with_roles: bool = True,
    all_platforms: bool = False,
) -> Request:
    """Puts specs together: images are united, later roles win, the first name holds.

    Args:
        specs: At least one.
        name: In place of the first spec's.
        platforms: In place of every spec's own (not of those in an image's entry).
        with_roles: Whether the roles' images are carried.
        all_platforms: Carry every platform of every index.

    Raises:
        UsageError: Nothing is asked for, or the name is not one.
    """
    name = name or specs[0].name
    if not is_bundle_name(name):
        raise _not_a_name(name, "--name")
    hosts = tuple(dict.fromkeys(host for spec in specs for host in spec.host_platforms))
    wanted: dict[Reference, WantedImage] = {}
    if with_roles:
        roles = {role: parse_reference(text) for role, text in DEFAULT_ROLES.items()}
        for spec in specs:
            roles |= spec.roles
        for role, reference in roles.items():
            _add(wanted, WantedImage(reference, hosts, hosts, (role,)))
    for spec in specs:
        for image in spec.images:
            asked = image.platforms or tuple(platforms) or spec.platforms
            _add(wanted, WantedImage(image.reference, asked, image.platforms or (), ("base",)))
    if not wanted:
        raise UsageError("no image is asked for", remedy="name images, or give a spec")
    images = tuple(wanted.values())
    if all_platforms:
        images = tuple(
            WantedImage(image.reference, (), image.named, image.roles) for image in images
        )
    return Request(name, hosts, images)


def _add(wanted: dict[Reference, WantedImage], image: WantedImage) -> None:
    """Unites two wishes for one image."""
    known = wanted.get(image.reference)
    if known is None:
        wanted[image.reference] = image
        return
    wanted[image.reference] = WantedImage(
        image.reference,
        _united(known.platforms, image.platforms),
        _united(known.named, image.named),
        tuple(role for role in ROLES if role in (*known.roles, *image.roles)),
    )


def _united(left: Iterable[Platform], right: Iterable[Platform]) -> tuple[Platform, ...]:
    return tuple(dict.fromkeys((*left, *right)))


def _read_spec(document: dict[str, Any], path: str) -> BundleSpec:
    _allow(document, ("name", "platforms", "host_platforms", "roles", "images"), path, "")
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
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
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
