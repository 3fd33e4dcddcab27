"""Files of a bundle, read and checked in full; of several copies the one that is whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from airgap.bundle.contents import Contents, FileEntry
from airgap.bundle.media import Media
from airgap.errors import HostError, IntegrityError, cannot_read
from airgap.limits import MIB

BUFFER_BYTES = MIB
Seen = Callable[[int], object]


def _unseen(_: int) -> None:
    """Nobody wants to know."""


def open_whole(media: Media, contents: Contents, entry: FileEntry, seen: Seen = _unseen) -> int:
    """Open a listed file; the caller closes the descriptor.

    Where only one medium has it, its size is checked and nothing is read: whoever reads it hashes
    it. Where several have it, one may be a repaired copy, so that they are hashed to find it.

    Args:
        media: Where to look.
        contents: What the file belongs to.
        entry: The file.
        seen: Is told of the bytes that were read to find the copy; may raise to end it.

    Raises:
        IntegrityError: It is missing, or of another size, or no copy is whole.
        HostError: The medium cannot be read.
    """
    name = contents.numbered(entry)
    copies = media.copies(entry.name)
    unread: HostError | None = None
    try:
        if len(copies) == 1:
            _check_size(copies[0], entry, name)
            return copies.pop()
        for number, descriptor in enumerate(copies):
            try:
                if _is_whole(descriptor, entry, name, seen):
                    return copies.pop(number)
            except HostError as error:
                unread = unread or error
        raise unread or damaged(name)
    finally:
        for descriptor in copies:
            os.close(descriptor)


def digest_of_file(descriptor: int, entry: FileEntry, name: str, seen: Seen = _unseen) -> str:
    """Return the hexadecimal SHA-256 of an open file, read from its beginning.

    Args:
        descriptor: The file.
        entry: What it should be; no more is read than it should have.
        name: As messages name it.
        seen: Is told of the bytes that were read.

    Raises:
        HostError: The medium cannot be read.
    """
    digest, position = hashlib.sha256(), 0
    buffer = memoryview(bytearray(BUFFER_BYTES))
    while position <= entry.size:
        try:
            count = os.preadv(descriptor, [buffer], position)
        except OSError as error:
            raise cannot_read(name, error) from error
        if not count:
            break
        digest.update(buffer[:count])
        position += count
        seen(count)
    return digest.hexdigest()


def damaged(*names: str) -> IntegrityError:
    """Return the error for files that are not what `SHA256SUMS` says."""
    are = "is damaged: it is" if len(names) == 1 else "are damaged: they are"
    return IntegrityError(
        f"{', '.join(names)} {are} not what SHA256SUMS says",
        meaning="The medium is faulty, or what is on it was changed.",
        remedy="copy it again from where the bundle was made; the rest need not be",
    )


def _check_size(descriptor: int, entry: FileEntry, name: str) -> None:
    actual = os.fstat(descriptor).st_size
    if actual != entry.size:
        raise IntegrityError(
            f"{name} has {actual} bytes and should have {entry.size}",
            meaning="It was not copied whole, or was changed.",
            remedy="copy it again from where the bundle was made",
        )


def _is_whole(descriptor: int, entry: FileEntry, name: str, seen: Seen) -> bool:
    stated = os.fstat(descriptor).st_size == entry.size
    return stated and digest_of_file(descriptor, entry, name, seen) == entry.sha256
