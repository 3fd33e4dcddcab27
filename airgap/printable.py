"""What may be shown on a terminal: the one place where all else becomes an escape.

Registries, media, request files, Dockerfiles and other programs choose parts of what we show. A
terminal would obey their control characters, and some reorder or hide text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TextIO


def printable(text: str, kept: str = "") -> str:
    """Return the text with every character escaped that is not printable.

    Args:
        text: Any text.
        kept: Characters that stay all the same, such as a newline.
    """
    if text.isprintable():
        return text
    return "".join(item if item.isprintable() or item in kept else _escape(item) for item in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


class PrintableStream:
    """A text stream that writes nothing to another one but printable lines.

    Args:
        stream: Where they go. What draws on a terminal (a bar) uses this one itself.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write the text, escaped, with its newlines."""
        if not isinstance(text, str):
            raise TypeError("a text stream takes text")
        shown = printable(text, kept="\n\t")
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        self.stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        """Give all else of the stream, but for a way around `write`."""
        if name in ("buffer", "writelines"):
            raise AttributeError(name)
        return getattr(self.stream, name)


def terminal(stream: TextIO) -> TextIO:
    """Return the stream behind a `PrintableStream`, or the stream itself."""
    return stream.stream if isinstance(stream, PrintableStream) else stream
