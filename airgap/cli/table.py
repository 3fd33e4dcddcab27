"""Text tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airgap.isolated.apply import Outcome
    from airgap.isolated.step import Finding


def outcome_line(outcome: Outcome) -> str:
    """What a step came to, as it is shown when it is known."""
    return f"{'done' if outcome.changed else 'ok':5} {outcome.name:14} {outcome.detail}"


def findings_table(findings: Mapping[str, Finding]) -> str:
    """What checks saw, a row each."""
    return table(
        [
            ("ok" if finding.well else "NOT OK", name, finding.detail)
            for name, finding in findings.items()
        ]
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length in aligned columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
