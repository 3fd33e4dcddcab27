"""Pushing the images to the site's registry, which then holds the mirror instead of this host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from airgap.bundle.contents import ImageEntry
from airgap.errors import HostError, NotFoundError, TrustError
from airgap.isolated.context import CheckResult, Context
from airgap.isolated.services import site_registry
from airgap.isolated.services.image_pusher import Push, PushTarget, Tally, head_targets, plan
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
        served: Served as they should be.
        lacking: Not so: to be pushed, or to be tagged.
        tagged: Those of them that get their tags, with what each means now.
        foreign: Images whose tag is not to be moved from what it means.
    """

    served: list[PushTarget]
    lacking: list[PushTarget]
    tagged: list[tuple[PushTarget, str]]
    foreign: list[PushTarget]


class PushStep(Step):
    """The registry that was named serves every image under its digest.

    Other hosts set its tags too: see `registry_tags`.
    """

    name = site_registry.STEP
    needs_docker = False

    def check(self, context: Context) -> CheckResult:
        """Ask the registry for every image, and for each of its platforms.

        During an install it records the tags that are correct: this host owns them too.
        """
        mirror = RegistryMirror.of(context.settings)
        if mirror is None:
            return CheckResult(True, "no registry was named: this host holds the images")
        seen = _look(context, mirror)
        if seen.lacking:
            few = _names(seen.lacking)
            return CheckResult(False, f"{mirror} lacks {len(seen.lacking)} images, such as {few}")
        if context.bundle is not None:
            own = [target for target in seen.served if target not in seen.foreign]
            _note(context, mirror, [(target, [target.digest]) for target in own])
        rewritten = sum(_is_rewritten(target) for target in seen.served)
        note = f", {rewritten} of them with rewritten indexes" if rewritten else ""
        if seen.foreign:
            note += f"; tags that others have set there: {_names(seen.foreign)}"
        return CheckResult(True, f"{mirror} serves {len(seen.served)} images{note}")

    def apply(self, context: Context) -> Mapping[str, int] | None:
        """Push what the registry does not have; each blob is read once from the medium."""
        mirror = RegistryMirror.of(context.settings)
        if mirror is None:
            return None
        seen = _look(context, mirror)
        known = {blob.digest: target.repository for target in seen.served for blob in target.blobs}
        push = Push(
            lambda pause: mirror.pusher(pause, context.progress.message),
            lambda digest: _read(context, digest),
            known,
            context.progress,
        )
        # Both, for who is killed on the way.
        _note(context, mirror, [(item, [before, item.digest]) for item, before in seen.tagged])
        tally = push.run(seen.lacking, seen.tagged)
        _note(context, mirror, [(item, [item.digest]) for item, _ in seen.tagged])
        _tell(context, mirror, seen.lacking, tally)
        return asdict(tally)

    def undo(self, context: Context) -> None:
        """Say what stays: the registry is not this host's."""
        for name in context.changes.of(self.name):
            mirror = RegistryMirror.called(name, None)
            context.progress.message(f"left as they are: the images in {mirror}")


def _look(context: Context, mirror: RegistryMirror) -> _Look:
    """Ask the registry for all of it."""
    noted = noted_tags(context.state)
    targets = [_target(context, mirror, image) for image in context.desired.images.values()]
    with mirror.looking() as client:
        found = head_targets(client, targets)
    look = _Look([], [], [], [])
    for target, seen in zip(targets, found, strict=True):
        moves = bool(target.image.reference.own_tag) and seen.tag != target.digest
        if moves and not _may_move(
            context, target, seen.tag, noted.get(_tag_of(mirror, target), [])
        ):
            look.foreign.append(target)
            moves = False
        if moves:
            look.tagged.append((target, seen.tag))
        (look.served if seen.whole and not moves else look.lacking).append(target)
    return look


def _may_move(context: Context, target: PushTarget, tag: str, noted: Sequence[str]) -> bool:
    """Return whether a tag is there not at all, or may be moved from what it means."""
    if not tag or tag in noted:
        return True
    return context.moves is not None and context.moves.allow(
        mirror_name(target.image.reference), tag
    )


def _note(
    context: Context, mirror: RegistryMirror, tags: Iterable[tuple[PushTarget, Sequence[str]]]
) -> None:
    """Note what tags of images mean."""
    if context.state.writable:
        own = {_tag_of(mirror, tag): each for tag, each in tags if tag.image.reference.own_tag}
        note_tags(context.state, own)


def _tag_of(mirror: RegistryMirror, target: PushTarget) -> str:
    """Return the name under which a tag is noted.

    In a flat layout images of several upstream hosts can have one tag, each at its time. What was
    set for one of them is somebody else's for the others.
    """
    reference = target.image.reference
    tag = f"{mirror.server}/{target.repository}:{reference.own_tag}"
    return f"{tag} of {mirror_host(reference.host)}" if mirror.flat else tag


def check_registry_moves(context: Context) -> None:
    """Check that the tags of a new bundle may be moved in the site's registry.

    Raises:
        TrustError: Others have set them.
        CredentialsError: Credentials are missing or wrong.
        UpstreamError: The registry is unreachable, or refuses.
    """
    mirror, moves = RegistryMirror.of(context.settings), context.moves
    if mirror is None or moves is None or not moves.required:
        return
    foreign = _look(context, mirror).foreign
    meant = moves.meant
    if refused := [name for name in foreign if mirror_name(name.image.reference) in meant]:
        raise TrustError(
            f"{mirror} has other images than this bundle, and than this host has set, for "
            f"{len(refused)} tags: {_names(refused)}",
            meaning="Another host may have included newer ones. Nothing was changed.",
            remedy="if this bundle's are the ones that you want: --allow-older",
        )


def _names(targets: Sequence[PushTarget]) -> str:
    """Return the names of some, for people."""
    few = [target.image.reference.familiar for target in targets[:_FEW]]
    return ", ".join(few) + (f" and {len(targets) - _FEW} more" if len(targets) > _FEW else "")


def _target(context: Context, mirror: RegistryMirror, image: ImageEntry) -> PushTarget:
    """Return what the registry is to hold, as it follows from what is here of an image."""
    return plan(
        image,
        _documents(context, image),
        b"".join(bytes(chunk) for chunk in _read(context, image.digest)),
        mirror.repository(image),
        rewrite=context.settings.rewrite_indexes,
        read=lambda digest: _read(context, digest),
    )


def _documents(context: Context, image: ImageEntry) -> Mapping[str, Manifest | Index]:
    """Return what is carried of an image: by this bundle, and by those before."""
    found: dict[str, Manifest | Index] = {}
    with suppress(NotFoundError):
        found |= context.state.mirror.manifests(image)
    if context.bundle is not None and image.digest in context.bundle.documents:
        found |= documents_of(image.digest, context.bundle.documents)
    if not found:
        raise HostError(
            f"{context.state.mirror.root} lacks the manifest of {image.reference.familiar}",
            remedy="restore it from its bundle: airgap install DIR --repair",
        )
    return found


def _read(context: Context, digest: str) -> Iterable[bytes | memoryview]:
    """Return the bytes of a blob, from the bundle that is being installed or of an earlier one."""
    if context.bundle is not None and digest in context.bundle.archive.blobs:
        archive = context.bundle.archive
        return archive.blob(archive.blobs[digest])
    return context.state.mirror.blob(digest)


def _is_rewritten(target: PushTarget) -> bool:
    return target.digest != target.image.digest


def _tell(
    context: Context, mirror: RegistryMirror, pushed: Sequence[PushTarget], tally: Tally
) -> None:
    say = context.progress.message
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
