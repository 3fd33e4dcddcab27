"""What became of a lock: each image, and the rest, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airgap.spec.lock import Lock, LockedImage


@dataclass(frozen=True, slots=True)
class Change:
    """A value that is another one now."""

    what: str
    before: str
    after: str

    def __str__(self) -> str:
        """`expires never -> 2026-01-31T00:00:00Z`."""
        return f"{self.what} {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class ImageChange:
    """One image in the lock before (None where it is new) and after (None where it is gone)."""

    name: str
    before: LockedImage | None
    after: LockedImage | None

    @property
    def kind(self) -> str:
        """`new`, `gone`, `changed` or `unchanged`."""
        if self.before is None:
            return "new"
        if self.after is None:
            return "gone"
        return "unchanged" if self.before == self.after else "changed"

    @property
    def came(self) -> tuple[str, ...]:
        """Platforms that are carried now and were not."""
        return _without(_platforms(self.after), _platforms(self.before))

    @property
    def went(self) -> tuple[str, ...]:
        """Platforms that were carried and are not now."""
        return _without(_platforms(self.before), _platforms(self.after))

    @property
    def digests(self) -> tuple[str, str]:
        """Before and after, empty where there is none."""
        return (
            self.before.digest if self.before else "",
            self.after.digest if self.after else "",
        )

    @property
    def requests(self) -> tuple[Change, ...]:
        """What is asked for differently: platforms and roles."""
        if self.before is None or self.after is None:
            return ()
        pairs = (
            ("wanted", self.before.wanted, self.after.wanted),
            ("roles", self.before.roles, self.after.roles),
        )
        return tuple(
            Change(what, ", ".join(old) or "all", ", ".join(new) or "all")
            for what, old, new in pairs
            if old != new
        )


def image_changes(before: Lock | None, after: Lock) -> tuple[ImageChange, ...]:
    """Return every image: those of the new lock in its order, then those that are gone."""
    known = {image.name: image for image in before.images} if before else {}
    stayed = [ImageChange(image.name, known.pop(image.name, None), image) for image in after.images]
    gone = [ImageChange(name, image, None) for name, image in known.items()]
    return (*stayed, *gone)


def other_changes(before: Lock | None, after: Lock) -> tuple[Change, ...]:
    """Return what differs besides images; nothing where there was no lock."""
    if before is None:
        return ()
    changes = [
        Change("name", before.name, after.name),
        Change("expires", before.expires or "never", after.expires or "never"),
        Change("host platforms", ", ".join(before.host_platforms), ", ".join(after.host_platforms)),
        Change("airgap", before.tool.version, after.tool.version),
        Change("airgap.pyz", before.tool.sha256[:12], after.tool.sha256[:12]),
    ]
    return tuple(change for change in changes if change.before != change.after)


def _platforms(image: LockedImage | None) -> tuple[str, ...]:
    return image.platforms if image else ()


def _without(texts: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    return tuple(text for text in texts if text not in others)
