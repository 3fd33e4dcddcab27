"""Image references, normalised as Docker does.

Source of the rules: the grammar in distribution's `reference/reference.go` and the
normalisation in `reference/normalize.go`.

>>> reference = parse_reference("alpine")
>>> str(reference), reference.familiar
('docker.io/library/alpine:latest', 'alpine:latest')
>>> parse_reference("localhost:5000/team/app:1.2")
Reference(host='localhost:5000', repository='team/app', tag='1.2', digest='')
>>> parse_reference("Alpine")
Traceback (most recent call last):
airgap.errors.UsageError: 'Alpine' is not an image reference: ...
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.oci.digest import is_digest

DOCKER_HUB = "docker.io"
DEFAULT_TAG = "latest"

# Of host and repository together: newer Dockers count the repository alone, older ones do not.
_MAX_NAME = 255
_HOST = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
    r"|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A fully qualified image reference.

    Attributes:
        host: Registry host, with port where one was given (`docker.io`, `localhost:5000`).
        repository: Path on that host (`library/alpine`).
        tag: Empty where only a digest was given.
        digest: `sha256:HEX`, or empty.
    """

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        """Return the fully qualified text, `docker.io/library/alpine:latest`."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def name(self) -> str:
        """Host and repository, without tag and digest."""
        return f"{self.host}/{self.repository}"

    @property
    def familiar(self) -> str:
        """As people write it: `alpine:latest`, the shortest text that means this reference."""
        # Without its host, docker.io/example.com/app would be another image.
        if (self.host, self.repository) != _split_host(self.repository):
            return str(self)
        path = str(self).removeprefix(f"{DOCKER_HUB}/")
        official = path.removeprefix("library/")
        return path if "/" in official else official

    @property
    def own_tag(self) -> str:
        """The tag that an image of this name gets; empty with a digest, which alone names it."""
        return "" if self.digest else self.tag

    @property
    def target(self) -> str:
        """What a registry is asked for: the digest where there is one, else the tag."""
        return self.digest or self.tag


def parse_reference(text: str) -> Reference:
    """Read an image reference.

    Raises:
        UsageError: `text` is not one, or its digest is not sha256.
    """
    if _IMAGE_ID.fullmatch(text):
        raise _invalid(text, "it is an image ID")
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise _invalid(text, f"{digest!r} is not a sha256 digest (sha256: and 64 hex digits)")
    name, tag = _split_tag(rest)
    if tag is not None and not _TAG.fullmatch(tag):
        raise _invalid(text, f"{tag!r} is not a tag")
    host, repository = _split_host(name)
    if not _HOST.fullmatch(host):
        raise _invalid(text, f"{host!r} is not a registry host")
    if not is_repository(repository):
        raise _invalid(text, f"{repository!r} is not a repository (lower case, digits, . _ - /)")
    if len(host) + 1 + len(repository) > _MAX_NAME:
        raise _invalid(text, f"host and repository are longer than {_MAX_NAME} characters")
    return Reference(host, repository, tag or ("" if digest else DEFAULT_TAG), digest)


def is_repository(text: str) -> bool:
    """Return whether `text` is a repository's path on a host, such as `library/alpine`."""
    return all(_COMPONENT.fullmatch(part) for part in text.split("/"))


def _split_tag(text: str) -> tuple[str, str | None]:
    """Cut at the last colon, unless it belongs to the host's port."""
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        return text, None
    return name, tag


def _split_host(name: str) -> tuple[str, str]:
    """Return the first part is a host if it looks like one, else Docker Hub is meant."""
    first, slash, rest = name.partition("/")
    looks_like_host = "." in first or ":" in first or first == "localhost" or first.lower() != first
    if not slash or not looks_like_host:
        first, rest = DOCKER_HUB, name
    if first == "index.docker.io":
        first = DOCKER_HUB
    if first == DOCKER_HUB and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _invalid(text: str, why: str) -> UsageError:
    return UsageError(
        f"{text[:300]!r} is not an image reference: {why[:300]}",
        remedy="write it as for docker pull, such as alpine:3.20 or ghcr.io/org/app@sha256:…",
    )
