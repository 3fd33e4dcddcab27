"""Pushing images to the site's registry, straight from the medium: no copy is made before.

First blobs, each read once; then manifests, then indexes, all under their digests, and last the
tags. What is finished is skipped by the next run, and no tag changes before all else is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TypeVar

from airgap.bundle.contents import ImageEntry, broken
from airgap.errors import UpstreamError
from airgap.oci.digest import digest_of
from airgap.oci.errors import if_too_deep
from airgap.oci.image_tree import documents_of, heights
from airgap.oci.manifest import Descriptor, Index, Manifest, blobs_of, filter_index
from airgap.oci.push_client import Blob, BlobOutcome, PushClient, RefusedError
from airgap.parallel import run_all
from airgap.progress import Progress

_CONNECTIONS = 4
# How registries refuse an index that names what they lack.
_SPARSE = (400, 404, 422)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

Read = Callable[[str], Iterable[bytes | memoryview]]
"""The bytes of a blob by its digest, the last ones only if it holds."""


@dataclass(frozen=True, slots=True)
class PushTarget:
    """An image as a registry is to hold it.

    Attributes:
        image: The image.
        repository: Its path there.
        body: The bytes of its index or manifest.
        levels: Of an index, the manifests and indexes below it that are carried: first those
            that name no others, then those that name only what came before.
        blobs: Configs, layers, and entries of indexes that are blobs.
        left_out: How many entries its indexes name that are not carried.
        rewritten: Digest to bytes of the indexes below it that are other than upstream.
    """

    image: ImageEntry
    repository: str
    body: bytes
    levels: tuple[tuple[Descriptor, ...], ...]
    blobs: tuple[Descriptor, ...]
    left_out: int
    rewritten: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """All manifests and indexes below it that are carried."""
        return tuple(child for level in self.levels for child in level)

    @property
    def digest(self) -> str:
        """Of the body: the image's own, unless it was rewritten."""
        return digest_of(self.body)

    @property
    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(blob.size for blob in self.blobs)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a push came to: blobs, and bytes of those that went out."""

    pushed: int = 0
    mounted: int = 0
    skipped: int = 0
    bytes: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.pushed + other.pushed,
            self.mounted + other.mounted,
            self.skipped + other.skipped,
            self.bytes + other.bytes,
        )


def plan(
    image: ImageEntry,
    documents: Mapping[str, Manifest | Index],
    body: bytes,
    repository: str,
    *,
    rewrite: bool,
    read: Read | None = None,
) -> PushTarget:
    """Return what a registry is to hold of an image.

    Args:
        image: The image.
        documents: Digest to manifest or index, of all that is carried of it.
        body: The bytes of its index or manifest.
        repository: Its path in the registry.
        rewrite: Its indexes are to name nothing that is not carried.
        read: Gives the bytes of indexes below it, which are read only to be rewritten.
    """
    part = documents_of(image.digest, documents)
    blobs = tuple(blobs_of(part).values())
    left_out = sum(len(_lacking(item, part)) for item in part.values())
    moved: dict[str, bytes] = {}
    if rewrite and left_out:
        moved = _rewritten(part, {image.digest: body}, read or (lambda _: ()))
    return PushTarget(
        image,
        repository,
        moved.get(image.digest, body),
        _levels(image.digest, part, moved),
        blobs,
        0 if rewrite else left_out,
        {digest_of(new): new for old, new in moved.items() if old != image.digest},
    )


def _lacking(document: Manifest | Index, documents: Mapping[str, Manifest | Index]) -> list[str]:
    """Return the digests that an index names and no bundle includes."""
    if not isinstance(document, Index):
        return []
    held = {*documents, *(blob.digest for blob in document.blobs)}
    return [entry.digest for entry in document.manifests if entry.digest not in held]


def _rewritten(
    documents: Mapping[str, Manifest | Index], bodies: Mapping[str, bytes], read: Read
) -> dict[str, bytes]:
    """Digest to new bytes, of the indexes that name what is not carried or another such index."""
    moved: dict[str, bytes] = {}
    for digest, document in reversed(list(documents.items())):
        if not isinstance(document, Index):
            continue
        lacks = _lacking(document, documents)
        if lacks or any(entry.digest in moved for entry in document.manifests):
            body = bodies.get(digest) or b"".join(bytes(chunk) for chunk in read(digest))
            kept = {entry.digest for entry in document.manifests}.difference(lacks)
            moved[digest] = filter_index(body, kept, moved)
    return moved


def _levels(
    digest: str, documents: Mapping[str, Manifest | Index], moved: Mapping[str, bytes]
) -> tuple[tuple[Descriptor, ...], ...]:
    """Return the documents below an image as its registry gets them; see `Target`."""
    named = {
        entry.digest: entry
        for document in documents.values()
        for entry in (document.manifests if isinstance(document, Index) else ())
    }
    found: dict[int, list[Descriptor]] = {}
    for item, height in heights(documents).items():
        if item != digest:
            new = moved.get(item)
            about = replace(named[item], media_type=documents[item].media_type)
            if new is not None:
                about = replace(about, digest=digest_of(new), size=len(new))
            found.setdefault(height, []).append(about)
    return tuple(tuple(reversed(found[height])) for height in sorted(found))


def check_tag_collisions(targets: Sequence[PushTarget]) -> None:
    """Check that no two images get one tag: `HOST:1/x` and `HOST_1/x` share a path.

    Raises:
        IntegrityError: Two images would have one tag.
    """
    first: dict[tuple[str, str], PushTarget] = {}
    for target in targets:
        tag = target.image.reference.own_tag
        other = first.setdefault((target.repository, tag), target)
        if tag and other.image.digest != target.image.digest:
            raise broken(
                f"{other.image.name} and {target.image.name} would both be {target.repository}"
            )


@dataclass(frozen=True, slots=True)
class ServedTarget:
    """How a registry serves an image.

    Attributes:
        whole: Under its digest, with all that is carried of an index.
        tag: The digest that its tag means there; empty if the registry has no such tag.
    """

    whole: bool
    tag: str


def head_targets(client: PushClient, targets: Sequence[PushTarget]) -> list[ServedTarget]:
    """Return how a registry serves images, in their order.

    Raises:
        CredentialsError: Credentials are missing or wrong.
        UpstreamError: The registry is unreachable, or refuses.
    """

    def look(target: PushTarget) -> ServedTarget:
        name = target.image.reference.own_tag
        tag = client.head_manifest(target.repository, name) if name else ""
        digests = {target.digest, *(child.digest for child in target.children)} - {tag}
        whole = all(client.head_manifest(target.repository, digest) == digest for digest in digests)
        return ServedTarget(whole, tag)

    return run_all(look, targets, _CONNECTIONS, Event())


class Push:
    """One push of images.

    Args:
        connect: Makes the client, given what waits between tries.
        read: Where the bytes come from.
        known: Digest of a blob to a repository of that registry that has it.
        progress: Sees the bytes that go out.
    """

    def __init__(
        self,
        connect: Callable[[Callable[[float], object]], PushClient],
        read: Read,
        known: Mapping[str, str],
        progress: Progress,
    ) -> None:
        self._stop = Event()
        self._client = connect(self._pause)
        self._read, self._progress = read, progress
        self._known = dict(known)
        self._seen: set[str] = set()

    def run(self, targets: Sequence[PushTarget], tagged: Sequence[tuple[PushTarget, str]]) -> Tally:
        """Push images; those that the registry may refuse begin with the smallest.

        Args:
            targets: What it lacks of them is pushed.
            tagged: Those of them whose tags are set, with the digest that each meant when that
                was decided; empty for none.

        Raises:
            IntegrityError: A blob is not what its digest says; no tag was changed.
            HostError: The medium cannot be read.
            CredentialsError: Credentials are missing or wrong.
            UpstreamError: The registry is unreachable, or refuses; what was finished is kept.
        """
        check_tag_collisions(targets)
        sizes = {blob.digest: blob.size for target in targets for blob in target.blobs}
        self._progress.start("pushing", sum(sizes.values()))
        sparse = sorted((item for item in targets if item.left_out), key=lambda target: target.size)
        try:
            self._check_repositories(targets, tagged)
            # So that a refusal of such indexes comes before much has gone out.
            tally = self._push(sparse[:1]) + self._push(
                [target for target in targets if target not in sparse[:1]]
            )
            self._each(self._tag, tagged)
        finally:
            self._progress.finish()
            self._client.close()
        return tally

    def _check_repositories(
        self, targets: Sequence[PushTarget], tagged: Sequence[tuple[PushTarget, str]]
    ) -> None:
        """Have the registry make the repositories that it may lack, before anything is sent.

        Raises:
            UpstreamError: It does not make them; all of them are named.
        """
        known = {*self._known.values(), *(item.repository for item, before in tagged if before)}
        unknown = sorted({target.repository for target in targets} - known)
        takes = self._each(self._client.takes, unknown)
        missing = [name for name, there in zip(unknown, takes, strict=True) if not there]
        if missing:
            raise _lacks(self._client.server, missing)

    def _push(self, targets: Sequence[PushTarget]) -> Tally:
        """Everything but the tags."""
        places: dict[str, _Placed] = {}
        for target in targets:
            for blob in target.blobs:
                placed = places.setdefault(blob.digest, _Placed(blob))
                placed.repositories.setdefault(target.repository)
        largest_first = sorted(places.values(), key=lambda placed: -placed.blob.size)
        tallies = self._each(self._push_blob, largest_first)
        for number in range(max((len(target.levels) for target in targets), default=0)):
            children = {
                (target.repository, child.digest): (child, target)
                for target in targets
                for child in (target.levels[number] if number < len(target.levels) else ())
            }
            self._each(self._push_child, list(children.items()))
        self._each(self._push_top, targets)
        return sum(tallies, Tally())

    def _push_blob(self, placed: _Placed) -> Tally:
        blob = Blob(placed.blob.digest, placed.blob.size, self._chunks(placed.blob.digest))
        tally = Tally()
        for repository in placed.repositories:
            # Of further repositories a few requests are all there is to see.
            sent = _unseen if blob.digest in self._seen else self._progress.advance
            self._seen.add(blob.digest)
            source = self._known.get(blob.digest, "")
            way = self._client.push_blob(
                repository, blob, source if source != repository else "", sent
            )
            self._known[blob.digest] = repository
            tally += _counted(way, blob.size)
        return tally

    def _push_child(self, item: tuple[tuple[str, str], tuple[Descriptor, PushTarget]]) -> None:
        (repository, digest), (child, target) = item
        if self._client.head_manifest(repository, digest) != digest:
            new = target.rewritten.get(digest)
            body = new or b"".join(bytes(chunk) for chunk in self._chunks(digest)())
            self._put_document(target, digest, child.media_type, body)

    def _push_top(self, target: PushTarget) -> None:
        if self._client.head_manifest(target.repository, target.digest) != target.digest:
            self._put_document(target, target.digest, target.image.media_type, target.body)

    def _tag(self, item: tuple[PushTarget, str]) -> None:
        target, before = item
        tag = target.image.reference.own_tag
        now = self._client.head_manifest(target.repository, tag)
        if now == target.digest:
            return
        if now != before:
            raise UpstreamError(
                f"somebody else has just set {tag} of {target.repository} in {self._client.server}",
                meaning="It may be newer, and was left alone.",
                remedy="run the same command again",
            )
        try:
            self._client.push_manifest(target.repository, tag, target.image.media_type, target.body)
        except RefusedError as error:
            raise _refuses_tag(self._client.server, target, before, error) from error

    def _put_document(self, target: PushTarget, digest: str, media_type: str, body: bytes) -> None:
        try:
            self._client.push_manifest(target.repository, digest, media_type, body)
        except RefusedError as error:
            if target.left_out and error.status in _SPARSE:
                raise _refuses_sparse(self._client.server, target, error) from error
            raise

    def _chunks(self, digest: str) -> Callable[[], Iterator[bytes | memoryview]]:
        def chunks() -> Iterator[bytes | memoryview]:
            for chunk in self._read(digest):
                self._check_stop()
                yield chunk

        return chunks

    def _each(self, work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
        return run_all(work, items, _CONNECTIONS, self._stop)

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise CancelledError


@dataclass(slots=True)
class _Placed:
    """A blob, and the repositories that are to have it, in order."""

    blob: Descriptor
    repositories: dict[str, None] = field(default_factory=dict)


def _counted(way: BlobOutcome, size: int) -> Tally:
    if way is BlobOutcome.PUSHED:
        return Tally(pushed=1, bytes=size)
    return Tally(mounted=1) if way is BlobOutcome.MOUNTED else Tally(skipped=1)


def _unseen(_count: int) -> None:
    """Ignore progress that is not shown."""


def _refuses_sparse(server: str, target: PushTarget, error: RefusedError) -> UpstreamError:
    image = target.image
    left_out = ", ".join(image.omitted) or f"{target.left_out} entries"
    return UpstreamError(
        f"{server} does not take the index of {image.reference.familiar}, whose bundle leaves out "
        f"{left_out} ({error.said})",
        meaning=error.words.with_meaning(
            "This registry wants all that an index names. No tag was changed."
        ),
        remedy="make the bundle with --all-platforms; or have indexes rewritten, to other digests: "
        "airgap install DIR --rewrite-indexes; or have the registry take them: on distribution 3, "
        "set validation.manifests.indexes.platforms to none; on olareg, give --api-sparse-index",
    )


def _refuses_tag(
    server: str, target: PushTarget, before: str, error: RefusedError
) -> UpstreamError:
    """Return the error for a tag that a registry does not let us set, when all else is there."""
    tag = target.image.reference.tag
    name = f"{target.repository}:{tag}"
    there = f"The image is there under its digest, {target.digest}."
    if not before:
        return UpstreamError(
            f"{server} does not take the tag {name} ({error.said})",
            meaning=error.words.with_meaning(there),
            remedy=f"ask who runs {server} which tags it takes from this account",
        )
    return UpstreamError(
        f"{server} does not let the tag {name} be moved ({error.said})",
        meaning=error.words.with_meaning(f"The tag means {before} there. {there}"),
        remedy=f"if a rule makes tags immutable in {server}: exempt this one, or delete the tag "
        "there; then run the same command again",
    )


def _lacks(server: str, missing: Sequence[str]) -> UpstreamError:
    """Return the error for repositories that a registry does not have, and does not make."""
    names = "\n  ".join(missing)
    return UpstreamError(
        f"{server} lacks {len(missing)} repositories, and does not create them:\n  {names}",
        meaning="Some registries want repositories, or the project above them, to be created "
        "first. Nothing was pushed.",
        remedy="create each of them there (Amazon ECR: aws ecr create-repository "
        "--repository-name NAME; Harbor: the project is the first name), then run the same "
        f"command again{if_too_deep(missing[0])}",
    )
