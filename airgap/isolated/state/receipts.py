"""Receipts: the install log of this host, as a hash chain, and what follows from it.

Each receipt is a file `receipts/NNNNNN.json` that holds the hash of the one before, and
`receipts/newest` holds that of the last one, so that a changed or missing one is noticed. A
bundle's own files are in `bundles/NAME-SERIAL/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from airgap import __version__
from airgap.bundle.checksums import CHECKSUMS_NAME, SIGNATURE_NAME, checksums
from airgap.bundle.contents import CONTENTS_NAME, TOOL_NAME, Contents, parse_contents
from airgap.bundle.verify import VerifiedBundle
from airgap.canonical import canonical, format_time, parse_time
from airgap.errors import AirgapError, TrustError
from airgap.isolated.host.files import write_file
from airgap.isolated.host.user import User
from airgap.isolated.state.layout import State
from airgap.isolated.state.requested_urls import Answers, keep_answers, kept_answers
from airgap.store.tags import tags_of
from airgap.trust.policy import SeenBundle

Verified = Literal["signature", "signature, --allow-older", "signature kept here"]
"""How a bundle was: with all rules, without that of age, or from what was kept of it."""

Action = Literal["begun", "installed", "rolled back", "dropped", "uninstalled"]

_NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One thing that was done.

    Attributes:
        previous: Hexadecimal sha256 of the receipt before; empty for the first.
        action: `begun` is written before an install changes anything. After `rolled back` and
            `dropped` a bundle does not count any more; the first undid it, the second did not.
        at: When, by this host's clock.
        by: The user.
        tool: Version of airgap.
        bundle: `NAME-SERIAL`; empty for an uninstall.
        digest: Of the bundle's `SHA256SUMS`.
        signers: Fingerprints of the trusted keys that signed it, when it was installed.
        verified: How that was found out, for people: one of `Verified`.
    """

    previous: str
    action: Action
    at: str
    by: str
    tool: str
    bundle: str = ""
    digest: str = ""
    signers: tuple[str, ...] = ()
    verified: str = ""


@dataclass(frozen=True, slots=True)
class ReceiptLog:
    """All receipts of a host.

    Attributes:
        state: Where they are kept, and the bundles' own files.
        receipts: The receipts, oldest first.
    """

    state: State
    receipts: tuple[Receipt, ...]

    @classmethod
    def read(cls, state: State) -> ReceiptLog:
        """Return the log that is kept in a state folder.

        Raises:
            TrustError: A receipt is missing, damaged or changed.
        """
        receipts: list[Receipt] = []
        # Read first: who reads without the lock may see receipts that were written since.
        newest, hashes, previous = _newest(state), [""], ""
        for number, path in enumerate(_files(state), start=1):
            data = path.read_bytes()
            receipt = _parse(path, data)
            if path.name != _name(number) or receipt.previous != previous:
                raise _broken(path)
            previous = hashlib.sha256(data).hexdigest()
            hashes.append(previous)
            receipts.append(receipt)
        # A kill after a receipt was written leaves the one before it named; before the first, none.
        if newest not in hashes or (not newest and len(receipts) > 1):
            raise _broken(state.receipts / _NEWEST)
        return cls(state, tuple(receipts))

    def rolled_back(self, last: Receipt) -> ReceiptLog:
        """Return the log as it will be after the rollback of a bundle.

        Args:
            last: The receipt of the bundle's install.
        """
        return replace(self, receipts=(*self.receipts, replace(last, action="rolled back")))

    def active(self, *, unfinished: bool = False) -> list[Receipt]:
        """Return the receipt of each bundle that makes up this host, in the order of their install.

        A bundle that was installed again after others counts where it was installed last, and
        where it was before once that is rolled back.

        Args:
            unfinished: Include bundles whose install did not end.
        """
        active: list[Receipt] = []
        for receipt in self.receipts:
            active = _APPLY[receipt.action](active, receipt)
        active = [item for item in active if unfinished or item.action == "installed"]
        last = {receipt.bundle: receipt for receipt in active}
        return [receipt for receipt in active if receipt is last[receipt.bundle]]

    def installed(self, *, unfinished: bool = False) -> list[Contents]:
        """Return the contents of the bundles of `active`.

        Args:
            unfinished: Include bundles whose install did not end.

        Raises:
            TrustError: A bundle's kept contents are missing or changed.
        """
        return [_kept_contents(self.state, item) for item in self.active(unfinished=unfinished)]

    def unfinished(self) -> Receipt | None:
        """Return the receipt of the last bundle, if its install did not end."""
        last = self.active(unfinished=True)[-1:]
        return last[0] if last and last[0].action == "begun" else None

    def ends_with(self, digest: str) -> bool:
        """Return whether the bundle with this digest is the last thing that was installed."""
        last = self.receipts[-1:]
        return bool(last) and (last[0].action, last[0].digest) == ("installed", digest)

    def history(self) -> list[SeenBundle]:
        """Return every bundle that was ever installed or begun here, oldest first.

        Raises:
            TrustError: A bundle's kept contents are missing or changed.
        """
        active = {receipt.digest for receipt in self.active()}
        seen = []
        for receipt in self.receipts:
            if receipt.action == "begun":
                contents = _kept_contents(self.state, receipt)
                answers = kept_answers(self.state, contents)
                bundle = seen_bundle(contents, receipt.digest, answers)
                seen.append(replace(bundle, stands=receipt.digest in active))
        return seen


def write_receipt(
    state: State,
    action: Action,
    signed: VerifiedBundle | None = None,
    verified: Verified = "signature",
    answers: Answers | None = None,
) -> None:
    """Add a receipt; for a bundle also keeps its contents and signature.

    Args:
        state: Where.
        action: What was done.
        signed: The bundle, unless it is an uninstall.
        verified: How the bundle was.
        answers: To what was requested, to be kept; None if they are kept already.
    """
    receipt = _new(state, action)
    if not _newest(state) and not receipt.previous:
        write_file(state.receipts / _NEWEST, b"")  # before there is a bundle: see `are_gone`
    if signed is not None:
        _keep_bundle(state, signed)
        if answers is not None:
            keep_answers(state, signed.contents, answers)
        receipt = replace(
            receipt,
            bundle=signed.contents.identity,
            digest=signed.digest,
            signers=tuple(key.fingerprint for key in signed.signers),
            verified=verified,
        )
    _add(state, receipt)


def are_gone(state: State) -> bool:
    """Return whether bundles were here, and no receipt says so."""
    if _files(state) or (state.receipts / _NEWEST).exists():
        return False
    return state.mirror.has_content() or any(state.bundles.glob("*"))


def retract(state: State, action: Literal["rolled back", "dropped"], earlier: Receipt) -> None:
    """Add a receipt after which a bundle does not count any more.

    Args:
        state: Where.
        action: Why.
        earlier: The receipt of its install.
    """
    receipt = _new(state, action)
    bundle, digest, signers = earlier.bundle, earlier.digest, earlier.signers
    _add(state, replace(receipt, bundle=bundle, digest=digest, signers=signers))


def quarantine(state: State) -> None:
    """Put broken receipts out of the way, so that a new chain can begin."""
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H%M%S.%f}"
    if state.receipts.exists():
        state.receipts.rename(state.root / f"receipts.broken-{moment}")


def seen_bundle(contents: Contents, digest: str, answers: Answers) -> SeenBundle:
    """Return what the rollback rules need to know of a bundle.

    Args:
        contents: Its contents.
        digest: Of its `SHA256SUMS`.
        answers: To what was requested.
    """
    tags = tags_of(contents.images)
    # These replace what an earlier bundle included, whatever tag the image has.
    for image in contents.images:
        tags |= {f"the {role}": image.digest for role in image.roles if role != "base"}
    tags |= {
        f"the recording {recording.name}": recording.digest for recording in contents.recordings
    }
    created = parse_time(contents.created)
    tool = next(file for file in contents.files if file.name == TOOL_NAME)
    parts = {f"airgap {contents.tool}": tool.sha256, **answers}
    return SeenBundle(contents.name, contents.serial, created, digest, tags, parts)


def _apply_begun(active: list[Receipt], receipt: Receipt) -> list[Receipt]:
    return active if _is_last(active, receipt) else [*active, receipt]


def _apply_installed(active: list[Receipt], receipt: Receipt) -> list[Receipt]:
    """Return an installation replaces its own beginning, and gives up those that never ended."""
    before = active[:-1] if _is_last(active, receipt) else active
    return [item for item in (*before, receipt) if item.action == "installed"]


def _apply_rolled_back(active: list[Receipt], receipt: Receipt) -> list[Receipt]:
    last = [item for item in active if item.bundle == receipt.bundle][-1:]
    return [item for item in active if item not in last]


def _apply_dropped(active: list[Receipt], receipt: Receipt) -> list[Receipt]:
    return [item for item in active if item.bundle != receipt.bundle]


def _apply_uninstalled(_active: list[Receipt], _receipt: Receipt) -> list[Receipt]:
    return []


_APPLY: Mapping[str, Callable[[list[Receipt], Receipt], list[Receipt]]] = {
    "begun": _apply_begun,
    "installed": _apply_installed,
    "rolled back": _apply_rolled_back,
    "dropped": _apply_dropped,
    "uninstalled": _apply_uninstalled,
}
"""What each action does to the receipts of the bundles that make up the host."""


def _is_last(active: list[Receipt], receipt: Receipt) -> bool:
    return bool(active) and active[-1].bundle == receipt.bundle


def _parse(path: Path, data: bytes) -> Receipt:
    try:
        document = json.loads(data)
        receipt = Receipt(**{**document, "signers": tuple(document["signers"])})
    except (ValueError, TypeError, KeyError) as error:
        raise _broken(path) from error
    if receipt.action not in get_args(Action):
        raise _broken(path)
    return receipt


def _new(state: State, action: Action) -> Receipt:
    """Return a receipt of now that names the one before."""
    files = _files(state)
    previous = hashlib.sha256(files[-1].read_bytes()).hexdigest() if files else ""
    at, by = format_time(datetime.now(UTC)), User.behind_this_process().name
    return Receipt(previous, action, at, by, __version__)


def _add(state: State, receipt: Receipt) -> None:
    data = canonical(asdict(receipt))
    write_file(state.receipts / _name(len(_files(state)) + 1), data)
    write_file(state.receipts / _NEWEST, hashlib.sha256(data).hexdigest().encode())


def _keep_bundle(state: State, signed: VerifiedBundle) -> None:
    folder = state.bundles / signed.contents.identity
    write_file(folder / CONTENTS_NAME, signed.contents.to_bytes())
    write_file(folder / SIGNATURE_NAME, signed.signature)
    write_file(folder / CHECKSUMS_NAME, signed.checksums)


def _kept_contents(state: State, receipt: Receipt) -> Contents:
    path = state.bundles / receipt.bundle / CONTENTS_NAME
    try:
        contents = parse_contents(path.read_bytes())
    except (OSError, AirgapError) as error:
        raise _broken(path) from error
    if f"sha256:{hashlib.sha256(checksums(contents)).hexdigest()}" != receipt.digest:
        raise _broken(path)
    return contents


def _newest(state: State) -> str:
    """Hexadecimal sha256 of the last receipt; empty where none was ever written."""
    try:
        return (state.receipts / _NEWEST).read_text("ascii", "replace")
    except FileNotFoundError:
        return ""


def _files(state: State) -> list[Path]:
    return sorted(state.receipts.glob("[0-9]*.json"))


def _name(number: int) -> str:
    return f"{number:06}.json"


def _broken(path: Path) -> TrustError:
    return TrustError(
        f"the install log is broken at {path}",
        meaning="It was changed or is damaged, so airgap cannot tell whether a bundle is older "
        "than the installed ones.",
        remedy="find out who changed it; then make a new log from the bundles that are kept: "
        "airgap doctor --fix",
    )
