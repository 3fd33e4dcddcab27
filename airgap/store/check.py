"""Whether the store holds all that an image needs."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from airgap.bundle.contents import ImageEntry
from airgap.oci.image_tree import carried_platforms
from airgap.oci.manifest import Index, Manifest
from airgap.progress import Progress
from airgap.store import layout
from airgap.store.store import Store

_WORKERS = 4


def check_image(
    store: Store, image: ImageEntry, *, whole: bool = True, tags: Collection[str] | None = None
) -> str:
    """Return what is missing of an image, in a few words; empty if nothing is.

    Sizes are compared; blobs are not hashed again.

    Args:
        store: The store.
        image: The image.
        whole: Its tag and layers are to be here too, and not only its manifests and configs.
        tags: Those of its tags that count, as `REPOSITORY:TAG`; all of them if None.

    Raises:
        NotFoundError: Its manifest is not here.
        IntegrityError: A manifest was damaged on this disk.
    """
    if whole and not store.is_tagged(image, tags):
        return f"{image.reference.familiar} is not in the mirror"
    return missing_parts(store, image, whole=whole)


def missing_parts(store: Store, image: ImageEntry, *, whole: bool = True) -> str:
    """Return the same, whatever its tag means."""
    name = image.reference.familiar
    documents = store.manifests(image)
    top = documents[image.digest]
    if isinstance(top, Index):
        held = carried_platforms(image.digest, documents)
        if missing := [platform for platform in image.platforms if platform not in held]:
            return f"{name} lacks {missing[0]}"
    for document in documents.values():
        configs = document.blobs[:1] if isinstance(document, Manifest) else ()
        for blob in document.blobs if whole else configs:
            if not store.has_blob(blob.digest, blob.size):
                return f"{name} lacks {blob.digest}"
    return ""


def damaged_blobs(store: Store, progress: Progress) -> list[Path]:
    """Return the files of blobs whose bytes are not what their digest says: all of them are hashed.

    Args:
        store: Where.
        progress: Sees the bytes that were read.
    """
    paths = sorted((store.root / layout.BLOBS).rglob("data"))
    progress.start(f"checking {store.root.name}", sum(path.stat().st_size for path in paths))

    def is_damaged(path: Path) -> bool:
        try:
            with path.open("rb") as file:
                damaged = hashlib.file_digest(file, "sha256").hexdigest() != path.parent.name
        except OSError:  # a sector that cannot be read
            damaged = True
        progress.advance(path.stat().st_size)
        return damaged

    try:
        with ThreadPoolExecutor(_WORKERS) as pool:
            verdicts: Iterator[bool] = pool.map(is_damaged, paths)
            return [path for path, damaged in zip(paths, verdicts, strict=True) if damaged]
    finally:
        progress.finish()
