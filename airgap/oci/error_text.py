"""What a registry says of its refusal, cut and fit to be shown.

Registries answer with a list of errors (distribution spec, "Error Codes"), token servers also with
the form of OAuth 2 (RFC 6749, 5.2), and what is before them with forms of its own.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from airgap.errors import AirgapError
from airgap.limits import LIMITS
from airgap.oci.manifest import load_json

_CODE = re.compile(r"[A-Z_]{1,40}")
_TEXT_KEYS = ("error_description", "message", "details", "detail", "error", "errors")
_MOST_ERRORS = 3
_TITLE = re.compile(r"<title>([^<]{1,400})</title>", re.IGNORECASE)
_MOST_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Words:
    """What a server says of its refusal.

    Attributes:
        code: The first code of its errors, such as `DENIED`; empty if it states none.
        text: Its sentence; empty if it has none.
    """

    code: str = ""
    text: str = ""

    @property
    def sentence(self) -> str:
        """The text as a sentence of ours; empty if there is no text."""
        return f'It says: "{self.text}".' if self.text else ""

    def with_meaning(self, meaning: str) -> str:
        """Return the sentence, and then what we say."""
        return f"{self.sentence} {meaning}".strip()


def words_in(body: bytes, media_type: str = "") -> Words:
    """Return what the body of a response says.

    Args:
        body: All its bytes.
        media_type: The response's `Content-Type`. Of a page only the title is shown.
    """
    body = body.removeprefix(codecs.BOM_UTF8).strip()
    if body.startswith(b"["):
        body = b'{"errors":%s}' % body
    try:
        document = load_json(body, "an answer", LIMITS.response_bytes)
    except AirgapError:
        return Words(text=shown(_text_in(body, media_type)))
    entries = _errors_in(document)
    texts = dict.fromkeys(text for entry in entries[:_MOST_ERRORS] if (text := _text_of(entry)))
    code = str(entries[0].get("code", "")) if entries else ""
    text = "; ".join(texts) or next(_strings(document), "")
    return Words(code if _CODE.fullmatch(code) else "", shown(text))


def _text_in(body: bytes, media_type: str) -> str:
    """Return a body that is plain text, or the title of a page."""
    text = body.decode("utf-8", "replace")
    if title := _TITLE.search(text, 0, _MOST_PAGE):
        return html.unescape(title[1])
    kind = media_type.partition(";")[0].strip().lower()
    return text if kind in ("", "text/plain") and not text.startswith("<") else ""


def shown(text: str) -> str:
    """Return the text on one line, without what a terminal could obey, and not longer than we show.

    Args:
        text: Whatever a server sent.
    """
    # What was cut here is longer than what is shown, unless it is nearly all white space.
    words = " ".join(text[: 4 * LIMITS.words_characters].split())
    safe = "".join(word if word.isprintable() else "\N{REPLACEMENT CHARACTER}" for word in words)
    if len(safe) <= LIMITS.words_characters:
        return safe.rstrip(".")
    return f"{safe[: LIMITS.words_characters]}…"


def _errors_in(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the errors of a document: a list of them or one, as objects or as texts in a list."""
    stated = document.get("errors") or document.get("error")
    if isinstance(stated, dict):
        return [stated]
    listed = stated if isinstance(stated, list) else []
    entries = [{"message": item} if isinstance(item, str) else item for item in listed]
    return [entry for entry in entries if isinstance(entry, dict)]


def _text_of(error: dict[str, Any]) -> str:
    """Return the message of one error, with its detail if that is short."""
    message, detail = error.get("message"), error.get("detail")
    if isinstance(detail, dict):
        scalars = (str, int)
        pairs = [f"{key}: {value}" for key, value in detail.items() if isinstance(value, scalars)]
        detail = ", ".join(pairs)
    text = message if isinstance(message, str) else ""
    if isinstance(detail, str) and detail and detail not in text:
        text = f"{text} ({detail})" if text else detail
    return text


def _strings(document: dict[str, Any]) -> Iterator[str]:
    return (value for key in _TEXT_KEYS if isinstance(value := document.get(key), str) and value)
