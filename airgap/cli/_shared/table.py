"""Text tables, and lines of text."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from airgap.printable import printable
from airgap.progress import format_count

if TYPE_CHECKING:
    from airgap.isolated.commands.apply import Outcome
    from airgap.isolated.context import CheckResult
    from airgap.isolated.state.history import ActiveBundle

# A column is not made narrower than this to fit a terminal, in characters.
_NARROWEST = 16


def unlisted_lines(paths: Iterable[Path]) -> list[str]:
    """Return a line for each file on a medium that no signature covers.

    Whoever made the medium chose the names: what a terminal would obey is shown as an escape.
    """
    return [f"not part of the bundle, not opened: {printable(str(path))}" for path in paths]


def outcome_line(outcome: Outcome) -> str:
    """Return what a step came to, as it is shown when it is known."""
    detail = printable(outcome.detail)
    return f"{'done' if outcome.changed else 'ok':5} {outcome.name:14} {detail}"


def findings_table(results: Mapping[str, CheckResult]) -> str:
    """Return what checks saw, a row for each."""
    return table(
        [("ok" if result.ok else "NOT OK", name, result.detail) for name, result in results.items()]
    )


def bundles_table(bundles: Sequence[ActiveBundle]) -> str:
    """Return what was installed, and what of it counts, a row each."""
    rows = [("BUNDLE", "INSTALLED", "BY", "SIGNED BY", "PROVIDES")]
    for bundle in bundles:
        receipt = bundle.receipt
        numbers = {"image": len(bundle.images), "recording": len(bundle.recordings)}
        parts = [format_count(number, noun) for noun, number in numbers.items() if number]
        provides = ", ".join([*bundle.roles, *parts]) or "-"
        signers = ", ".join(fingerprint[:23] for fingerprint in receipt.signers)
        rows.append((receipt.bundle, receipt.at, receipt.by, signers, provides))
    return table(rows)


def table(rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Return rows of equal length in aligned columns, two spaces apart.

    Args:
        rows: The cells.
        width: The largest width of a line, for which cells are wrapped between words; the
            terminal's by default, and none where the output is not a terminal.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if width is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    while (excess := sum(widths) + 2 * (len(widths) - 1) - width) > 0:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] = max(_NARROWEST, widths[widest] - excess)
    return "\n".join(line for row in cells for line in _lines(row, widths))


def _lines(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield the lines of a row, whose cells may be wrapped."""
    wrapped = [
        textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False) or [""]
        if len(cell) > width
        else [cell]
        for cell, width in zip(row, widths, strict=True)
    ]
    for parts in zip_longest(*wrapped, fillvalue=""):
        padded = (part.ljust(width) for part, width in zip(parts, widths, strict=True))
        yield "  ".join(padded).rstrip()
