"""Where the CNCF distribution registry keeps things on disk.

Source: `registry/storage/paths.go` in distribution, where the layout is documented.
"""

from __future__ import annotations

import re
from pathlib import Path

from airgap.oci.digest import hex_of
from airgap.oci.reference import DOCKER_HUB, Reference

_V2 = Path("docker/registry/v2")
BLOBS = _V2 / "blobs"
REPOSITORIES = _V2 / "repositories"


def blob_data(digest: str) -> Path:
    """Return a blob's bytes."""
    value = hex_of(digest)
    return BLOBS / f"sha256/{value[:2]}/{value}/data"


def new_blob(name: str) -> Path:
    """Return where a blob is written whose digest is not known yet."""
    return BLOBS / "new" / name


def layer_link(repository: str, digest: str) -> Path:
    """Make a blob readable through a repository."""
    return _repository(repository) / "_layers" / "sha256" / hex_of(digest) / "link"


def revision_link(repository: str, digest: str) -> Path:
    """Make a manifest or index readable through a repository."""
    return _repository(repository) / "_manifests" / "revisions" / "sha256" / hex_of(digest) / "link"


def tag_index_link(repository: str, tag: str, digest: str) -> Path:
    """Return one of the digests that a tag has had."""
    tags = _repository(repository) / "_manifests" / "tags" / tag
    return tags / "index" / "sha256" / hex_of(digest) / "link"


def tag_link(repository: str, tag: str) -> Path:
    """Return what a tag means now. Writing it publishes the image."""
    return _repository(repository) / "_manifests" / "tags" / tag / "current" / "link"


def mirror_host(host: str) -> str:
    """Return the first part of the path under which the mirror holds a host's repositories.

    It is never empty: `[::]` would else lead out of the store.
    """
    return re.sub(r"[^a-z0-9.-]+", "_", host.lower()).strip("_") or "0"


def mirror_repositories(reference: Reference) -> tuple[str, ...]:
    """Return the mirror's repositories that hold an image.

    The upstream host comes first in the path. Repositories of Docker Hub are there a second time
    without it, because dockerd's own mirror setting takes no path.
    """
    prefixed = f"{mirror_host(reference.host)}/{reference.repository}"
    if reference.host == DOCKER_HUB:
        return (prefixed, reference.repository)
    return (prefixed,)


def mirror_tags(reference: Reference) -> tuple[str, ...]:
    """Return each tag that an image of this name has in the mirror, as `REPOSITORY:TAG`.

    A name with a digest sets no tag.
    """
    tag = reference.own_tag
    return tuple(f"{name}:{tag}" for name in mirror_repositories(reference)) if tag else ()


def mirror_name(reference: Reference) -> str:
    """Return the one name of an image in the mirror: `REPOSITORY:TAG`, or `REPOSITORY@DIGEST`.

    Names that lead to one place there have the same: `DOCKER.IO/a/b:1` and `docker.io/a/b:1`.
    """
    end = f":{reference.own_tag}" if reference.own_tag else f"@{reference.digest}"
    return mirror_repositories(reference)[0] + end


def _repository(repository: str) -> Path:
    return REPOSITORIES / repository
