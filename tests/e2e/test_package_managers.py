"""All the ways in which builds download: recorded on a workstation, replayed on an isolated host.

One bundle holds all of it. The workstation has a proxy of its company's, and what the lab's own
site has comes with a certificate of the company's, so that its CA is named.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from airgap.bundle.contents import RecordingEntry
from airgap.canonical import parse_time
from airgap.replay.recording_store import load_recording
from airgap.store.store import Store
from airgap.trust.keys import load_private
from lab import full_run
from lab.alpine import apk_repository
from lab.apt_repository import URL, AptRepository
from lab.host import IsolatedHost
from lab.medium import Medium
from lab.site import HOSTS, Page, Site
from lab.upstream import Upstream
from lab.workstation import Workstation
from tests import forge

pytestmark = pytest.mark.timeout(2400)  # the first test waits for all to be recorded

PLATFORMS = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
ROWS = sorted(path.name for path in full_run.RECORDED.iterdir())
SLOW_WHEN_EMULATED = ("cargo", "maven", "npm", "pip-debian")
"""Rows that `make test` builds for amd64 alone; `make test-all` builds them for arm64 too."""
PYTHON = ["-c", "import markupsafe._speedups, platform, six; print(platform.machine())"]
RUNS: dict[str, tuple[list[str], str]] = {
    "add": (["/opt/hello"], "hello from {machine}"),
    "apk": (["greeting"], "hello from {machine}"),
    "apt": (["jq", "-n", "1+1"], "2"),
    "apt-ca": (["cat", "/page.html"], "<p>a page</p>"),
    "cargo": ([], "{machine} 42"),
    "curl": (["/opt/hello"], "hello from {machine}"),
    "go": ([], "{architecture} built without a network"),
    "maven": (["java", "-cp", "target/classes", "app.App"], "{architecture}"),
    "node-fetch": (["cat", "/page.html"], "<p>a page</p>"),
    "not-found": (["cat", "/extra.html"], "none"),
    "npm": (["node", "-p", "require('debug') && process.arch"], "{node}"),
    "pip": (["python3", *PYTHON], "{machine}"),
    "pip-debian": (["python3", *PYTHON], "{machine}"),
    "redirects": (["cat", "/page.html"], "<p>a page</p>"),
    "wget": (["/opt/hello"], "hello from {machine}"),
    "wget-busybox": (["/root/hello"], "hello from {machine}"),
}
"""What each image is run with, and what it says."""

BIG_BYTES = 1 << 30
FLAT_BYTES = 400 << 20
"""What no process of ours may take in memory, whatever it passes on."""

AT_ONCE = 50
FROM_CURL = "FROM buildpack-deps:trixie-curl\n"
BIG = f"{FROM_CURL}RUN curl -fsS https://download.example.com/big | sha256sum > /sum\n"
MANY = (
    f"{FROM_CURL}RUN seq {AT_ONCE} | xargs -P {AT_ONCE} -I N "
    "curl -fsS -o /N.html https://download.example.com/at-once/N.html\n"
)
DATED = f"""\
FROM debian:bookworm-slim
COPY key.gpg /
RUN rm /etc/apt/sources.list && echo deb [signed-by=/key.gpg] {URL} stable main \
    > /etc/apt/sources.list.d/lab.list
RUN apt-get OPTION update && apt-get install -y greeting && greeting
"""
GOOD_FOR = 60
"""Seconds for which the release file of `DATED` is good, from when it is fetched."""

_PEAK = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(done.returncode)
"""
"""Runs a command and says how many KiB the largest process of it and its children had."""


@dataclass(frozen=True, slots=True)
class Place:
    """A host that was set up from the medium, and what was seen on the way.

    Attributes:
        host: The host; it trusts `key`.
        key: Signed the bundle.
        said: By the command that recorded.
        hosts: Those that the company's proxy led to.
        recordings: By name.
    """

    host: IsolatedHost
    key: Path
    said: str
    hosts: frozenset[str]
    recordings: dict[str, RecordingEntry]

    def build(self, recording: str, context: str, *arguments: str) -> CompletedProcess[str]:
        """Builds with a recording; what it prints says how much memory it took."""
        command = ["airgap", "build", "--recording", recording, "--progress", "plain"]
        request = ["--request", "/root/airgap-request.toml"]
        peak = ["python3", "-I", "-c", _PEAK]
        return self.host.run(
            [*peak, *command, *request, *arguments, context], check=False, timeout=900
        )

    def write(self, name: str, dockerfile: str) -> str:
        """A context with one Dockerfile on the host."""
        folder = self.host.path(f"/root/{name}")
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text(dockerfile)
        return f"/root/{name}"


@pytest.fixture(scope="module")
def place(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("package-managers")
    key = full_run.make_key(folder)
    with ExitStack() as stack:
        with Site() as site:
            builds = _contexts(folder, site)
            with Workstation() as workstation:
                medium = stack.enter_context(Medium(8 << 30))
                bundle = medium.path / "bundle"
                ca = f"--record-ca={site.ca_file}"
                arguments = full_run.record_arguments(upstream, key, bundle, builds, ca)
                done = workstation.run(
                    [sys.executable, "-c", _PEAK, "airgap", *arguments],
                    env=site.environment,
                    timeout=3000,
                )
            document = json.loads((bundle / "bundle.json").read_text())
            entries = {one["name"]: RecordingEntry(**one) for one in document["recordings"]}
        medium.seal()
        host = stack.enter_context(IsolatedHost())
        host.check_isolated()
        host.start_docker()
        host.attach(medium)
        full_run.check_by_hand(host, key.with_suffix(".pub"))
        full_run.install(host)
        for context in (*(full_run.RECORDED / name for name in ROWS), folder / "dated"):
            shutil.copytree(context, host.path(f"/root/{context.name}"))
        yield Place(host, key, done.stdout + done.stderr, frozenset(site.hosts), entries)


def _contexts(folder: Path, site: Site) -> list[Path]:
    """What is recorded, and what of it the site has: first what is to expire."""
    repository = AptRepository(folder, GOOD_FOR)
    together = threading.Barrier(AT_ONCE)

    def when_all_have_come() -> Page:
        together.wait(60)
        return Page(b"one of many\n")

    site.pages |= {**repository.pages(), **apk_repository().pages()}
    site.pages["/big"] = Page(zeros=BIG_BYTES)
    numbers = range(1, AT_ONCE + 1)
    site.pages |= {f"/at-once/{number}.html": when_all_have_come for number in numbers}
    spec = 'name = "package-managers"\n'
    for name, text in {"dated": DATED, "big": BIG, "many": MANY}.items():
        context = folder / name
        context.mkdir()
        (context / "Dockerfile").write_text(text.replace(" OPTION", ""))
        shutil.copy(repository.key, context)
        spec += f'[[recordings]]\ncontext = "{name}"\nplatforms = ["linux/amd64"]\n'
    for name in ROWS:
        context, platforms = full_run.RECORDED / name, json.dumps(platforms_of(name))
        spec += f'[[recordings]]\ncontext = "{context}"\nplatforms = {platforms}\n'
    (folder / "own.toml").write_text(spec)
    return [folder / "own.toml"]


def platforms_of(name: str) -> list[str]:
    """The platforms that a row is recorded and built for."""
    later = name in SLOW_WHEN_EMULATED and "AIRGAP_TEST_ALL" not in os.environ
    return ["linux/amd64"] if later else list(PLATFORMS)


def peak_bytes(said: str) -> int:
    return max(int(kib) for kib in re.findall(r"^peak (\d+)$", said, re.M)) << 10


def test_every_row_is_run() -> None:
    assert sorted(RUNS) == ROWS


def test_it_was_recorded_through_the_companys_proxy(place: Place) -> None:
    assert set(HOSTS) < place.hosts
    assert not any(host.startswith("127.") for host in place.hosts), place.hosts


@pytest.mark.parametrize("name", ROWS)
def test_what_was_recorded_is_built_and_runs(place: Place, name: str) -> None:
    tag = f"127.0.0.1:5000/recorded/{name}"
    platforms = platforms_of(name)
    chosen = ["--platform", ",".join(platforms)]
    done = place.build(name, f"/root/{name}", *chosen, "-t", tag, "--push")
    assert done.returncode == 0, done.stderr[-1500:]
    assert "not in the recording" not in done.stderr
    command, expected = RUNS[name]
    for platform in platforms:
        machine = PLATFORMS[platform]
        run = ["docker", "run", "--rm", "--pull", "always", "--platform", platform, tag, *command]
        architecture = platform.partition("/")[2]
        if name == "maven" and architecture == "arm64":
            architecture = machine  # as Java calls it
        node = architecture.replace("amd64", "x64")
        text = expected.format(machine=machine, architecture=architecture, node=node)
        assert place.host.run(run).stdout.strip() == text


def test_a_large_file_takes_no_more_memory_than_a_small_one(place: Place) -> None:
    assert peak_bytes(place.said) < FLAT_BYTES
    done = place.build("big", place.write("big", BIG), "--load", "-t", "big")
    assert done.returncode == 0, done.stderr[-1500:]
    assert peak_bytes(done.stderr) < FLAT_BYTES
    shown = place.host.run(["docker", "run", "--rm", "big", "cat", "/sum"]).stdout
    # The sum of 1 GiB of zeros.
    assert shown.startswith("49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14 ")


def test_fifty_connections_at_once(place: Place) -> None:
    done = place.build("many", place.write("many", MANY), "--load", "-t", "many")
    assert done.returncode == 0, done.stderr[-1500:]
    listed = place.host.run(["docker", "run", "--rm", "many", "sh", "-c", "cat /*.html | wc -l"])
    assert int(listed.stdout) == AT_ONCE


def test_apt_takes_release_files_that_have_expired(place: Place) -> None:
    until = parse_time(place.recordings["dated"].until)
    time.sleep(max(0, (until - datetime.now(UTC)).total_seconds() + 1))
    done = place.build("dated", "/root/dated")
    assert done.returncode == 0, done.stderr[-1500:]
    by_itself = DATED.replace("OPTION", "-o Acquire::Check-Date=1 -o Acquire::Check-Valid-Until=1")
    (place.host.path("/root/dated") / "Dockerfile").write_text(by_itself)
    done = place.build("dated", "/root/dated")
    assert done.returncode != 0
    assert "is expired" in done.stderr


def test_apt_checks_signatures_of_what_was_recorded(place: Place) -> None:
    _bring_changed(place, "dated", _change_apt_index)
    (place.host.path("/root/dated") / "Dockerfile").write_text(DATED.replace(" OPTION", ""))
    done = place.build("changed-dated", "/root/dated", "--no-cache")
    assert done.returncode != 0
    assert "The following signatures were invalid" in done.stderr


def test_apk_checks_signatures_of_what_was_recorded(place: Place) -> None:
    _bring_changed(place, "apk", _change_apk_indexes)
    done = place.build("changed-apk", "/root/apk", "--no-cache")
    assert done.returncode != 0
    assert "BAD signature" in done.stderr


def _change_apt_index(bodies: dict[str, bytes]) -> None:
    """Another index, which the release file names."""
    (index,) = (url for url in bodies if url.endswith("/Packages"))
    (release,) = (url for url in bodies if url.endswith("/InRelease"))
    named = hashlib.sha256(bodies[index]).hexdigest().encode()
    bodies[index] = bodies[index].replace(b"Version: 1.0", b"Version: 6.6")
    renamed = hashlib.sha256(bodies[index]).hexdigest().encode()
    bodies[release] = bodies[release].replace(named, renamed)


def _change_apk_indexes(bodies: dict[str, bytes]) -> None:
    """Other indexes below the same signatures."""
    for url in [url for url in bodies if url.endswith("/APKINDEX.tar.gz")]:
        signature = zlib.decompressobj(zlib.MAX_WBITS | 16)  # gzip
        signature.decompress(bodies[url])
        signed = signature.unused_data
        changed = gzip.compress(gzip.decompress(signed).replace(b"says hello", b"says other"))
        bodies[url] = bodies[url].removesuffix(signed) + changed


def _bring_changed(place: Place, name: str, change: Callable[[dict[str, bytes]], None]) -> None:
    """Installs a recording once more, as `changed-NAME`, with other bodies."""
    store = Store(place.host.path("/var/lib/airgap/replay"))
    recording = load_recording(store, place.recordings[name])
    bodies = {
        response.url: b"".join(store.blob(response.digest))
        for response in recording.responses.values()
    }
    change(bodies)
    responses = [
        forge.response(
            response.url,
            bodies[response.url],
            key=response.key,
            status=response.status,
            headers=[list(header) for header in response.headers],
        )
        for response in recording.responses.values()
    ]
    changed = f"changed-{name}"
    recordings = [forge.recorded_map(changed, responses, bodies.values())]
    key = load_private(place.key, None)
    folder = f"/srv/{changed}"
    forge.make_bundle(place.host.path(folder), key, name=changed, recordings=recordings)
    place.host.run(["airgap", "install", folder, "--only", "seed,recordings"])


PAGE = "https://download.example.com/page.html"
NOT_GET = "curl sends something other than GET: fetch it before the build"
REFUSED: dict[str, tuple[str, list[str]]] = {
    "git": (
        "curl -fsS 'https://download.example.com/app.git/info/refs?service=git-upload-pack'",
        ["error: 403", "git over smart HTTP needs POST", "ADD an archive"],
    ),
    "post": (f"curl -fsS -d a=b {PAGE}", ["error: 403", NOT_GET]),
    "head": (f"curl -fsSI {PAGE}", ["error: 403", NOT_GET]),
    "ftp": ("curl -fsS ftp://download.example.com/a", ["ftp is not HTTP: fetch it before"]),
    "socket": ("bash -c 'exec 3<>/dev/tcp/192.0.2.1/22'", ["Network is unreachable"]),
    "pinned": (
        f"curl -fsS --pinnedpubkey sha256//{'A' * 43}= {PAGE}",
        ["public key does not match pinned public key"],
    ),
}
"""A command that no recording can help, and what is said of it."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_recorded_ends_at_once_and_is_named(place: Place, name: str) -> None:
    command, reasons = REFUSED[name]
    begun = time.monotonic()
    done = place.build("many", place.write("refused", f"{FROM_CURL}RUN {command}\n"))
    assert done.returncode == 10
    for reason in reasons:
        assert reason in done.stderr
    assert time.monotonic() - begun < 60
