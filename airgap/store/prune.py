"""Freeing what no kept image needs: first what makes it visible, then its bytes.

So a killed run, or a power cut, never leaves half an image that can be pulled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from airgap.bundle.contents import ImageEntry
from airgap.disk import nearest_existing, sync
from airgap.errors import NotFoundError
from airgap.oci.manifest import blobs_of
from airgap.progress import Progress
from airgap.store import layout
from airgap.store.store import Store


@dataclass(frozen=True, slots=True)
class Garbage:
    """What no kept image needs.

    Attributes:
        links: Files that make something readable, in the order in which they must go.
        blobs: Files with bytes.
        size: Of the blobs, in bytes.
    """

    links: Sequence[Path]
    blobs: Sequence[Path]
    size: int


def find_garbage(
    store: Store,
    images: Sequence[ImageEntry],
    unfinished: Sequence[ImageEntry] = (),
    blobs: Iterable[str] = (),
) -> Garbage:
    """Return what the store holds beyond what is kept.

    Args:
        store: Where; nobody may be writing to it.
        images: Those to keep, with their tags.
        unfinished: Those of which is kept what is here.
        blobs: Digests of further blobs to keep.

    Raises:
        NotFoundError: A manifest of an image to keep is missing, so that nobody knows what it
            needs.
        IntegrityError: It was damaged.
    """
    kept_links, kept_blobs = _kept(store, [*images, *_linked(store, unfinished)])
    kept_blobs |= {layout.blob_data(digest) for digest in blobs}
    links = [
        path
        for path in _files(store.root / layout.REPOSITORIES, "link")
        if path.read_text("ascii", "replace") not in kept_links.get(_relative(store, path), ())
    ]
    data = [
        path
        for path in _files(store.root / layout.BLOBS, "data")
        if _relative(store, path) not in kept_blobs
    ]
    return Garbage(sorted(links, key=_rank), data, sum(path.stat().st_size for path in data))


def prune(store: Store, found: Garbage, progress: Progress) -> None:
    """Delete the garbage.

    Args:
        store: Where.
        found: What `surplus` found there.
        progress: Sees the bytes that are freed.
    """
    progress.start("freeing what nobody needs", found.size)
    try:
        for _, links in groupby(found.links, _rank):
            folders = [_delete(path, store.root) for path in links]
            for folder in dict.fromkeys(folders):
                sync(nearest_existing(folder))
        for path in found.blobs:
            size = path.stat().st_size
            _delete(path, store.root)
            progress.advance(size)
    finally:
        progress.finish()


def _kept(store: Store, images: Sequence[ImageEntry]) -> tuple[dict[Path, set[str]], set[Path]]:
    """Of images to keep: link to the digests that it may hold, and the files of their blobs.

    Of several versions of one name all are kept, and the tag, whichever of them it means.
    """
    links: dict[Path, set[str]] = {}
    blobs: set[Path] = set()
    for image in images:
        documents = store.manifests(image)
        layers = blobs_of(documents)
        blobs |= {layout.blob_data(digest) for digest in (*documents, *layers)}
        for repository in layout.mirror_repositories(image.reference):
            own = [(layout.layer_link(repository, digest), digest) for digest in layers]
            own += [(layout.revision_link(repository, digest), digest) for digest in documents]
            if tag := image.reference.own_tag:
                own.append((layout.tag_index_link(repository, tag, image.digest), image.digest))
                own.append((layout.tag_link(repository, tag), image.digest))
            for path, digest in own:
                links.setdefault(path, set()).add(digest)
    return links, blobs


def _linked(store: Store, images: Sequence[ImageEntry]) -> list[ImageEntry]:
    """Return those whose manifest is here: without it nothing is linked, and no tag was moved."""
    linked = []
    for image in images:
        with suppress(NotFoundError):
            store.manifests(image)
            linked.append(image)
    return linked


def _files(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files of that name; a repository or a tag may be called so too."""
    return (path for path in folder.rglob(name) if path.is_file())


def _rank(path: Path) -> int:
    """Sort tags before manifests before layers. No repository name begins with `_`."""
    if "_layers" in path.parts:
        return 3
    if path.parts[-4] == "revisions":
        return 2
    return 0 if path.parts[-2] == "current" else 1


def _relative(store: Store, path: Path) -> Path:
    return path.relative_to(store.root)


def _delete(path: Path, root: Path) -> Path:
    """Delete a file, and the folders below `root` that are empty without it.

    Returns:
        The last folder that stands.
    """
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == root:
            break
        try:
            folder.rmdir()
        except OSError:  # it holds something else
            return folder
    return root
