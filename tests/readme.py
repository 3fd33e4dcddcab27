"""The README as data: its fenced blocks and tables, so that tests run and compare what it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        heading: The one that it stands under.
        language: The first word behind the fence.
        place: The second one: where commands run, or what a file is.
        text: What is in it.
    """

    heading: str
    language: str
    place: str
    text: str


def blocks() -> list[Block]:
    """All fenced blocks, from the top."""
    found = []
    heading = ""
    pattern = re.compile(r"^#+ ([^\n]+)$|^```(\w+) ?(\w*)\n(.*?)^```$", re.M | re.S)
    for match in pattern.finditer(README.read_text()):
        if match[1]:
            heading = match[1]
        else:
            found.append(Block(heading, match[2], match[3], match[4]))
    return found


def section(heading: str) -> str:
    """The text below a heading, up to the next one."""
    text = README.read_text().partition(f"# {heading}\n")[2]
    return re.split(r"^#", text, flags=re.M)[0]


def first_column(heading: str) -> list[str]:
    """The first cells of the table below a heading, without the table's own head."""
    return re.findall(r"^\| (.+?) \|", section(heading), re.M)[1:]
