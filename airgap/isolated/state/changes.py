"""What install changed outside of the state folder."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from airgap.canonical import canonical
from airgap.errors import HostError
from airgap.isolated.host.files import not_writable, write_file
from airgap.isolated.state.layout import State


class Changes:
    """What install changed outside of the state folder, so that uninstall takes back just that.

    A line is written before its change is made: after a kill there may be a line too many, never
    one too few.
    """

    def __init__(self, state: State) -> None:
        self._path = state.root / "changes"
        self._state = state

    def add(self, step: str, what: str) -> None:
        """Note a change before a step makes it.

        Users other than the state's own change only what is theirs, and note nothing.
        """
        if what in self.of(step) or not self._state.writable:
            return
        self._write([*self._lines(), [step, what]])

    def make_folder(self, step: str, folder: Path) -> None:
        """Make a folder of the host, with those above it; what was there before is not noted."""
        for path in reversed([folder, *folder.parents]):
            if not path.exists():
                self.add(step, f"{path}/")
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            raise not_writable(folder, error) from error

    def remove_folders(self, step: str) -> None:
        """Remove the folders that a step made, but those where others have put something."""
        for text in reversed(self.of(step)):
            if text.endswith("/"):
                with suppress(OSError):
                    Path(text).rmdir()

    def of(self, step: str) -> list[str]:
        """Return all changes of a step, oldest first; folders that it made end with a slash."""
        return [what for known, what in self._lines() if known == step]

    def drop(self, step: str, what: str) -> None:
        """Forget a change that was undone. Only the owner of the state keeps notes."""
        if what in self.of(step) and self._state.writable:
            self._write([line for line in self._lines() if line != [step, what]])

    def forget(self, step: str) -> None:
        """Forget all changes of a step that was undone."""
        self._write([line for line in self._lines() if line[0] != step])

    def _lines(self) -> list[list[str]]:
        try:
            lines = [json.loads(line) for line in self._path.read_text().splitlines()]
            return [[str(step), str(what)] for step, what in lines]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise HostError(f"{self._path} cannot be read: {error}") from error

    def _write(self, lines: list[list[str]]) -> None:
        if lines:
            write_file(self._path, b"".join(canonical(line) for line in lines))
        else:
            self._path.unlink(missing_ok=True)
