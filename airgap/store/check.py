"""Whether the store holds all that an image needs."""

from __future__ import annotations

from airgap.bundle import framing
from airgap.bundle.contents import ImageEntry
from airgap.oci.manifest import Index, Manifest
from airgap.store.store import Store


def problem_with(store: Store, image: ImageEntry, *, whole: bool = True) -> str:
    """What is missing of an image, in a few words; empty if nothing is.

    Sizes are compared; blobs are not hashed again.

    Args:
        store: The store.
        image: The image.
        whole: Its tag and layers are to be here too, and not only its manifests and configs.

    Raises:
        NotFoundError: Its manifest is not here.
        IntegrityError: A manifest was damaged on this disk.
    """
    name = image.reference.familiar
    if whole and not store.is_tagged(image):
        return f"{name} is not in the mirror"
    documents = store.documents(image)
    top = documents[image.digest]
    if isinstance(top, Index):
        held = {str(platform) for platform in framing.manifests_of(top, documents)}
        if missing := [platform for platform in image.platforms if platform not in held]:
            return f"{name} lacks {missing[0]}"
    for document in documents.values():
        blobs = document.blobs if isinstance(document, Manifest) else ()
        for blob in blobs if whole else blobs[:1]:
            if not store.has_blob(blob.digest, blob.size):
                return f"{name} lacks {blob.digest}"
    return ""
