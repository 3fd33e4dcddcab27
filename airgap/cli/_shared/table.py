"""Text tables, and lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airgap.printable import printable

if TYPE_CHECKING:
    from airgap.isolated.commands.apply import Outcome
    from airgap.isolated.context import CheckResult
    from airgap.isolated.state.history import ActiveBundle


def unlisted_lines(paths: Iterable[Path]) -> list[str]:
    """A line for each file on a medium that nobody has vouched for.

    Whoever made the medium chose the names: what a terminal would obey is shown as an escape.
    """
    return [f"not part of the bundle, not opened: {printable(str(path))}" for path in paths]


def outcome_line(outcome: Outcome) -> str:
    """What a step came to, as it is shown when it is known."""
    detail = printable(outcome.detail)
    return f"{'done' if outcome.changed else 'ok':5} {outcome.name:14} {detail}"


def findings_table(findings: Mapping[str, CheckResult]) -> str:
    """What checks saw, a row each."""
    return table(
        [
            ("ok" if finding.ok else "NOT OK", name, finding.detail)
            for name, finding in findings.items()
        ]
    )


def bundles_table(bundles: Sequence[ActiveBundle]) -> str:
    """What was installed, and what of it counts, a row each."""
    rows = [("BUNDLE", "INSTALLED", "BY", "SIGNED BY", "BRINGS")]
    for one in bundles:
        receipt = one.receipt
        counted = {"image": len(one.images), "recording": len(one.recordings)}
        brings = [*one.roles, *(_count(number, what) for what, number in counted.items() if number)]
        signers = ", ".join(fingerprint[:23] for fingerprint in receipt.signers)
        rows.append((receipt.bundle, receipt.at, receipt.by, signers, ", ".join(brings) or "-"))
    return table(rows)


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length in aligned columns, two spaces apart; each cell is one line."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)
