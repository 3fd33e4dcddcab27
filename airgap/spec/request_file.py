"""`airgap-request.toml`: what builds lacked where there is no network, to be fetched elsewhere.

[[images]]
name = "golang:alpine"
platforms = ["linux/arm64"]
[[urls]]
url = "https://example.com/app.tar.gz"
accept = "*/*"                                 # headers of the build, where it sent them
range = "bytes=0-99"
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from platformdirs import user_cache_path

from airgap.bounded import read_toml
from airgap.disk import read_regular, write_atomic
from airgap.errors import UsageError, translate_write_errors
from airgap.limits import LIMITS
from airgap.oci.platform import Platform, parse_platform
from airgap.oci.reference import Reference, parse_reference
from airgap.ownership import open_locked
from airgap.spec import toml

DEFAULT_PATH = Path("airgap-request.toml")

# The first lines quote the file's name: it may need six times what a name may have.
_NAME_CHARACTERS = 2048

_Entry = TypeVar("_Entry")

_URL = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[1-9][0-9]{0,4})?/[!-~]*")
_VISIBLE = re.compile(r"[!-~]+")
# What redaction leaves in the place of a secret in a query, and of a build argument's value.
_SECRET = re.compile(r"(?<![A-Za-z0-9])REDACTED(?![A-Za-z0-9])")
_ARGUMENT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)%?\}")
_HEADER = re.compile(r"[\t -~\x80-\xff]*")


@dataclass(frozen=True, slots=True)
class RequestedImage:
    """An image that was missing, and what it was missing for: at least one platform."""

    reference: Reference
    platforms: tuple[Platform, ...]


@dataclass(frozen=True, slots=True)
class RequestedUrl:
    """An answer that no recording had.

    Attributes:
        url: As it may be shown: without secrets, and without values of build arguments.
        accept: The header's value without secrets, or nothing.
        range: The header's value without secrets, or nothing.
    """

    url: str
    accept: str = ""
    range: str = ""

    @property
    def obstacle(self) -> str:
        """Why the URL cannot be asked for as it is, and what to do; nothing if it can be."""
        if any(map(_SECRET.search, (self.url, self.accept, self.range))):
            return "a secret was taken out of it: record the build, with airgap bundle --record"
        if names := dict.fromkeys(_ARGUMENT.findall(self.url)):
            return f"write the value of the build argument {' and '.join(names)} into its place"
        return ""

    @property
    def is_well_formed(self) -> bool:
        """Whether a request file may have it: what a build sends may be anything."""
        texts = (self.url, self.accept, self.range)
        pattern = _VISIBLE if self.obstacle else _URL
        return (
            all(len(text) <= LIMITS.url_characters for text in texts)
            and pattern.fullmatch(self.url) is not None
            and all(_HEADER.fullmatch(text) for text in texts[1:])
        )


@dataclass(frozen=True, slots=True)
class RequestFile:
    """All that is asked for: each image and each URL once."""

    images: tuple[RequestedImage, ...] = ()
    urls: tuple[RequestedUrl, ...] = ()

    def merge(self, other: RequestFile) -> RequestFile:
        """Return this, and what the other asks for besides."""
        platforms: dict[Reference, tuple[Platform, ...]] = {}
        for image in (*self.images, *other.images):
            known = platforms.get(image.reference, ())
            platforms[image.reference] = tuple(dict.fromkeys((*known, *image.platforms)))
        images = tuple(RequestedImage(*item) for item in platforms.items())
        return RequestFile(images, tuple(dict.fromkeys((*self.urls, *other.urls))))

    def to_toml(self, name: str = str(DEFAULT_PATH)) -> str:
        """Return the text of the file.

        Args:
            name: The file's, for the command in its first lines.
        """
        command = f"airgap bundle --request {shlex.quote(name)} --no-roles --key site.key -o DIR"
        # No name of a file ends a comment.
        shown = "".join(item if item.isprintable() else "?" for item in command)
        parts = [f"# What builds lacked. To fetch it, where there is a network:\n#   {shown}\n"]
        parts += map(_image_text, self.images)
        parts += map(_url_text, self.urls)
        return "\n".join(parts)


def load_request(path: Path) -> RequestFile:
    """Read a request file.

    Raises:
        UsageError: It cannot be read, or says something that is not allowed; the message names
            the file and the key, and shows no URL.
    """
    try:
        data = _read(path)
    except OSError as error:
        raise UsageError(f"cannot read the request {path}: {error.strerror}") from error
    return _parse(data, str(path))


def add_to_request(path: Path, missing: RequestFile) -> RequestFile:
    """Write what is missing to a request file, besides what it asks for already.

    Args:
        path: The file; it need not be there. A link in its place is replaced, never followed.
        missing: What to add; URLs that no file may have, or for which it has no room, are left
            out.

    Returns:
        What the file asks for now.

    Raises:
        UsageError: There is a file that is no request, or it would be too large.
        SpaceError: The disk is full.
        HostError: It cannot be written.
    """
    urls = tuple(url for url in missing.urls if url.is_well_formed)
    with translate_write_errors(path, remedy="choose another folder"), _held():
        known = _parse(_read(path, os.O_NOFOLLOW), str(path)) if _is_file(path) else None
        whole = (known or RequestFile()).merge(RequestFile(missing.images))
        whole = whole.merge(RequestFile((), tuple(_fitting(whole, urls))))
        data = whole.to_toml(path.name).encode()
        _parse(data, str(path))  # so that nothing is written that cannot be read
        write_atomic(path, data)
    return whole


@contextmanager
def _held() -> Iterator[None]:
    """Let only one build of this user at a time add to request files.

    The lock is not in the folder of the file, where other users could hold it.
    """
    cache = user_cache_path("airgap")
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = open_locked(cache / "request.lock", fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def _is_file(path: Path) -> bool:
    """Return whether there is a file, and no link to one."""
    return path.is_file() and not path.is_symlink()


def _read(path: Path, flags: int = 0) -> bytes:
    """Return the bytes of a file, up to one more than there may be.

    Raises:
        OSError: It cannot be read, or is no file.
    """
    return read_regular(path, LIMITS.request_bytes + 1, flags)


def _fitting(known: RequestFile, urls: Iterable[RequestedUrl]) -> Iterator[RequestedUrl]:
    """Yield the URLs for which a file has room beside what it asks for already."""
    room = LIMITS.request_bytes - len(known.to_toml("x" * _NAME_CHARACTERS).encode())
    for url in urls:
        room -= len(_url_text(url).encode()) + 1
        if room >= 0:
            yield url


def _parse(data: bytes, path: str) -> RequestFile:
    if len(data) > LIMITS.request_bytes:
        raise UsageError(
            f"{path} is larger than {LIMITS.request_bytes} bytes",
            remedy="fetch what it asks for, and begin a new one",
        )
    try:
        document = read_toml(data, LIMITS.request_bytes)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not TOML: it is not UTF-8") from error
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    _allow(document, ("images", "urls"), path, "")
    return RequestFile().merge(
        RequestFile(
            tuple(_entries(document, "images", path, _image)),
            tuple(_entries(document, "urls", path, _url)),
        )
    )


def _entries(
    document: Mapping[str, Any],
    key: str,
    path: str,
    read: Callable[[Mapping[str, Any], str], _Entry],
) -> Iterator[_Entry]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise UsageError(f"{path}: {key} must be tables: write [[{key}]]")
    for number, entry in enumerate(value, start=1):
        yield read(entry, f"{path}: {key}[{number}]")


def _image(table: Mapping[str, Any], where: str) -> RequestedImage:
    _allow(table, ("name", "platforms"), where, ".")
    name, platforms = table.get("name"), table.get("platforms")
    if not isinstance(name, str):
        raise UsageError(f"{where}.name must be an image reference, such as golang:alpine")
    if not isinstance(platforms, list) or not platforms:
        raise UsageError(f'{where}.platforms must be a list such as ["linux/arm64"]')
    if not all(isinstance(platform, str) for platform in platforms):
        raise UsageError(f'{where}.platforms must be a list such as ["linux/arm64"]')
    try:
        found = dict.fromkeys(map(parse_platform, platforms))
        return RequestedImage(parse_reference(name), tuple(found))
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", remedy=error.remedy) from error


def _url(table: Mapping[str, Any], where: str) -> RequestedUrl:
    _allow(table, ("url", "accept", "range"), where, ".")
    texts = [table.get("url"), table.get("accept", ""), table.get("range", "")]
    for key, text in zip(("url", "accept", "range"), texts, strict=True):
        if not isinstance(text, str):
            raise UsageError(f"{where}.{key} must be text")
    url = RequestedUrl(*texts)
    if not url.is_well_formed:
        raise UsageError(
            f"{where} cannot be asked for",
            meaning="A URL is http or https, without user and password, the host in lower case, "
            "and a path; headers are of one line.",
            remedy="write it as in https://example.com/file.tar.gz",
        )
    return url


def _allow(table: Mapping[str, Any], keys: Sequence[str], where: str, prefix: str) -> None:
    unknown = sorted(set(table) - set(keys))
    if unknown:
        raise UsageError(
            f"{where}{prefix or ': '}{unknown[0][:80]} is an unknown key",
            remedy=f"allowed here: {', '.join(keys)}",
        )


def _image_text(image: RequestedImage) -> str:
    platforms = toml.texts(map(str, image.platforms))
    return f"[[images]]\nname = {toml.text(image.reference.familiar)}\nplatforms = {platforms}\n"


def _url_text(url: RequestedUrl) -> str:
    headers = (("accept", url.accept), ("range", url.range))
    lines = [f"url = {toml.text(url.url)}\n"]
    lines += [f"{key} = {toml.text(value)}\n" for key, value in headers if value]
    note = f"# Not fetched as it is: {url.obstacle}.\n" if url.obstacle else ""
    return "".join(["[[urls]]\n", note, *lines])
