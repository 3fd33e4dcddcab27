"""Files of a bundle, read and checked in full; of several copies the one that is whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from airgap.bundle.contents import FileEntry
from airgap.bundle.media import Media, unreadable
from airgap.errors import IntegrityError
from airgap.limits import MIB

BUFFER_BYTES = MIB


def open_whole(media: Media, entry: FileEntry) -> int:
    """Opens a listed file; the caller closes the descriptor.

    Where only one medium has it, its size is checked and nothing is read: whoever reads it hashes
    it. Where several have it, one may be a repaired copy, so that they are hashed to find it.

    Raises:
        IntegrityError: It is missing, or of another size, or no copy is whole.
        HostError: The medium cannot be read.
    """
    copies = media.copies(entry.name)
    try:
        if len(copies) == 1:
            check_size(copies[0], entry)
            return copies.pop()
        for number, descriptor in enumerate(copies):
            if _is_whole(descriptor, entry):
                return copies.pop(number)
        raise damaged(entry.name)
    finally:
        for descriptor in copies:
            os.close(descriptor)


def check_size(descriptor: int, file: FileEntry) -> None:
    """Compares an open file's size with the one that the contents state.

    Raises:
        IntegrityError: They differ.
    """
    actual = os.fstat(descriptor).st_size
    if actual != file.size:
        raise IntegrityError(
            f"{file.name} has {actual} bytes and should have {file.size}",
            meaning="It was not copied whole, or was changed.",
            remedy="copy it again from where the bundle was made",
        )


def digest_of_file(
    descriptor: int, entry: FileEntry, seen: Callable[[int], object] = lambda _: None
) -> str:
    """The hexadecimal SHA-256 of an open file, read from its beginning.

    Args:
        descriptor: The file.
        entry: What it should be; no more is read than it should have.
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
            raise unreadable(entry.name, error) from error
        if not count:
            break
        digest.update(buffer[:count])
        position += count
        seen(count)
    return digest.hexdigest()


def damaged(*names: str) -> IntegrityError:
    """The error for files that are not what `SHA256SUMS` says."""
    are = "is damaged: it is" if len(names) == 1 else "are damaged: they are"
    return IntegrityError(
        f"{', '.join(names)} {are} not what SHA256SUMS says",
        meaning="The medium is faulty, or what is on it was changed.",
        remedy="copy it again from where the bundle was made; the rest need not be",
    )


def _is_whole(descriptor: int, entry: FileEntry) -> bool:
    stated = os.fstat(descriptor).st_size == entry.size
    return stated and digest_of_file(descriptor, entry) == entry.sha256
