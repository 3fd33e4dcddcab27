"""The host's decisions about a bundle: pure functions over data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from airgap.errors import TrustError
from airgap.limits import LIMITS
from airgap.trust.keys import PublicKey


@dataclass(frozen=True, slots=True)
class SeenBundle:
    """A bundle that this host has seen before.

    Attributes:
        name: The bundle's name.
        serial: Its serial.
        created: When it was made.
        digest: Of its `SHA256SUMS`.
        tags: What the bundle that was installed last decides: each tag as the mirror has it, to
            its digest; likewise `the builder` and the other roles, and `the recording NAME`.
        parts: What the bundle that was made last decides, whenever it was installed: `airgap
            VERSION`, and `the answer to URL` of each requested URL, to a hash of it.
        stands: Whether it is part of what the host has now.
    """

    name: str
    serial: int
    created: datetime
    digest: str
    tags: Mapping[str, str]
    parts: Mapping[str, str] = field(default_factory=dict)
    stands: bool = True


def signers(
    checksums: bytes, signatures: Sequence[bytes], keys: Sequence[PublicKey]
) -> tuple[PublicKey, ...]:
    """Return the trusted keys that signed, each counted once whatever files it signed in.

    Raises:
        TrustError: No key is trusted, there is no signature, or none is by a trusted key.
    """
    if not keys:
        raise TrustError(
            "this host trusts no key yet",
            meaning="Without one nobody can tell who made this bundle.",
            remedy="airgap trust add SITE.pub, or --trust SITE.pub, with a key that came "
            "another way than the medium",
        )
    if not signatures:
        raise TrustError(
            "the bundle has no signature (SHA256SUMS.sig)",
            meaning="No key signed it. Nothing of it was used.",
        )
    found: dict[str, PublicKey] = {}
    for key in keys:
        if any(key.signed(checksums, signature) for signature in signatures):
            found.setdefault(key.fingerprint, key)
    if not found:
        raise TrustError(
            "the bundle is not signed by a key that is trusted here "
            f"({', '.join(sorted(key.name for key in keys))})",
            meaning="It was signed by somebody else, or changed after signing. "
            "Nothing of it was used.",
            remedy="if the signer is right, take in the key: airgap trust add FILE",
        )
    return tuple(found.values())


def check_expiry(expires: datetime | None, now: datetime, history: Sequence[SeenBundle]) -> None:
    """Refuse an expired bundle.

    The clock of an isolated host may be slow: the newest bundle ever seen is its floor.

    Raises:
        TrustError: It has expired.
    """
    floor = max([now, *(known.created for known in history)])
    if expires is not None and expires < floor:
        raise TrustError(
            f"the bundle expired on {expires:%Y-%m-%d %H:%M} UTC",
            remedy="install a newer one",
        )


def check_created(created: datetime, now: datetime, history: Sequence[SeenBundle]) -> None:
    """Refuse a bundle that says it was made in the future.

    Every later bundle with a right date would count as older. A clock that was never set, or that
    is far behind a bundle of this host, says nothing about that.

    Raises:
        TrustError: The date is more than `LIMITS.ahead_seconds` after the clock.
    """
    latest = now + timedelta(seconds=LIMITS.ahead_seconds)
    is_set = now >= datetime.fromtimestamp(LIMITS.clock_seconds, UTC)
    # What it took before may be that far ahead of it, too.
    if is_set and created > latest and all(known.created <= latest for known in history):
        raise TrustError(
            f"the bundle was made on {created:%Y-%m-%d %H:%M} UTC, and the clock of this host says "
            f"{now:%Y-%m-%d %H:%M} UTC",
            meaning="One of the two clocks is wrong. If the bundle's is, every later bundle would "
            "count as older than this one.",
            remedy="set the clock of this host (date -s), or make the bundle again on a "
            "workstation with the right time",
        )


def check_rollback(
    candidate: SeenBundle, history: Sequence[SeenBundle], *, is_gone: bool, allow_older: bool
) -> None:
    """Refuse what would silently include back old images.

    Args:
        candidate: The bundle to install.
        history: Bundles that were installed (or begun), oldest first.
        is_gone: Whether bundles were installed here, and nothing tells which.
        allow_older: The operator asked for it.

    Raises:
        TrustError: The rule that is broken, with both bundles named.
    """
    for known in history:
        same = (known.name, known.serial) == (candidate.name, candidate.serial)
        if same and known.digest != candidate.digest:
            raise TrustError(
                f"another bundle {candidate.name} with the serial {candidate.serial} was "
                "installed before",
                meaning="Two different bundles never share name and serial: one is not genuine, "
                "or was made twice.",
                remedy="make it again, with a new serial",
            )
    if allow_older:
        return
    if is_gone and not history:
        raise TrustError(
            "bundles were installed here, but the install log is gone",
            meaning="airgap cannot tell whether this bundle is older than the installed ones.",
            remedy="to install it nevertheless: --allow-older",
        )
    check_tag_rollback(candidate, history)
    _check_parts(candidate, history)


def check_tag_rollback(candidate: SeenBundle, history: Sequence[SeenBundle]) -> None:
    """No tag may move to a bundle that was made before the one that set it."""
    for reference, digest in candidate.tags.items():
        setter = _setter(reference, history)
        if setter is None or setter.tags[reference] == digest:
            continue
        if candidate.created < setter.created:
            raise _goes_back(reference, setter, candidate)


def _check_parts(candidate: SeenBundle, history: Sequence[SeenBundle]) -> None:
    """No part may come back that a newer bundle has replaced, and that is not here any more.

    Where a newer bundle is here, its part counts, and the older one changes nothing.
    """
    newer = [known for known in history if known.created > candidate.created]
    for part, value in candidate.parts.items():
        having = [known for known in newer if part in known.parts]
        others = [known for known in having if known.parts[part] != value]
        if others and not any(known.stands for known in having):
            raise _goes_back(part, max(others, key=lambda known: known.created), candidate)


def _goes_back(what: str, setter: SeenBundle, candidate: SeenBundle) -> TrustError:
    return TrustError(
        f"{what} would go back to an older state: it was set by "
        f"{setter.name} {setter.serial} of {setter.created:%Y-%m-%d %H:%M}, and this "
        f"bundle is of {candidate.created:%Y-%m-%d %H:%M}",
        remedy="if that is what you want: --allow-older",
    )


def _setter(reference: str, history: Sequence[SeenBundle]) -> SeenBundle | None:
    """Return the newest bundle that set a tag's current digest; older ones may have set it too."""
    setters = [known for known in reversed(history) if reference in known.tags]
    same = takewhile(lambda known: known.tags[reference] == setters[0].tags[reference], setters)
    return max(same, key=lambda known: known.created, default=None)
