"""`python -m benchmarks.replay`: what recording and replaying builds cost.

Dockerfiles whose steps download many small files, a few large ones, or what a service in Python or
JavaScript is made of, are built in turn in several ways, and the results are written to
`benchmarks/results`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from airgap import __version__
from airgap.builder.buildx_build import POLICY_VARIABLE
from airgap.errors import UsageError
from benchmarks.command import run
from benchmarks.downloads import DOWNLOADS, LARGE, SMALL, Downloads
from benchmarks.machine import describe_machine
from benchmarks.measure import Command, Measurement, measure
from benchmarks.node_packages import write_registry
from benchmarks.replay_report import (
    JOB,
    MIRROR,
    PROXY,
    RECORDED,
    REPLAYED,
    ReplayReport,
    Size,
    document,
    render,
    replay_targets,
)
from benchmarks.report import Setting
from benchmarks.results import Run, rows_of
from benchmarks.wheels import write_index
from lab import images
from lab.buildkit import BuildKit
from lab.cache import cache_root, say
from lab.cleanup import removed_at_end
from lab.parts import PARTS
from lab.prepare import ready
from lab.static_site import Site, nginx_version, static_site
from lab.upstream import Upstream

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
ALL = ",".join(DOWNLOADS)

_OPTIONS = ("--no-cache", "--quiet", "--provenance=false")


@dataclass(slots=True)
class _Place:
    """Where builds run, and what was measured.

    Attributes:
        folder: For everything that is written.
        site: What is downloaded from.
        buildkit: Builds.
        proxied: Builds with the proxy network.
        runs: Those so far.
        sizes: Of the recordings so far, by the name of the downloads.
    """

    folder: Path
    site: Site
    buildkit: BuildKit
    proxied: BuildKit
    runs: list[Run] = field(default_factory=list)
    sizes: dict[str, Size] = field(default_factory=dict)


@click.command(help=__doc__)
@click.option("--downloads", default=ALL, show_default=True, help="Which of the downloads.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Of each.")
def main(downloads: str, rounds: int) -> None:
    """Measures everything and writes the results."""
    unknown = set(downloads.split(",")) - set(DOWNLOADS)
    if unknown:
        raise UsageError(f"there are no downloads {unknown.pop()!r}", remedy=f"choose from {ALL}")
    ready()
    with _place(downloads.split(",")) as place:
        setting = Setting(
            date=datetime.now(UTC).date().isoformat(),
            command=f"python -m benchmarks.replay --downloads {downloads} --rounds {rounds}",
            machine=describe_machine(place.folder),
            versions=_versions(),
            notes=[],
        )
        for name in downloads.split(","):
            _measure_downloads(place, DOWNLOADS[name], rounds)
    rows = rows_of(place.runs)
    sizes = list(place.sizes.values())
    report = ReplayReport(setting, place.runs, rows, sizes, replay_targets(rows, sizes))
    _write(report, "" if downloads == ALL else f"-{downloads.replace(',', '-')}")


@contextmanager
def _place(downloads: Sequence[str]) -> Iterator[_Place]:
    """Everything that builds need which have these downloads."""
    folder = cache_root() / f"benchmark-{os.getpid()}"
    with ExitStack() as stack:
        stack.enter_context(removed_at_end("folder", str(folder)))
        (folder / "site").mkdir(parents=True)
        for files in (SMALL, LARGE):
            files.write(folder / "site")
        if "pip" in downloads:
            write_index(folder / "site")
        site = stack.enter_context(static_site(folder / "site", folder / "nginx"))
        if "npm" in downloads:
            write_registry(folder / "site", site.url)
        upstream = stack.enter_context(Upstream(images.storage()))
        buildkit = stack.enter_context(BuildKit(upstream))
        proxied = stack.enter_context(BuildKit(upstream, proxied=True))
        yield _Place(folder, site, buildkit, proxied)


def _measure_downloads(place: _Place, downloads: Downloads, rounds: int) -> None:
    context = place.folder / downloads.name
    downloads.write(context, place.site.url)
    base = place.folder / f"{downloads.name} base"
    base.mkdir()
    (base / "Dockerfile").write_text(f"FROM {downloads.base}\nRUN true\n")
    outputs = {
        downloads.name: f"type=oci,dest={place.folder / 'image.tar'}",
        f"{downloads.name}, downloads alone": "type=cacheonly",
    }
    for _ in range(rounds):
        for data, output in outputs.items():
            build = _Build(place, context, base, [*_OPTIONS, f"--output={output}"])
            for way, measured in _WAYS.items():
                took = measured(build)
                say(f"{data}: {way}: {took.wall_seconds:.2f} s")
                place.runs.append(Run(data, JOB, way, "", took))
    shutil.rmtree(_store(place))


@dataclass(frozen=True, slots=True)
class _Build:
    """What is built in all ways.

    Attributes:
        place: Where.
        context: The folder with the Dockerfile.
        base: One with a Dockerfile that has its base unpacked.
        options: For buildx.
    """

    place: _Place
    context: Path
    base: Path
    options: Sequence[str]


def _mirror(build: _Build) -> Measurement:
    return _plain(build, build.place.buildkit, {})


def _proxy(build: _Build) -> Measurement:
    return _plain(build, build.place.proxied, _source_policy(build.place))


def _plain(build: _Build, buildkit: BuildKit, variables: Mapping[str, str]) -> Measurement:
    """A build without airgap, whose memory nobody asks for."""
    buildx = buildkit.builder.buildx
    command = [*buildx.command, "build", "--builder", buildx.builder]
    command += [*build.options, str(build.context)]
    return replace(_measured(build, buildkit, [command], variables), peak_bytes=0)


def _recorded(build: _Build) -> Measurement:
    shutil.rmtree(_store(build.place), ignore_errors=True)
    return _with_airgap(build, RECORDED)


def _replayed(build: _Build) -> Measurement:
    return _with_airgap(build, REPLAYED)


def _with_airgap(build: _Build, way: str) -> Measurement:
    place, buildkit = build.place, build.place.proxied
    buildx = buildkit.builder.buildx
    order = {
        "way": way,
        "buildx": buildx.command,
        "builder": buildx.builder,
        "started": str(place.folder),
        "arguments": [*build.options, str(build.context)],
        "store": str(_store(place)),
        "report": str(place.folder / "airgap.json"),
    }
    file = place.folder / "order.json"
    file.write_text(json.dumps(order))
    command = [sys.executable, "-m", "benchmarks.replay_build", str(file)]
    took = _measured(build, buildkit, [command], {"PYTHONPATH": str(ROOT)})
    report = json.loads((place.folder / "airgap.json").read_text())
    if way == RECORDED:
        place.sizes[build.context.name] = Size(build.context.name, **report["size"])
    return replace(took, peak_bytes=report["peak_bytes"])


_WAYS: Mapping[str, Callable[[_Build], Measurement]] = {
    MIRROR: _mirror,
    PROXY: _proxy,
    RECORDED: _recorded,
    REPLAYED: _replayed,
}


def _measured(
    build: _Build, buildkit: BuildKit, commands: Sequence[Command], variables: Mapping[str, str]
) -> Measurement:
    """Measures commands on a BuildKit that has the base and nothing else."""
    folder, buildx = build.place.folder, buildkit.builder.buildx
    buildx.output(["prune", "--all", "--force"])
    buildx.output(["build", *_OPTIONS, "--output=type=cacheonly", str(build.base)])
    home = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    return measure(commands, folder, {**home, **buildx.environment, **variables}, sync=False)


def _source_policy(place: _Place) -> dict[str, str]:
    """Leads from one address of the site to the other, as airgap's leads to its server."""
    site, twin = f"http://{place.site.address}/", f"http://{place.site.twin}/"
    rules = [
        {"action": "DENY", "selector": {"identifier": "http*://*"}},
        {"action": "ALLOW", "selector": {"identifier": f"{twin}*"}},
        {
            "action": "CONVERT",
            "selector": {"identifier": f"{site}*"},
            "updates": {"identifier": f"{twin}${{1}}"},
        },
    ]
    file = place.folder / "policy.json"
    file.write_text(json.dumps({"rules": rules}))
    return {POLICY_VARIABLE: str(file)}


def _store(place: _Place) -> Path:
    return place.folder / "recording" / "store"


def _versions() -> dict[str, str]:
    ours = {"airgap": __version__, "python": platform.python_version()}
    ours |= {"openssl": ssl.OPENSSL_VERSION, "nginx": nginx_version()}
    return ours | {name: PARTS[name].version for name in ("buildkitd", "buildx", "runc")}


def _write(report: ReplayReport, part: str) -> None:
    """Writes JSON and Markdown.

    Args:
        report: What to write.
        part: In the files' names, what of all downloads they are about; empty for all.
    """
    RESULTS.mkdir(exist_ok=True)
    name = f"{report.setting.date}-{report.setting.machine['cores']}cpu-replay{part}"
    (RESULTS / f"{name}.json").write_text(json.dumps(document(report), indent=1) + "\n")
    text = render(report)
    (RESULTS / f"{name}.md").write_text(text)
    click.echo(text)


if __name__ == "__main__":
    run(main)
