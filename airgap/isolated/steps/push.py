"""Pushing the images to somebody's registry, which then holds the mirror in place of this host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from airgap.bundle.contents import ImageEntry
from airgap.errors import HostError, NotFoundError, TrustError
from airgap.isolated.context import CheckResult, Context
from airgap.isolated.services import site_registry
from airgap.isolated.services.image_pusher import Push, Tally, Target, plan, served
from airgap.isolated.services.site_registry import RegistryMirror
from airgap.isolated.state.registry_tags import note_tags, noted_tags
from airgap.isolated.steps.base import Step
from airgap.oci.image_tree import documents_of
from airgap.oci.manifest import Index, Manifest
from airgap.progress import format_bytes
from airgap.store.layout import mirror_host, mirror_name

_FEW = 3


@dataclass(frozen=True, slots=True)
class _Look:
    """What the registry holds of the images.

    Attributes:
        well: Served as they should be.
        lacking: Not so: to be pushed, or to be tagged.
        tagged: Those of them that get their tags, with what each means now.
        foreign: Images whose tag is not to be moved from what it means.
    """

    well: list[Target]
    lacking: list[Target]
    tagged: list[tuple[Target, str]]
    foreign: list[Target]


class PushStep(Step):
    """The registry that was named serves every image under its digest.

    Other hosts set its tags too: see `registry_tags`.
    """

    name = site_registry.STEP
    needs_docker = False

    def check(self, work: Context) -> CheckResult:
        """Asks the registry for every image, and for each of its platforms.

        In an install it notes the tags that are well: they are this host's too, whoever set them.
        """
        mirror = RegistryMirror.of(work.settings)
        if mirror is None:
            return CheckResult(True, "no registry was named: this host holds the images")
        seen = _look(work, mirror)
        if seen.lacking:
            few = _names(seen.lacking)
            return CheckResult(False, f"{mirror} lacks {len(seen.lacking)} images, such as {few}")
        if work.bundle is not None:
            own = [target for target in seen.well if target not in seen.foreign]
            _note(work, mirror, [(target, [target.digest]) for target in own])
        rewritten = sum(_is_rewritten(target) for target in seen.well)
        note = f", {rewritten} of them with rewritten indexes" if rewritten else ""
        if seen.foreign:
            note += f"; tags that others have set there: {_names(seen.foreign)}"
        return CheckResult(True, f"{mirror} serves {len(seen.well)} images{note}")

    def apply(self, work: Context) -> None:
        """Pushes what it lacks, each blob read once from the medium."""
        mirror = RegistryMirror.of(work.settings)
        if mirror is None:
            return
        seen = _look(work, mirror)
        known = {blob.digest: target.repository for target in seen.well for blob in target.blobs}
        push = Push(
            lambda pause: mirror.pusher(pause, work.progress.message),
            lambda digest: _read(work, digest),
            known,
            work.progress,
        )
        # Both, for who is killed on the way.
        _note(work, mirror, [(one, [before, one.digest]) for one, before in seen.tagged])
        tally = push.run(seen.lacking, seen.tagged)
        _note(work, mirror, [(one, [one.digest]) for one, _ in seen.tagged])
        work.counts[self.name] = asdict(tally)
        _tell(work, mirror, seen.lacking, tally)

    def undo(self, work: Context) -> None:
        """Says what stays: the registry is not this host's."""
        for name in work.changes.of(self.name):
            mirror = RegistryMirror.called(name, None)
            work.progress.message(f"left as they are: the images in {mirror}")


def _look(work: Context, mirror: RegistryMirror) -> _Look:
    """Asks the registry for all of it."""
    noted = noted_tags(work.state)
    targets = [_target(work, mirror, image) for image in work.wanted.images.values()]
    with mirror.looking() as client:
        found = served(client, targets)
    look = _Look([], [], [], [])
    for target, seen in zip(targets, found, strict=True):
        moves = bool(target.image.reference.own_tag) and seen.tag != target.digest
        if moves and not _may_move(work, target, seen.tag, noted.get(_tag_of(mirror, target), [])):
            look.foreign.append(target)
            moves = False
        if moves:
            look.tagged.append((target, seen.tag))
        (look.well if seen.whole and not moves else look.lacking).append(target)
    return look


def _may_move(work: Context, target: Target, tag: str, noted: Sequence[str]) -> bool:
    """Whether a tag is there not at all, or may be moved from what it means."""
    if not tag or tag in noted:
        return True
    return work.moves is not None and work.moves.allow(mirror_name(target.image.reference), tag)


def _note(
    work: Context, mirror: RegistryMirror, tags: Iterable[tuple[Target, Sequence[str]]]
) -> None:
    """Notes what tags of images mean."""
    if work.state.writable:
        own = {_tag_of(mirror, one): each for one, each in tags if one.image.reference.own_tag}
        note_tags(work.state, own)


def _tag_of(mirror: RegistryMirror, target: Target) -> str:
    """The name under which a tag is noted.

    In a flat layout images of several upstream hosts can have one tag, each at its time. What was
    set for one of them is somebody else's for the others.
    """
    reference = target.image.reference
    tag = f"{mirror.server}/{target.repository}:{reference.own_tag}"
    return f"{tag} of {mirror_host(reference.host)}" if mirror.flat else tag


def check_tags(work: Context) -> None:
    """The tags that a new bundle has to have in somebody's registry may be moved.

    Raises:
        TrustError: Others have set them.
        CredentialsError: Credentials are missing or wrong.
        UpstreamError: The registry is unreachable, or refuses.
    """
    mirror, moves = RegistryMirror.of(work.settings), work.moves
    if mirror is None or moves is None or not moves.required:
        return
    foreign = _look(work, mirror).foreign
    meant = moves.meant
    if refused := [one for one in foreign if mirror_name(one.image.reference) in meant]:
        raise TrustError(
            f"{mirror} has other images than this bundle, and than this host has set, for "
            f"{len(refused)} tags: {_names(refused)}",
            meaning="Another host may have brought newer ones. Nothing was changed.",
            remedy="if this bundle's are the ones that you want: --allow-older",
        )


def _names(targets: Sequence[Target]) -> str:
    """The names of some, for people."""
    few = [target.image.reference.familiar for target in targets[:_FEW]]
    return ", ".join(few) + (f" and {len(targets) - _FEW} more" if len(targets) > _FEW else "")


def _target(work: Context, mirror: RegistryMirror, image: ImageEntry) -> Target:
    """What the registry is to hold, as it follows from what is here of an image."""
    return plan(
        image,
        _documents(work, image),
        b"".join(bytes(chunk) for chunk in _read(work, image.digest)),
        mirror.repository(image),
        rewrite=work.settings.rewrite_indexes,
        read=lambda digest: _read(work, digest),
    )


def _documents(work: Context, image: ImageEntry) -> Mapping[str, Manifest | Index]:
    """What is carried of an image: by this bundle, and by those before."""
    found: dict[str, Manifest | Index] = {}
    with suppress(NotFoundError):
        found |= work.state.mirror.documents(image)
    if work.bundle is not None and image.digest in work.bundle.documents:
        found |= documents_of(image.digest, work.bundle.documents)
    if not found:
        raise HostError(
            f"{work.state.mirror.root} lacks the manifest of {image.reference.familiar}",
            remedy="bring it again from its bundle: airgap install DIR --repair",
        )
    return found


def _read(work: Context, digest: str) -> Iterable[bytes | memoryview]:
    """The bytes of a blob, from the bundle that is being installed or of an earlier one."""
    if work.bundle is not None and digest in work.bundle.archive.blobs:
        archive = work.bundle.archive
        return archive.blob(archive.blobs[digest])
    return work.state.mirror.blob(digest)


def _is_rewritten(target: Target) -> bool:
    return target.digest != target.image.digest


def _tell(work: Context, mirror: RegistryMirror, pushed: Sequence[Target], tally: Tally) -> None:
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
