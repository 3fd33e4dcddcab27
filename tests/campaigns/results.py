"""The results of all campaigns, for people (`results.md`) and programs (`results.json`)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from lab.cache import say
from tests.campaigns.bundle_kills import BundleKills
from tests.campaigns.fault_run import FaultRun
from tests.campaigns.install_kills import InstallKills
from tests.campaigns.kinds import KINDS
from tests.campaigns.where import machine, versions

CHAIN = 10
"""Kills in one chain."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that did not end as it must.

    Attributes:
        what: Which campaign.
        seed: Of the run.
        why: What was asserted.
    """

    what: str
    seed: int
    why: str

    @staticmethod
    def unless(what: str, seed: int, run: Callable[[], _T]) -> _T | Failure:
        """The result of a run, or how it failed: the other runs continue."""
        say(f"{what}, seed {seed}")
        try:
            return run()
        except Exception as error:
            return Failure(what, seed, f"{type(error).__name__}: {error}")


@dataclass(slots=True)
class Results:
    """What all campaigns came to.

    Attributes:
        command: What was run.
        begun: When.
        seconds: How long all of it took.
        machine: What it ran on.
        versions: Of what took part.
    """

    command: str
    begun: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    seconds: int = 0
    machine: Mapping[str, str] = field(default_factory=machine)
    versions: Mapping[str, str] = field(default_factory=versions)
    fault_runs: list[FaultRun] = field(default_factory=list)
    bundle_kills: list[BundleKills] = field(default_factory=list)
    install_kills: list[InstallKills] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def keep(self, result: _T | Failure, results: list[_T]) -> None:
        """Puts a result with its like."""
        if isinstance(result, Failure):
            self.failures.append(result)
        else:
            results.append(result)

    def write(self, folder: Path) -> None:
        """Writes both files."""
        document = json.dumps(asdict(self), indent=1)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(f"{document}\n")
        (folder / "results.md").write_text(self._text())

    def _text(self) -> str:
        parts = [
            "# What the campaigns of `make test-all` came to",
            f"Written by `{self.command}`, begun {self.begun}; it took {self.seconds // 60} min "
            f"{self.seconds % 60} s. All seeds and times are in `results.json`.",
            _table(("", ""), [*self.machine.items(), *self.versions.items()]),
            f"Failures: {len(self.failures)}.",
        ]
        if self.failures:
            parts.append(_table(("campaign", "seed", "why"), map(_failure_row, self.failures)))
        if self.fault_runs:
            parts += ["## Faults between client and registry", self._faults()]
        if self.bundle_kills:
            parts += ["## `airgap bundle`, killed", self._bundle_kills()]
        if self.install_kills:
            parts += ["## `airgap install`, killed", self._install_kills()]
        return "\n\n".join(parts) + "\n"

    @property
    def _but(self) -> str:
        """Runs that failed are in none of the tables below."""
        return "but for the failures above, " if self.failures else ""

    def _faults(self) -> str:
        head = ("fault", "runs", "fired", "complete at once", "an error, then resumed")
        rows: list[Sequence[object]] = []
        for kind in KINDS:
            runs = [run for run in self.fault_runs if run.kind == kind]
            codes = Counter(run.code for run in runs if run.code != 0)
            told = ", ".join(f"{count} (exit {code})" for code, count in sorted(codes.items()))
            complete = sum(run.code == 0 for run in runs)
            rows.append((kind, len(runs), sum(run.fired for run in runs), complete, told or 0))
        total = sum(run.code == 0 for run in self.fault_runs)
        count = len(self.fault_runs)
        rows.append(("all", count, sum(r.fired for r in self.fault_runs), total, count - total))
        return (
            f"Seeds {_seeds([run.seed for run in self.fault_runs])}; "
            f"{self._but}every bundle was the same as the undisturbed one in the end.\n\n"
            + _table(head, rows)
        )

    def _bundle_kills(self) -> str:
        phases: Counter[str] = Counter()
        for chain in self.bundle_kills:
            phases.update(chain.kills)
        bundles = sum(chain.bundles for chain in self.bundle_kills)
        return (
            f"Seeds {_seeds([chain.seed for chain in self.bundle_kills])}: {phases.total()} kills; "
            f"{self._but}all {bundles} bundles were the same as undisturbed ones in the end.\n\n"
            + _table(("killed while", "kills"), sorted(phases.items()))
        )

    def _install_kills(self) -> str:
        rows = [
            (
                f"`airgap install DIR {' '.join(options)}`".replace(" `", "`"),
                sum(chain.kills for chain in self.install_kills if chain.options == options),
                sum(chain.installs for chain in self.install_kills if chain.options == options),
            )
            for options in dict.fromkeys(chain.options for chain in self.install_kills)
        ]
        return (
            f"Seeds {_seeds([chain.seed for chain in self.install_kills])}: "
            f"{sum(chain.kills for chain in self.install_kills)} kills; "
            f"{self._but}every mirror had the same files as an undisturbed one in the end, and "
            "no other.\n\n" + _table(("command", "kills", "installs complete in the end"), rows)
        )


def _failure_row(failure: Failure) -> tuple[str, int, str]:
    lines = failure.why.splitlines() or ["?"]
    return failure.what, failure.seed, lines[0][:200].replace("|", "/")


def _seeds(seeds: Sequence[int]) -> str:
    return f"{min(seeds)} to {max(seeds)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
