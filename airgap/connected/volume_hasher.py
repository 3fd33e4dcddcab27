"""Checksums of the volumes, computed behind the writers while the bytes are in memory still.

The bytes come from the medium, which may answer with others than were written. So on the same
read they are compared with what they must be: nothing else is signed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from airgap.bundle.contents import FileEntry
from airgap.bundle.volumes import Volume
from airgap.connected.tar_writer import TarWriter
from airgap.errors import IntegrityError
from airgap.limits import MIB
from airgap.progress import Progress

# How often it looks where the writers are.
_STRIDE_BYTES = 4 * MIB


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of the tar that are known: those before `end`, and after the part before.

    Attributes:
        end: Where it ends.
        sha256: The hexadecimal digest of its bytes.
    """

    end: int
    sha256: str


@dataclass(slots=True)
class _State:
    """How far the checksums are: all of `ended`, and the open volume's up to `position`.

    Of the parts, so many are right, and the open one has the digest `part` up to `compared`.
    """

    position: int
    digest: hashlib._Hash
    ended: list[FileEntry]
    compared: int
    part: hashlib._Hash
    right: int

    @classmethod
    def begin(cls) -> _State:
        return cls(0, hashlib.sha256(), [], 0, hashlib.sha256(), 0)

    def copy(self) -> _State:
        digest, part = self.digest.copy(), self.part.copy()
        return replace(self, digest=digest, part=part, ended=list(self.ended))


class VolumeHasher:
    """Reads the tar in order, as far as it is written without a gap.

    The tar is written in units, one for each blob with the framing before it. Only the first
    unfinished unit is read before it is finished; should it be written again, because the bytes
    that came were wrong, the checksums go back to where it begins.

    Args:
        tar: What is read.
        volumes: Of which checksums are wanted.
        starts: Where each unit begins, in order.
        end: Where the last one ends.
        parts: What its bytes must be, in order.
    """

    def __init__(
        self,
        tar: TarWriter,
        volumes: Sequence[Volume],
        starts: Sequence[int],
        end: int,
        parts: Sequence[Part] = (),
    ) -> None:
        self._tar, self._volumes = tar, volumes
        self._starts, self._ends = list(starts), [*starts[1:], end]
        self._written = list(starts)
        self._first = 0
        self._parts = [
            part for before, part in pairwise((Part(0, ""), *parts)) if before.end < part.end
        ]
        self._state = _State.begin()
        self._saved = (0, self._state.copy())
        self._rewind = self._stopped = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._progress = Progress()
        self._thread = threading.Thread(target=self._run, name="checksums", daemon=True)
        self._thread.start()

    def written(self, unit: int, position: int) -> None:
        """Note that a unit is written from its beginning up to this offset in the tar."""
        with self._changed:
            self._written[unit] = position
            while self._first < len(self._ends) and self._is_finished(self._first):
                self._first += 1
            if unit <= self._first:
                self._changed.notify_all()

    def restarted(self, unit: int) -> None:
        """Note that an unfinished unit will be written again."""
        with self._changed:
            self._written[unit] = self._starts[unit]
            self._rewind |= unit == self._saved[0]

    def result(self, progress: Progress) -> list[FileEntry]:
        """Return the entries of the volumes, once all is written; shows what is left to do.

        Raises:
            OSError: The disk failed.
            IntegrityError: It gave other bytes than were written.
        """
        left = self._ends[-1] - self._state.position
        if left:
            progress.start("checksums", left)
        self._progress = progress
        self._thread.join()
        progress.finish()
        if self._error:
            raise self._error
        return self._state.ended

    def stop(self) -> None:
        """End it before the tar is written in full."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def _is_finished(self, unit: int) -> bool:
        return self._written[unit] == self._ends[unit]

    def _run(self) -> None:
        try:
            while len(self._state.ended) < len(self._volumes):
                if not self._step():
                    return
        except Exception as error:
            self._error = error

    def _step(self) -> bool:
        """Hash a little more; False if it was stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._rewind or self._left() > 0)
            if self._stopped:
                return False
            if self._rewind:
                self._state, self._rewind = self._saved[1].copy(), False
            unit = min(self._first, len(self._starts) - 1)
            start, left = self._starts[unit], self._left()
        position = self._state.position
        if self._saved[0] != unit and position <= start:
            # First to the beginning of the unit that is not finished, to keep the state there.
            self._hash(min(start, position + _STRIDE_BYTES))
            if self._state.position == start:
                self._saved = (unit, self._state.copy())
        else:
            self._hash(position + min(left, _STRIDE_BYTES))
        return True

    def _left(self) -> int:
        """Return how many more bytes there are to read."""
        written = self._ends[-1]
        if self._first < len(self._ends):
            written = self._written[self._first]
        return written - self._state.position

    def _hash(self, end: int) -> None:
        """Hash up to this place in the tar."""
        state = self._state
        while state.position < end:
            volume = self._volumes[len(state.ended)]
            until = min(end, volume.start + volume.size)
            for chunk in self._tar.chunks(state.position, until - state.position):
                state.digest.update(chunk)
                self._compare(state, chunk)
                self._progress.advance(len(chunk))
            state.position = until
            if until == volume.start + volume.size:
                state.ended.append(FileEntry(volume.name, volume.size, state.digest.hexdigest()))
                state.digest = hashlib.sha256()

    def _compare(self, state: _State, chunk: memoryview) -> None:
        """Hash the next bytes for each part that they belong to."""
        while chunk and state.right < len(self._parts):
            part = self._parts[state.right]
            piece = chunk[: part.end - state.compared]
            state.part.update(piece)
            state.compared += len(piece)
            chunk = chunk[len(piece) :]
            if state.compared == part.end:
                if state.part.hexdigest() != part.sha256:
                    raise _changed(self._volumes[len(state.ended)].name, part.end)
                state.part, state.right = hashlib.sha256(), state.right + 1


def _changed(volume: str, end: int) -> IntegrityError:
    return IntegrityError(
        f"{volume} does not read back as it was written, before byte {end} of the tar",
        meaning="The medium is faulty, or something changes what is on it. Nothing was signed.",
        remedy="run the same command to write it again; if it fails again, use another medium",
    )
