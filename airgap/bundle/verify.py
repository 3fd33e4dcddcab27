"""From media to contents that may be believed, and the full check of every byte."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airgap.bundle.archive import BUFFER_BYTES, Archive, check_size
from airgap.bundle.checksums import CHECKSUMS_NAME, SIGNATURE_NAME, checksums, contents_digest
from airgap.bundle.contents import CONTENTS_NAME, Contents, FileEntry, broken, parse_contents
from airgap.bundle.media import Media, unreadable
from airgap.errors import IntegrityError
from airgap.limits import LIMITS
from airgap.oci.manifest import Index, Manifest
from airgap.progress import Progress
from airgap.trust.keys import PublicKey
from airgap.trust.policy import signers


@dataclass(frozen=True, slots=True)
class Signed:
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


def read_signed(media: Media, keys: Sequence[PublicKey]) -> Signed:
    """Checks the signature first, then reads what it covers.

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
    return Signed(_contents_under(data, media), data, signature, by)


def read_contents(media: Media) -> Contents:
    """The contents, consistent with `SHA256SUMS`, whoever may have signed it.

    Raises:
        IntegrityError: They are damaged or break the format.
    """
    return _contents_under(media.read(CHECKSUMS_NAME, LIMITS.checksums_bytes), media)


def _contents_under(sums: bytes, media: Media) -> Contents:
    """The contents that `sums`, the bytes of `SHA256SUMS`, covers."""
    body = media.read(CONTENTS_NAME, LIMITS.contents_bytes)
    if hashlib.sha256(body).hexdigest() != contents_digest(sums):
        raise _damaged(CONTENTS_NAME)
    contents = parse_contents(body)
    if checksums(contents) != sums:
        raise broken("SHA256SUMS says something else than bundle.json")
    return contents


def listed_names(contents: Contents) -> list[str]:
    """The names of all files that a bundle with these contents has."""
    files = [file.name for file in contents.files]
    return [CONTENTS_NAME, CHECKSUMS_NAME, SIGNATURE_NAME, *files]


def read_file(media: Media, contents: Contents, name: str, limit: int) -> bytes:
    """A small listed file, hashed on this very read.

    Raises:
        IntegrityError: It is missing or damaged.
    """
    entry = next(file for file in contents.files if file.name == name)
    data = media.read(name, limit)
    if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise _damaged(name)
    return data


def verify_all(media: Media, contents: Contents, progress: Progress) -> None:
    """Reads every byte of every listed file and checks it in every way there is.

    Raises:
        IntegrityError: The first file that is damaged, or contents that break a rule.
        HostError: The medium cannot be read.
    """
    total = sum(file.size for file in contents.files)
    progress.start("verifying", total)
    for entry in contents.files:
        _check_file(media, entry, progress)
    with Archive(media, contents) as archive:
        documents = archive.documents()
        archive.check_framing(documents)
        _check_blobs(archive, documents, progress)
    progress.finish()


def _check_file(media: Media, entry: FileEntry, progress: Progress) -> None:
    digest, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(BUFFER_BYTES))
    descriptor = media.open(entry.name)
    try:
        check_size(descriptor, entry)
        while size <= entry.size and (count := os.readv(descriptor, [buffer])):
            digest.update(buffer[:count])
            size += count
            progress.advance(count)
    except OSError as error:
        raise unreadable(entry.name, error) from error
    finally:
        os.close(descriptor)
    if size != entry.size or digest.hexdigest() != entry.sha256:
        raise _damaged(entry.name)


def _check_blobs(
    archive: Archive, documents: Mapping[str, Manifest | Index], progress: Progress
) -> None:
    """Every blob, in the order in which they lie; manifests were hashed when they were read."""
    progress.start("verifying blobs", sum(blob.size for blob in archive.contents.blobs))
    for blob in archive.contents.blobs:
        if blob.digest not in documents:
            for chunk in archive.blob(blob):
                progress.advance(len(chunk))


def _damaged(name: str) -> IntegrityError:
    return IntegrityError(
        f"{name} is damaged: it is not what SHA256SUMS says",
        meaning="The medium is faulty, or the file was changed.",
        remedy="copy it again from where the bundle was made",
    )
