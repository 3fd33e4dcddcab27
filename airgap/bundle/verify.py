"""From media to contents that may be believed, and the full check of every byte.

>>> from pathlib import Path
>>> from airgap.bundle.contents import FileEntry
>>> from tempfile import TemporaryDirectory
>>> from airgap.trust.keys import generate
>>> names = ("images.tar", "tool/airgap.pyz", "README.txt")
>>> files = tuple(FileEntry(name, size=1, sha256=64 * "0") for name in names)
>>> created, hosts = "2026-01-01T00:00:00Z", ("linux/arm64",)
>>> contents = Contents("tools", 1, created, "", "0.1.0", hosts, (), (), files)
>>> site, stranger = generate("site", "ed25519"), generate("stranger", "ed25519")
>>> temporary = TemporaryDirectory()
>>> folder = Path(temporary.name)
>>> for name, data in {
...     CONTENTS_NAME: contents.to_bytes(),
...     CHECKSUMS_NAME: checksums(contents),
...     SIGNATURE_NAME: site.sign(checksums(contents)),
... }.items():
...     _ = (folder / name).write_bytes(data)
>>> read_signed(Media([folder]), [site.public]).contents.identity
'tools-1'
>>> read_signed(Media([folder]), [stranger.public])
Traceback (most recent call last):
airgap.errors.TrustError: ...
>>> temporary.cleanup()
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event

from airgap.bundle.archive import Archive
from airgap.bundle.checksums import CHECKSUMS_NAME, SIGNATURE_NAME, checksums, contents_digest
from airgap.bundle.contents import CONTENTS_NAME, Contents, broken, parse_contents
from airgap.bundle.file_check import damaged, digest_of_file, open_whole
from airgap.bundle.media import Media, read_small
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.tar_reader import TarReader
from airgap.limits import LIMITS
from airgap.progress import Progress
from airgap.trust.keys import PublicKey
from airgap.trust.policy import signers


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """What a trusted signature covers.

    Attributes:
        contents: The contents, signed.
        checksums: The bytes of `SHA256SUMS`.
        signature: The bytes of `SHA256SUMS.sig`.
        signers: The trusted keys that signed.
    """

    contents: Contents
    checksums: bytes
    signature: bytes
    signers: tuple[PublicKey, ...]

    @property
    def digest(self) -> str:
        """Identifies the bundle: `sha256:HEX` of `SHA256SUMS`."""
        return f"sha256:{hashlib.sha256(self.checksums).hexdigest()}"


def read_signed(media: Media, keys: Sequence[PublicKey]) -> VerifiedBundle:
    """Check the signature first, then read what it covers.

    Raises:
        TrustError: No trusted signature.
        IntegrityError: The contents are damaged or break the format.
    """
    data = media.read(CHECKSUMS_NAME, LIMITS.checksums_bytes)
    signature = b""
    if media.holds(SIGNATURE_NAME):
        signature = media.read(SIGNATURE_NAME, LIMITS.signature_bytes)
    by = signers(data, [signature] if signature else [], keys)
    # From these very bytes: a medium may answer differently when it is read again.
    return VerifiedBundle(_contents_under(data, media), data, signature, by)


def read_contents(media: Media) -> Contents:
    """Return the contents, consistent with `SHA256SUMS`, whoever may have signed it.

    Raises:
        IntegrityError: They are damaged or break the format.
    """
    return _contents_under(media.read(CHECKSUMS_NAME, LIMITS.checksums_bytes), media)


def _contents_under(sums: bytes, media: Media) -> Contents:
    """Return the contents that `sums`, the bytes of `SHA256SUMS`, covers."""
    body = media.read(CONTENTS_NAME, LIMITS.contents_bytes)
    if hashlib.sha256(body).hexdigest() != contents_digest(sums):
        raise damaged(CONTENTS_NAME)
    contents = parse_contents(body)
    if checksums(contents) != sums:
        raise broken("SHA256SUMS says something else than bundle.json")
    return contents


def listed_names(contents: Contents) -> list[str]:
    """Return the names of all files that a bundle with these contents has."""
    files = [file.name for file in contents.files]
    return [CONTENTS_NAME, CHECKSUMS_NAME, SIGNATURE_NAME, *files]


def read_file(media: Media, contents: Contents, name: str, limit: int) -> bytes:
    """Return a small listed file, hashed on this very read.

    Raises:
        IntegrityError: It is missing or damaged, or larger than `limit` bytes.
        HostError: The medium cannot be read.
    """
    entry = next(file for file in contents.files if file.name == name)
    data = read_small(open_whole(media, contents, entry), name, limit)
    if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise damaged(name)
    return data


def verify_all(media: Media, contents: Contents, progress: Progress) -> None:
    """Read every byte of every listed file and check it in every way there is.

    Files and what is in the tars are hashed side by side, so that a medium is read once (but
    for files of which there are several copies).

    Raises:
        IntegrityError: All files that are damaged, or contents that break a rule.
        HostError: The medium cannot be read.
    """
    progress.start("verifying", sum(file.size for file in contents.files))
    stop = Event()
    with (
        Archive(media, contents) as archive,
        ReplayTar(media, contents) as replay,
        ThreadPoolExecutor(2) as pool,
    ):
        try:
            files = pool.submit(_check_files, media, contents, stop, progress)
            tars = pool.submit(_check_tars, archive, replay, stop)
            wait([files, tars])
        finally:
            stop.set()
        files.result()  # first, as it names the files to copy again
        tars.result()
    progress.finish()


def _check_files(media: Media, contents: Contents, stop: Event, progress: Progress) -> None:
    def seen(count: int) -> None:
        _check_stop(stop)
        progress.advance(count)

    bad = []
    for entry in contents.files:
        name = contents.numbered(entry)
        descriptor = open_whole(media, contents, entry, lambda _: _check_stop(stop))
        try:
            if digest_of_file(descriptor, entry, name, seen) != entry.sha256:
                bad.append(name)
        finally:
            os.close(descriptor)
    if bad:
        raise damaged(*bad)


def _check_tars(archive: Archive, replay: ReplayTar, stop: Event) -> None:
    """Check the framing and every blob; manifests are hashed when they are read."""
    documents = archive.manifests()
    archive.check_framing(documents)
    replay.check_framing()
    _check_blobs(archive, documents, stop)
    _check_blobs(replay, (), stop)


def _check_blobs(tar: TarReader, known: Container[str], stop: Event) -> None:
    """Hash all blobs of a tar but those that are known to be good."""
    for blob in tar.blobs.values():
        if blob.digest not in known:
            for _ in tar.blob(blob):
                _check_stop(stop)


def _check_stop(stop: Event) -> None:
    if stop.is_set():
        raise InterruptedError
