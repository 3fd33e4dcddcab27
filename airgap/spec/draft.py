"""A bundle spec, drafted from what builds need, for a person to read and change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from airgap.bundle.contents import is_bundle_name
from airgap.dockerfile.scan import ImageNeed, Scan, unite
from airgap.errors import UsageError
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.spec.builds import Build
from airgap.spec.bundle_spec import (
    DEFAULT_DOCKERFILE,
    DEFAULT_NAME,
    DEFAULT_PLATFORMS,
    default_name,
)


def draft_spec(found: Sequence[tuple[Build, Scan]], folder: Path) -> str:
    """Return the text of a spec that carries all images, and records what else may be fetched.

    Args:
        found: Builds, each with what it needs.
        folder: Where the spec will lie: paths in it count from there.
    """
    platforms = tuple(
        dict.fromkeys(platform for build, _ in found for platform in build.options.platforms)
    )
    platforms = platforms or DEFAULT_PLATFORMS
    name = default_name(found[0][0].context or folder) if found else ""
    scan = unite(scan for _, scan in found)
    parts = [
        [
            f"name = {_text(name if is_bundle_name(name) else DEFAULT_NAME)}",
            f"platforms = {_list(platforms)}",
        ],
        *_images(scan.images, platforms),
        *_recordings(found, platforms, folder),
        [_comment(f"{hint.place}: {hint.text}: {hint.remedy}") for hint in scan.hints],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _images(needs: Iterable[ImageNeed], platforms: Sequence[Platform]) -> Iterable[Sequence[str]]:
    """Return a table for each image, with the places that name it."""
    by_reference: dict[Reference, list[ImageNeed]] = {}
    for need in needs:
        by_reference.setdefault(need.reference, []).append(need)
    for reference, ones in by_reference.items():
        needed = tuple(dict.fromkeys(platform for need in ones for platform in need.platforms))
        places = dict.fromkeys(f"{need.file}:{need.line}: {need.by}" for need in ones)
        lines = [*map(_comment, places), "[[images]]", f"name = {_text(reference.familiar)}"]
        if set(needed) != set(platforms):
            lines.append(f"platforms = {_list(needed)}")
        yield lines


def _recordings(
    found: Iterable[tuple[Build, Scan]], platforms: Sequence[Platform], folder: Path
) -> Iterable[Sequence[str]]:
    """Return a table for each build that may fetch something that is no image."""
    names: set[str] = set()
    for build, scan in found:
        if not scan.downloads:
            continue
        if build.context is None or build.dockerfile is None:
            yield [_comment(f"{build.file}: to record it, write its Dockerfile into a file")]
            continue
        if build.options.contexts:
            yield [_comment(f"{build.file}: not recorded, as its contexts cannot be given here")]
            continue
        options = build.options
        dockerfile = _relative(build.dockerfile, build.context)
        lines = [
            _comment(f"{build.file}: what its RUN and ADD lines fetch"),
            "[[recordings]]",
            f"name = {_text(_name(build, names))}",
            f"context = {_text(_relative(build.context, folder))}",
        ]
        if dockerfile != DEFAULT_DOCKERFILE:
            lines.append(f"dockerfile = {_text(dockerfile)}")
        if options.target:
            lines.append(f"target = {_text(options.target)}")
        if options.args:
            lines.append(f"args = {_table(options.args)}")
        if set(options.platforms) != set(platforms):
            lines.append(f"platforms = {_list(options.platforms)}")
        yield lines


def _name(build: Build, taken: set[str]) -> str:
    """Return a name that no other recording has."""
    folder = Path(build.name) if build.name else build.context or Path()
    stem = default_name(folder)
    stem = stem if is_bundle_name(stem) else DEFAULT_NAME
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem[:58]}-{number}"
    taken.add(name)
    return name


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()


def _list(values: Iterable[object]) -> str:
    return f"[{', '.join(_text(str(value)) for value in values)}]"


def _table(values: Mapping[str, str]) -> str:
    return f"{{ {', '.join(f'{_text(key)} = {_text(value)}' for key, value in values.items())} }}"


def _text(value: str) -> str:
    """Return a TOML string: JSON's, but for DEL, which TOML wants escaped."""
    return json.dumps(_shown(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return "# " + "".join(item if item.isprintable() else "�" for item in text)


def _shown(text: str) -> str:
    """Return what can be written as UTF-8: file names may be any bytes."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def write_draft(path: Path, text: str, *, force: bool) -> None:
    """Write a draft.

    Args:
        path: Where.
        text: The spec.
        force: Write over what is there.

    Raises:
        UsageError: There is a file already, or it cannot be written.
    """
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{path} is there already", remedy="choose another: -o FILE, or --force"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
