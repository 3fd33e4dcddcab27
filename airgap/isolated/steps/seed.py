"""Seeding the mirror: the bundle's images in its storage, tags last."""

from __future__ import annotations

import shutil

from airgap.errors import AirgapError
from airgap.isolated.step import Finding, Step, Work
from airgap.store.check import problem_with
from airgap.store.seed import seed


class SeedStep(Step):
    """Brings the images of the bundle into the storage that the mirror serves."""

    name = "seed"

    def check(self, work: Work) -> Finding:
        """Every tag means its digest, and every blob that it needs is there in full."""
        images = work.wanted.images.values()
        for image in images:
            try:
                problem = problem_with(work.state.mirror, image)
            except AirgapError as error:
                problem = error.message
            if problem:
                return Finding(False, problem)
        return Finding(True, f"{len(images)} images")

    def apply(self, work: Work) -> None:
        """Reads each blob once from the medium, and writes it as its hash is computed.

        Without a medium the tags are set to what is in the storage.
        """
        store = work.state.mirror
        if work.bundle is not None:
            seed(store, work.bundle.archive, work.progress)
            return
        images = list(work.wanted.images.values())
        for image in images:
            store.link_image(image, store.documents(image))
        store.tag_images(images)

    def undo(self, work: Work) -> None:
        """Deletes the mirror's storage."""
        if work.state.mirror.root.exists():
            shutil.rmtree(work.state.mirror.root)
