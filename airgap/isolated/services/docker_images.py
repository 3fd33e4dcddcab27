"""Images that we load into Docker: what is noted of them, so that none is left over or lost.

A name that we give to an image may have meant someone's own until then: that one is kept under a
name of ours, and has its own again when we take ours away. An image whose name a newer bundle has
moved stays in Docker without a name for as long as a container uses it.
"""

from __future__ import annotations

from dataclasses import replace

from airgap.bundle.contents import ImageEntry
from airgap.isolated.context import Context
from airgap.oci.digest import is_digest
from airgap.oci.reference import Reference, parse_reference

_STEP = "load"
# Before the name of an image, among the changes; no image is called so.
_KEPT = "kept="
# Before a name with a digest and an id: Docker's classic store keeps such an image without a name.
_UNNAMED = "unnamed="


def names(context: Context) -> list[str]:
    """Return the names that we gave to images in Docker."""
    noted = context.changes.of(_STEP)
    return [what for what in noted if not is_digest(what) and "=" not in what]


def record_loaded(context: Context, image: ImageEntry) -> None:
    """To be called before an image is loaded: its name may be someone's until then.

    Without its name it is known by its id; which one of those that it may have, Docker decides.

    Users who may not write to the state note nothing: what they load is theirs.
    """
    name = image.reference.familiar
    if not context.state.writable:
        return
    for id in sorted(context.engine_ids(image, None)):
        context.changes.add(_STEP, id if image.reference.own_tag else f"{_UNNAMED}{name} {id}")
    if name in names(context):
        return
    tagged = _tagged(image.reference)
    if image.reference.own_tag and context.engine.image_id(tagged):
        context.changes.add(_STEP, f"{_KEPT}{name}")
        context.engine.tag_image(tagged, _kept_name(image.reference))
    context.changes.add(_STEP, name)


def unload(context: Context, name: str) -> None:
    """Take a name that we gave away, and gives it back to what had it before.

    An image that a container uses keeps it, and what is noted with it. What somebody else has
    given that name to since is theirs.
    """
    ours = set(filter(is_digest, context.changes.of(_STEP)))
    reference = parse_reference(name)
    if not reference.own_tag:
        context.engine.remove_image(replace(reference, tag="").familiar)
        _drop_unnamed(context, name)
    elif context.engine.image_id(name) in ours:
        context.engine.remove_image(name)
    _drop_nameless(context)
    now = context.engine.image_id(name)
    if now in ours:
        return
    kept = _kept_name(reference)
    if not now and f"{_KEPT}{name}" in context.changes.of(_STEP) and context.engine.image_id(kept):
        context.engine.tag_image(kept, _tagged(reference))
        context.engine.remove_image(kept)
    context.changes.drop(_STEP, f"{_KEPT}{name}")
    context.changes.drop(_STEP, name)


def drop_unneeded(context: Context) -> None:
    """Remove from Docker what we loaded and no bundle needs any more, unless a container uses it.

    Users who may not write to the state change nothing: it could not be noted.
    """
    if not context.state.writable:
        return
    for name in names(context):
        if not context.desired.has(name):
            unload(context, name)
    _drop_nameless(context)


def unload_all(context: Context) -> None:
    """Remove all that we loaded."""
    for name in names(context):
        unload(context, name)
    _drop_nameless(context)


def _drop_nameless(context: Context) -> None:
    """Remove our images that have lost their names, but none that a user has named."""
    for id in filter(is_digest, context.changes.of(_STEP)):
        if context.engine.is_nameless(id):
            context.engine.remove_image(id)
        if not context.engine.image_id(id):
            context.changes.drop(_STEP, id)


def _drop_unnamed(context: Context, name: str) -> None:
    """Remove an image that was loaded only by digest, unless a user has named it."""
    start = f"{_UNNAMED}{name} "
    for noted in [what for what in context.changes.of(_STEP) if what.startswith(start)]:
        id = noted.removeprefix(start)
        if context.engine.is_nameless(id):
            context.engine.remove_image(id)
        context.changes.drop(_STEP, noted)


def _tagged(reference: Reference) -> str:
    """Return the name by which Docker knows it: a tag alone."""
    return replace(reference, digest="").familiar


def _kept_name(reference: Reference) -> str:
    return f"airgap-kept/{reference.name.replace(':', '_')}:{reference.tag}"
