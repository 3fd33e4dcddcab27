"""Pushing the images to somebody's registry, which then holds the mirror in place of this host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict

from airgap.bundle.archive import documents_of
from airgap.bundle.contents import ImageEntry
from airgap.errors import HostError, NotFoundError
from airgap.isolated import registry_mirror
from airgap.isolated.push import Push, Tally, Target, plan, unserved
from airgap.isolated.registry_mirror import RegistryMirror
from airgap.isolated.step import Finding, Step, Work
from airgap.oci.manifest import Index, Manifest
from airgap.progress import format_bytes


class PushStep(Step):
    """The registry that was named serves every image under its digest."""

    name = registry_mirror.STEP
    needs_docker = False

    def check(self, work: Work) -> Finding:
        """Asks the registry for every image, and for each of its platforms."""
        mirror = RegistryMirror.of(work.settings)
        if mirror is None:
            return Finding(True, "no registry was named: this host holds the images")
        targets = _targets(work, mirror)
        with mirror.looking() as client:
            missing = unserved(client, targets)
        if missing:
            name = missing[0].image.reference.familiar
            return Finding(False, f"{mirror} lacks {len(missing)} images, such as {name}")
        rewritten = sum(_is_rewritten(target) for target in targets)
        note = f", {rewritten} of them with rewritten indexes" if rewritten else ""
        return Finding(True, f"{mirror} serves {len(targets)} images{note}")

    def apply(self, work: Work) -> None:
        """Pushes what it lacks, each blob read once from the medium."""
        mirror = RegistryMirror.of(work.settings)
        if mirror is None:
            return
        targets = _targets(work, mirror)
        with mirror.looking() as client:
            missing = unserved(client, targets)
        work.changes.add(self.name, str(mirror))
        known = {
            blob.digest: target.repository
            for target in targets
            if target not in missing
            for blob in target.blobs
        }
        push = Push(
            lambda pause: mirror.pusher(pause, work.progress.message),
            lambda digest: _read(work, digest),
            known,
            work.progress,
        )
        tally = push.run(missing)
        work.counts[self.name] = asdict(tally)
        _tell(work, mirror, missing, tally)

    def undo(self, work: Work) -> None:
        """Says what stays: the registry is not this host's."""
        for name in work.changes.of(self.name):
            work.progress.message(f"left as they are: the images that were pushed to {name}")


def _targets(work: Work, mirror: RegistryMirror) -> list[Target]:
    """What the registry is to hold, as it follows from what is here of each image."""
    return [
        plan(
            image,
            _documents(work, image),
            b"".join(bytes(chunk) for chunk in _read(work, image.digest)),
            mirror.repository(image),
            rewrite=work.settings.rewrite_indexes,
        )
        for image in work.wanted.images.values()
    ]


def _documents(work: Work, image: ImageEntry) -> Mapping[str, Manifest | Index]:
    """What is carried of an image: by this bundle, and by those before."""
    found: dict[str, Manifest | Index] = {}
    with suppress(NotFoundError):
        found |= work.state.mirror.documents(image)
    if work.bundle is not None and image in work.bundle.signed.contents.images:
        found |= documents_of(image.digest, work.bundle.documents)
    if not found:
        raise HostError(
            f"{work.state.mirror.root} lacks the manifest of {image.reference.familiar}",
            remedy="install its bundle again",
        )
    return found


def _read(work: Work, digest: str) -> Iterable[bytes | memoryview]:
    """The bytes of a blob, from the bundle that is being installed or of an earlier one."""
    if work.bundle is not None and digest in work.bundle.archive.blobs:
        archive = work.bundle.archive
        return archive.blob(archive.blobs[digest])
    return work.state.mirror.blob(digest)


def _is_rewritten(target: Target) -> bool:
    return target.digest != target.image.digest


def _tell(work: Work, mirror: RegistryMirror, pushed: list[Target], tally: Tally) -> None:
    say = work.progress.message
    say(
        f"pushed {tally.pushed} blobs ({format_bytes(tally.bytes)}) to {mirror}; {tally.mounted} "
        f"were mounted there, {tally.skipped} were there already"
    )
    for target in filter(_is_rewritten, pushed):
        image = target.image
        name = image.reference.familiar
        say(f"{name} is {target.digest} in {mirror.server}, and {image.digest} upstream")
        if image.reference.digest:
            say(f"note: builds that name {name} do not find it under another digest")
