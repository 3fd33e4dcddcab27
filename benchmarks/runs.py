"""Runs everything: tools in turn within each round, without and with a sync."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from airgap.errors import HostError, SpaceError
from airgap.progress import format_bytes
from benchmarks import images
from benchmarks.data import DataSet
from benchmarks.jobs import JOBS, Job
from benchmarks.measure import Measurement, bytes_below, measure, warm
from benchmarks.results import START, Run
from benchmarks.targets import AIRGAP, PYTHON
from benchmarks.tools import SAMPLE, Commands, Contender, Task
from benchmarks.workplace import Workplace, environment
from lab.cache import say
from lab.upstream import Upstream

_START_ROUNDS = 20
_SLOW_SECONDS = 60
"""Who takes longer is measured in one round: what comes and goes matters little then."""
_ROOM = 9
"""Times a data set's bytes that must be free on the disk: what runs start from and write."""


@dataclass(slots=True)
class Results:
    """What has been measured so far.

    Attributes:
        runs: In order.
        failures: What did not work; the tool is left out of that job from then on.
    """

    runs: list[Run] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def prepare(folder: Path, chosen: Sequence[DataSet]) -> None:
    """Makes the images of all data sets, and sees that the disk has room, before anything runs.

    Args:
        folder: Where everything will be written.
        chosen: The data sets.

    Raises:
        SpaceError: The disk is too small.
    """
    for data in chosen:
        images.storage(data)
        needed = _ROOM * data.image_bytes * data.count
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise SpaceError(
                f"{folder} has {format_bytes(free)} free, "
                f"and {data.name} needs {format_bytes(needed)}",
                remedy="make room, or leave it out with --sizes",
            )


def measure_start(place: Workplace, results: Results) -> None:
    """Measures how long `airgap --version` takes, and an interpreter that does nothing."""
    for _ in range(_START_ROUNDS):
        for tool, program, *arguments in (
            (AIRGAP, place.programs.airgap, "--version"),
            (PYTHON, place.programs.python, "-c", "pass"),
        ):
            with place.new_folder() as folder:
                command = [program, *arguments]
                took = measure([command], folder, environment(folder), sync=False)
            does = " ".join([tool, *arguments])
            results.runs.append(Run("", START, tool, does, took))


def measure_data(place: Workplace, data: DataSet, rounds: int, results: Results) -> None:
    """Has all tools do all jobs with a data set."""
    with Upstream(images.storage(data)) as upstream, ExitStack() as sources:
        session = _Session(place, data, results, upstream, sources)
        for job in JOBS:
            session.run_job(job, rounds)


class _Session:
    """All runs with one data set.

    Args:
        place: Where they work.
        data: What they are given.
        results: Where they are noted.
        upstream: The registry that has the images.
        sources: Holds the folders that runs start from.
    """

    def __init__(
        self,
        place: Workplace,
        data: DataSet,
        results: Results,
        upstream: Upstream,
        sources: ExitStack,
    ) -> None:
        self._place, self._data, self._results = place, data, results
        self._upstream, self._sources = upstream, sources
        self._prepared: dict[Commands, Path] = {}

    def run_job(self, job: Job, rounds: int) -> None:
        """Run one job with each tool, in turn.

        A tool that fails is left out afterwards; a very slow one runs in the first round only.
        """
        programs = self._place.programs
        contenders = [
            contender
            for contender in job.contenders_for(self._data)
            if programs.has(contender.tool)
        ]
        for _ in range(rounds):
            for sync in (False, True) if job.writes else (False,):
                for contender in tuple(contenders):
                    if not self._has_done(job, contender, sync):
                        contenders.remove(contender)
            contenders = [item for item in contenders if not self._is_slow(job, item)]

    def _has_done(self, job: Job, contender: Contender, sync: bool) -> bool:
        """Measures one run; False if it failed."""
        data, tool = self._data.name, contender.tool
        try:
            took = self._measure(job, contender, sync)
        except HostError as error:
            say(f"{data} {job.name} {tool} failed: {error}")
            self._results.failures.append(f"{data} {job.name} {tool}: {error.message}")
            return False
        say(f"{data} {job.name} {tool}{' with sync' * sync}: {took.wall_seconds:.2f} s")
        scale = self._data.count / len(self._images(contender))
        run = Run(data, job.name, tool, contender.does, took, sync=sync, scale=scale)
        self._results.runs.append(run)
        return True

    def _is_slow(self, job: Job, contender: Contender) -> bool:
        key = (self._data.name, job.name, contender.tool)
        return any(
            run.took.wall_seconds > _SLOW_SECONDS
            for run in self._results.runs
            if (run.data, run.job, run.tool) == key
        )

    def _measure(self, job: Job, contender: Contender, sync: bool) -> Measurement:
        """One run in new folders, with all that it reads in the page cache."""
        source = self._source(contender)
        with ExitStack() as stack:
            folder = stack.enter_context(self._place.new_folder())
            target = stack.enter_context(Upstream(writable=True)) if job.pushes else self._upstream
            task = Task(
                target.address, self._images(contender), source, folder / "output", sync=sync
            )
            warm(source)
            commands = contender.commands(self._place.programs, task)
            took = measure(commands, folder, environment(folder), sync=sync)
            if job.writes:
                written = bytes_below(task.output)
                written += bytes_below(target.storage) if job.pushes else 0
                _check_whole(written, self._data.image_bytes * len(task.images))
        return took

    def _source(self, contender: Contender) -> Path:
        """What a tool starts from: the registry's storage, or what its preparation makes, once."""
        prepare = contender.prepare
        if prepare is None:
            return self._upstream.storage
        if prepare not in self._prepared:
            new_folder = self._place.new_folder(keep=self._place.keep)
            folder = self._sources.enter_context(new_folder)
            output = folder / "output"
            task = Task(self._upstream.address, self._images(contender), folder, output)
            commands = prepare(self._place.programs, task)
            measure(commands, folder, environment(folder), sync=False)
            self._prepared[prepare] = output
        return self._prepared[prepare]

    def _images(self, contender: Contender) -> list[str]:
        """The images that a tool is given: all, or a sample."""
        return self._data.images[:SAMPLE] if contender.sampled else self._data.images


def _check_whole(written: int, expected: int) -> None:
    """Who leaves out a platform has not done the same work."""
    if written < expected:
        raise HostError(f"only {format_bytes(written)} of {format_bytes(expected)} were written")
