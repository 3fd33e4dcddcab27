"""Builds from a recording on an isolated host: what they do, reach, miss, and leave behind."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pip._internal.models.index import PyPI

from lab import full_run
from lab.host import IsolatedHost
from lab.loopback_site import LoopbackSite, content
from lab.medium import Medium
from lab.parts import program
from lab.upstream import Upstream
from lab.workstation import Workstation

_ALPINE, _CURL = "alpine", "buildpack-deps:trixie-curl"
_MEDIUM_BYTES = 2 << 30
_APP = "127.0.0.1:5000/demo/replayed"
_TO_NOWHERE = ["--output", "type=cacheonly"]
# Public pages that a machine which installs the project can reach.
_PUBLIC = f"{PyPI.simple_url}/six/"
_MISSING_FILE = f"{PyPI.simple_url}/markupsafe/"
_REQUEST = "airgap-request.toml"

_DOCKERFILES = {
    "app": f"""\
FROM {_ALPINE} AS fetch
RUN wget -qO /data SITE/file/data && uname -m >> /data
FROM {_ALPINE}
COPY --from=fetch /data /data
ADD SITE/file/added /added
COPY note /note
CMD ["cat", "/data"]
""",
    "slow": f"""\
FROM {_ALPINE}
RUN echo begun && sleep 8 && wget -qO /slow SITE/file/slow
""",
    "plain": f"""\
FROM {_CURL}
RUN curl -fsS -o /plain SITE/file/plain
""",
    "forms": f"""\
FROM {_CURL}
RUN <<SCRIPT
set -e
curl -fsSL -o /six.html {_PUBLIC}
curl -fsS -o /forms SITE/file/forms
SCRIPT
COPY <<NOTE /note
a note
NOTE
RUN --network=none ! curl -fsS SITE/file/forms
USER nobody
RUN curl -fsSL -o /tmp/six.html {_PUBLIC} && cmp /six.html /tmp/six.html
""",
}


@dataclass(frozen=True)
class Replayed:
    """A host with recordings, and where they came from."""

    host: IsolatedHost
    station: Workstation
    site: LoopbackSite
    key: Path
    registries: Path

    def context(self, name: str, dockerfile: str = "", folder: str = "") -> str:
        """A folder of the host with a Dockerfile, one that was recorded if none is given."""
        folder = folder or f"/root/{name}"
        place = self.host.path(folder)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        text = dockerfile or _DOCKERFILES[name]
        (place / "Dockerfile").write_text(text.replace("SITE", self.site.url))
        (place / "note").write_text("a note of the context\n")
        return folder

    def build(
        self,
        *arguments: str,
        check: bool = True,
        **options: Any,  # noqa: ANN401 - passed on
    ) -> subprocess.CompletedProcess[str]:
        """`airgap build` on the host."""
        return self.host.run(["airgap", "build", *arguments], check=check, **options)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """`airgap build`, which continues."""
        return subprocess.Popen(
            self.host.command(["airgap", "build", *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def request(self) -> str:
        """The request file of the host, in the folder where all its commands run."""
        return self.host.path(f"/{_REQUEST}").read_text()


def write_contexts(folder: Path, site: LoopbackSite) -> Path:
    """The contexts to be recorded, and a spec that says so."""
    spec = ['name = "replayed"', 'platforms = ["linux/amd64"]', "[roles]"]
    spec += (full_run.BUNDLES / "arm64-builder.toml").read_text().splitlines()[8:13]
    for name, text in _DOCKERFILES.items():
        (folder / name).mkdir()
        (folder / name / "Dockerfile").write_text(text.replace("SITE", site.url))
        (folder / name / "note").write_text("a note of the context\n")
        spec += ["[[recordings]]", f'context = "{name}"']
        if name == "app":
            spec.append('platforms = ["linux/amd64", "linux/arm64"]')
    file = folder / "spec.toml"
    file.write_text("\n".join(spec))
    return file


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Replayed]:
    folder = tmp_path_factory.mktemp("replayed")
    key = full_run.make_key(folder)
    registries = folder / "registries.toml"
    registries.write_text(upstream.registries())
    with ExitStack() as stack:
        site = stack.enter_context(LoopbackSite())
        station = stack.enter_context(Workstation())
        medium = stack.enter_context(Medium(_MEDIUM_BYTES))
        spec = write_contexts(folder, site)
        signed: list[str | Path] = ["--key", key, "--registries", registries]
        signed += ["-o", medium.path / "bundle"]
        station.run(["airgap", "--quiet", "bundle", spec, *signed])
        medium.seal()
        host = stack.enter_context(IsolatedHost())
        host.check_isolated()
        host.start_docker()
        host.attach(medium)
        full_run.check_by_hand(host, key.with_suffix(".pub"))
        full_run.install(host)
        shutil.copy2(program("crane"), host.path("/usr/local/bin/crane"))
        yield Replayed(host, station, site, key, registries)


def _files(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in folder.rglob("*")
    }


# An unmodified Dockerfile for two platforms.


def test_a_two_platform_build_replays_and_the_image_shows_nothing_of_it(
    replayed: Replayed, tmp_path: Path
) -> None:
    host, context = replayed.host, replayed.context("app")
    before = _files(host.path(context))
    both = ["--platform", "linux/amd64,linux/arm64", "-t", _APP, "--push"]
    replayed.build(*both, context, timeout=300)
    assert _files(host.path(context)) == before
    for platform, machine in (("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")):
        run = ["docker", "run", "--rm", "--pull", "always", "--platform", platform, _APP]
        assert host.run(run).stdout == f"{content('data').decode()}{machine}\n"
        shown = host.run(["crane", "config", "--platform", platform, _APP]).stdout
        assert "airgap" not in shown.replace(replayed.site.url, "")
        assert not {line for line in json.loads(shown)["config"]["Env"] if "PROXY" in line.upper()}
        image = tmp_path / "image.tar"
        with image.open("wb") as file:
            argv = host.command(["crane", "export", "--platform", platform, _APP, "-"])
            subprocess.run(argv, stdout=file, check=True)
        assert b"airgap" not in image.read_bytes()
        with tarfile.open(image) as tar:
            names = tar.getnames()
        assert "added" in names
        assert not [name for name in names if re.search("airgap|mavenrc", name)], names
        manifest = json.loads(host.run(["crane", "manifest", "--platform", platform, _APP]).stdout)
        for layer in manifest["layers"][1:]:  # of the base each layer is alpine's own
            blob = host.command(["crane", "blob", f"{_APP}@{layer['digest']}"])
            listed = subprocess.run(blob, capture_output=True, check=True).stdout
            (tmp_path / "layer").write_bytes(listed)
            with tarfile.open(tmp_path / "layer") as tar:
                assert set(tar.getnames()) <= {"data", "added", "note"}


# What RUN steps reach.

_PROBES = {
    "mirror": "curl -fsS -m 5 -X PUT http://127.0.0.1:5001/v2/canary/manifests/latest",
    "mirror by gateway": "curl -fsS -m 5 http://172.17.0.1:5001/v2/",
    "registry": "curl -fsS -m 5 http://127.0.0.1:5000/v2/",
    "registry by name": "curl -fsS -m 5 http://localhost:5000/v2/",
    "write to the registry": "curl -fsS -m 5 -X POST http://172.17.0.1:5000/v2/canary/blobs/uploads/",
    "socket of docker": "curl -fsS -m 5 --unix-socket /var/run/docker.sock http://docker/version",
    "a LAN": "curl -fsS -m 5 http://10.0.0.1/",
    "a documentation net": "curl -fsS -m 5 https://198.51.100.7/",
    "own address of the host": "curl -fsS -m 5 http://172.17.0.1:22/",
    "a name": "curl -fsS -m 5 https://example.com/",
    "the name service": "getent hosts example.com",
    "raw TCP": "timeout 5 bash -c 'echo > /dev/tcp/198.51.100.7/80'",
    "raw TCP to the registry": "timeout 5 bash -c 'echo > /dev/tcp/127.0.0.1/5000'",
    "raw TCP to the gateway": "timeout 5 bash -c 'echo > /dev/tcp/172.17.0.1/5001'",
    "a tunnel": "curl -fsS -m 5 -p -x $HTTP_PROXY http://127.0.0.1:5001/v2/",
    "dot segments": "curl -fsS -m 5 --path-as-is http://127.0.0.1:5000/airgap/https/../../v2/",
    "encoded dot segments": "curl -fsS -m 5 http://127.0.0.1:5000/airgap/https/%2e%2e/%2e%2e/v2/",
    "writing by dot segments": (
        "curl -fsS -m 5 --path-as-is -X POST "
        "http://127.0.0.1:5000/airgap/https/../../v2/canary/blobs/uploads/"
    ),
    "the proxy as a server": "curl -fsS -m 5 --noproxy '*' $HTTP_PROXY/v2/",
    "UDP": "timeout 5 bash -c 'echo > /dev/udp/198.51.100.7/53'",
}


@pytest.mark.parametrize("proxied", [True, False], ids=["proxied", "direct"])
def test_a_run_step_reaches_nothing_but_the_recording(replayed: Replayed, proxied: bool) -> None:
    unset = "" if proxied else "unset HTTP_PROXY HTTPS_PROXY http_proxy https_proxy; "
    probes = {
        name: probe for name, probe in _PROBES.items() if proxied or "$HTTP_PROXY" not in probe
    }
    lines = [f"if {probe} 2>&1; then echo REACHED {name}; fi\n" for name, probe in probes.items()]
    all_of_them = f"({unset}\n{''.join(lines)}) > /said; echo ended >> /said\n"
    text = f"FROM {_CURL} AS probe\nRUN <<PROBES\n{all_of_them}PROBES\n"
    text += "FROM scratch\nCOPY --from=probe /said /\n"
    context = replayed.context("probes", text)
    begun = time.monotonic()
    replayed.build("--recording", "plain", "--output", "type=local,dest=/root/said", context)
    said = replayed.host.path("/root/said/said").read_text()
    assert said.endswith("ended\n")
    assert "REACHED" not in said
    assert time.monotonic() - begun < 30
    catalog = replayed.host.run(["crane", "catalog", "127.0.0.1:5000"], check=False).stdout
    assert "canary" not in catalog


@pytest.mark.parametrize(
    ("flag", "options"),
    [
        ("--network=host", []),
        ("--network=host", ["--allow", "network.host"]),
        ("", ["--network", "host"]),
        ("", ["--network", "host", "--allow", "network.host"]),
        ("--security=insecure", ["--allow", "security.insecure"]),
    ],
)
def test_no_option_opens_the_host_to_a_run_step(
    replayed: Replayed, flag: str, options: list[str]
) -> None:
    step = "curl -fsS --noproxy '*' -m 5 http://127.0.0.1:5001/v2/ && echo REACHED; false"
    context = replayed.context("host", f"FROM {_CURL}\nRUN {flag} {step}\n")
    done = replayed.build("--recording", "plain", *_TO_NOWHERE, *options, context, check=False)
    assert done.returncode == 10
    assert not re.search(r"^#\d+ [\d.]+ (\{\})?REACHED", done.stderr, re.M), done.stderr


_GIT_PORT = 8418
_GIT_URL = f"http://127.0.0.1:{_GIT_PORT}/app.git"
_GIT_SOURCES = (
    f"{_GIT_URL}#v1",
    f"{_GIT_URL}?tag=v1",
    f"https://127.0.0.1:{_GIT_PORT}/app.git#v1:folder",
    f"git://127.0.0.1:{_GIT_PORT}/app",
    f"ssh://git@127.0.0.1:{_GIT_PORT}/app",
    "git@127.0.0.1:app",
)
_LISTENER = f"""
import socket
server = socket.create_server(("127.0.0.1", {_GIT_PORT}))
print("ready", flush=True)
while True:
    client, _ = server.accept()
    print(client.recv(1000).splitlines()[:1], flush=True)
    client.close()
"""


@contextmanager
def _listening(host: IsolatedHost, log: Path) -> Iterator[None]:
    """Something on the host's loopback, where a git server could be; it logs who comes."""
    argv = [*host.network_namespace, sys.executable, "-I", "-c", _LISTENER]
    with log.open("wb") as output, subprocess.Popen(argv, stdout=output) as process:
        try:
            _wait_for(log, "ready")
            yield
        finally:
            process.terminate()


def _wait_for(log: Path, text: str) -> None:
    deadline = time.monotonic() + 30
    while text not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert text in log.read_text()


def test_what_git_would_fetch_for_the_builder_is_refused_at_once_and_named(
    replayed: Replayed, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with _listening(replayed.host, log):
        for source in _GIT_SOURCES:
            text = f"FROM {_CURL}\nRUN sleep 60\nADD {source} /app\n"
            begun = time.monotonic()
            context = replayed.context("git", text)
            done = replayed.build("--recording", "plain", *_TO_NOWHERE, context, check=False)
            assert done.returncode == 10, done.stderr
            assert f"git fetches {source}" in done.stderr
            assert "ADD an archive of the commit in its place" in done.stderr
            assert time.monotonic() - begun < 30
        named = ["--build-context", f"app={_GIT_URL}#v1"]
        context = replayed.context("git", f"FROM {_CURL}\nCOPY --from=app / /app\n")
        done = replayed.build("--recording", "plain", *_TO_NOWHERE, *named, context, check=False)
        assert done.returncode == 10, done.stderr
        assert f"git fetches {_GIT_URL}#v1" in done.stderr
        assert replayed.build(f"{_GIT_URL}#v1", check=False).returncode == 2
        assert log.read_text() == "ready\n"
        by_itself = ["docker", "exec", "airgap-replay", "git", "ls-remote", _GIT_URL]
        assert replayed.host.run(by_itself, check=False).returncode != 0
        _wait_for(log, "GET /app.git/info/refs")


def test_git_in_a_run_step_reaches_nothing(replayed: Replayed, tmp_path: Path) -> None:
    log = tmp_path / "log"
    gateway = _GIT_URL.replace("127.0.0.1", "172.17.0.1")
    addresses = (_GIT_URL, gateway, *_GIT_SOURCES[2:4], "https://git.example.com/app.git")
    lines = [f"! git -c http.sslVerify=false ls-remote {url}\n" for url in addresses]
    text = f"FROM moby/buildkit:buildx-stable-1\nRUN <<GIT\nset -e\n{''.join(lines)}"
    text += "unset HTTP_PROXY HTTPS_PROXY http_proxy https_proxy\n"
    text += f"{''.join(lines)}exit 7\nGIT\n"
    with _listening(replayed.host, log):
        context = replayed.context("git", text)
        done = replayed.build("--recording", "plain", *_TO_NOWHERE, context, check=False)
        assert "exit code: 7" in done.stderr, done.stderr
        assert "git over smart HTTP needs POST" in done.stderr
        assert log.read_text() == "ready\n"


# A recording that is not whole.


def _blob_of(replayed: Replayed, name: str) -> Path:
    digest = hashlib.sha256(content(name)).hexdigest()
    (blob,) = replayed.host.path("/var/lib/airgap/replay").glob(f"**/{digest}/data")
    return blob


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_a_damaged_answer_is_named_and_fixed_by_install(replayed: Replayed, damage: str) -> None:
    blob = _blob_of(replayed, "plain")
    if damage == "removed":
        blob.unlink()
    else:
        blob.write_bytes(content("plain")[:-2] + b"!\n")
    context = replayed.context("plain")
    done = replayed.build("--no-cache", *_TO_NOWHERE, context, check=False)
    assert done.returncode == 10, done.stderr
    assert f"{replayed.site.url}/file/plain" in done.stderr
    assert "install DIR --repair" in done.stderr
    replayed.build("--no-cache", *_TO_NOWHERE, replayed.context("forms"))
    replayed.host.run(["airgap", "install", full_run.ON_MEDIUM, "--repair"])
    replayed.build("--no-cache", *_TO_NOWHERE, context)


# Misses.


def test_what_is_missing_is_asked_for_and_included(replayed: Replayed) -> None:
    host = replayed.host
    host.run(["rm", "-f", f"/{_REQUEST}"])
    needs_more = (
        f"FROM busybox AS extra\nFROM {_CURL}\nCOPY --from=extra /bin/busybox /busybox\n"
        f"ADD {_MISSING_FILE} /markupsafe.html\nADD SITE/file/never /never\nRUN true\n"
    )
    done = replayed.build(
        "--recording", "plain", *_TO_NOWHERE, replayed.context("more", needs_more), check=False
    )
    assert done.returncode == 3
    for what in ("busybox", _MISSING_FILE, "/file/never"):
        assert what in done.stderr
    run = _DOCKERFILES["plain"] + f"RUN curl -fsSL -o /markupsafe.html {_PUBLIC}?new=1\n"
    changed = replayed.context("changed", run)
    again = ["--recording", "plain", *_TO_NOWHERE, changed]
    done = replayed.build(*again, check=False)
    assert done.returncode == 10
    assert f"{_PUBLIC}?new=1 is not in the recording" in done.stderr
    assert f"airgap bundle --request {_REQUEST}" in done.stderr
    request = replayed.request()
    for what in ("busybox", _MISSING_FILE, f"{_PUBLIC}?new=1", "/file/never"):
        assert what in request

    private = replayed.station.folder / "private.toml"
    private.write_text(request)
    signed: list[str | Path] = ["--no-roles", "--yes", "--key", replayed.key]
    signed += ["--registries", replayed.registries]
    refused = replayed.station.run(
        ["airgap", "bundle", "--request", private, *signed, "-o", "refused"], check=False
    )
    assert refused.returncode != 0
    assert replayed.site.url in refused.stderr
    asked = replayed.station.folder / "asked.toml"
    entries = re.split(r"(?m)^(?=\[\[)", request)
    asked.write_text("".join(entry for entry in entries if replayed.site.url not in entry))
    with Medium(_MEDIUM_BYTES) as medium:
        output = medium.path / "bundle"
        replayed.station.run(["airgap", "bundle", "--request", asked, *signed, "-o", output])
        medium.seal()
        host.attach(medium, "/media/second")
        try:
            host.run(["airgap", "install", "/media/second/bundle"])
        finally:
            host.detach("/media/second")
    replayed.build(*again)
    whole = needs_more.replace("ADD SITE/file/never /never\n", "")
    replayed.build("--recording", "plain", *_TO_NOWHERE, replayed.context("more", whole))


def test_no_secret_of_a_miss_is_written_or_said(replayed: Replayed) -> None:
    request = replayed.host.path("/root/secrets.toml")
    context = replayed.context(
        "secrets",
        f"FROM {_CURL}\nARG API_TOKEN\nCOPY note /note\n"
        'RUN curl -fsS "SITE/never?$(cat /note)"; curl -fsS SITE/never/$API_TOKEN; false\n',
    )
    replayed.host.path(f"{context}/note").write_text("token=canary-query")
    secret = ["--build-arg", "API_TOKEN=canary-argument", "--request", "/root/secrets.toml"]
    done = replayed.build("--recording", "plain", *secret, *_TO_NOWHERE, context, check=False)
    assert done.returncode == 10
    for text in (done.stdout, done.stderr, request.read_text()):
        assert "canary" not in text
    assert f"GET {replayed.site.url}/never?token=REDACTED -> 403" in done.stderr
    assert "/never/{API_TOKEN} is not in the recording" in done.stderr


# Several at once, and killed ones.


def test_builds_at_once(replayed: Replayed) -> None:
    slow, plain = replayed.context("slow"), replayed.context("plain")
    options = ["--no-cache", "--progress", "plain", *_TO_NOWHERE]
    builds = [replayed.begin(*options, context) for context in (slow, slow, plain, plain)]
    for one in builds:
        said, _ = one.communicate(timeout=120)
        assert one.returncode == 0, said


def _wait_for_line(build: subprocess.Popen[str], pattern: str) -> None:
    assert build.stdout is not None
    for line in build.stdout:
        if re.search(pattern, line):
            return
    raise AssertionError(f"no line {pattern}")


def _kill(build: subprocess.Popen[str]) -> None:
    """Kills `airgap build`, docker and buildx with -9, all of which descend from the process."""
    processes = [build.pid]
    for process in processes:  # grows
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            processes += map(int, children.read_text().split())
    for process in processes:
        os.kill(process, signal.SIGKILL)
    build.communicate(timeout=60)


def test_after_a_killed_build_the_same_one_passes(replayed: Replayed) -> None:
    context = replayed.context("slow")
    options = ["--no-cache", "--progress", "plain", *_TO_NOWHERE]
    build = replayed.begin(*options, context)
    _wait_for_line(build, r"[\d.]+ begun")
    _kill(build)
    replayed.build(*options, context)


def test_a_killed_build_does_not_take_along_another_one_that_shares_its_steps(
    replayed: Replayed,
) -> None:
    context = replayed.context("slow", _DOCKERFILES["slow"].replace("begun", "shared"))
    options = ["--recording", "slow", "--progress", "plain", *_TO_NOWHERE]
    first = replayed.begin(*options, context)
    _wait_for_line(first, r"[\d.]+ shared")
    second = replayed.begin(*options, context)
    _wait_for_line(second, r"RUN .*echo shared")
    _kill(first)
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert _servers(replayed.host) == []


def _servers(host: IsolatedHost) -> list[str]:
    """The processes of airgap on the host that are left."""
    ps = host.run(["ps", "-e", "-ww", "-o", "pid,args"]).stdout.splitlines()
    return [line for line in ps if re.search(r"airgap (build|serve)|buildx", line)]


# Plain buildx and bake.


def test_serve_and_env_for_plain_buildx_and_bake(replayed: Replayed) -> None:
    host, context = replayed.host, replayed.context("plain")
    host.path(f"{context}/docker-bake.hcl").write_text(
        'target "default" { output = ["type=cacheonly"] }\n'
    )
    before = _files(host.path(context))
    in_folder = ["sh", "-c", f"cd {context} && exec airgap serve --recording plain"]
    serve = subprocess.Popen(
        host.command(in_folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert serve.stdout is not None
    assert "serving the recording plain" in serve.stdout.readline()
    begin = f'cd {context} && eval "$(airgap env)" && docker buildx '
    host.run(["sh", "-c", f"{begin} build --no-cache {' '.join(_TO_NOWHERE)} ."])
    host.run(["sh", "-c", f"{begin} bake --no-cache"])
    file = host.path(f"{context}/Dockerfile")
    text = file.read_text()
    file.write_text(text + "RUN curl -fsS http://127.0.0.2/never\n")
    missed = host.run(["sh", "-c", f"{begin} bake"], check=False)
    assert missed.returncode != 0
    file.write_text(text)
    host.run(["pkill", "-INT", "-f", "airga[p].pyz serve"])
    out, err = serve.communicate(timeout=30)
    assert serve.returncode == 0, err
    assert "ended" in out
    assert "not in the recording: http://127.0.0.2/never" in err
    request = host.path(f"{context}/{_REQUEST}")
    assert "http://127.0.0.2/never" in request.read_text()
    request.unlink()
    after = _files(host.path(context))
    assert {path: digest for path, (_, digest) in after.items()} == {
        path: digest for path, (_, digest) in before.items()
    }


# Who builds, and in which forms.


def test_a_user_who_is_not_root_builds(replayed: Replayed) -> None:
    replayed.host.run(["airgap", "enable"], user="alice")
    context = replayed.context("plain", folder="/home/alice/plain")
    request = ["--request", f"/home/alice/{_REQUEST}"]
    replayed.build("--no-cache", *_TO_NOWHERE, context, user="alice")
    broken = _DOCKERFILES["plain"] + "RUN curl -fsS http://127.0.0.2/never\n"
    context = replayed.context("plain", broken, folder="/home/alice/plain")
    options = [*request, "--recording", "plain", *_TO_NOWHERE]
    done = replayed.build(*options, context, user="alice", check=False)
    assert done.returncode == 10
    assert "http://127.0.0.2/never is not in the recording" in done.stderr


def _stdin(replayed: Replayed, name: str) -> str:
    return _DOCKERFILES[name].replace("SITE", replayed.site.url)


@pytest.mark.parametrize("way", ["relative", "file on stdin", "dockerfile as context", "other -f"])
def test_ways_to_name_a_build(replayed: Replayed, way: str) -> None:
    context = replayed.context("plain")
    arguments: Mapping[str, Sequence[str]] = {
        "relative": ["root/plain"],
        "file on stdin": ["-f", "-", context],
        "dockerfile as context": ["-"],
        "other -f": ["-f", "root/plain/Dockerfile", "root"],
    }
    text = _stdin(replayed, "plain") if "stdin" in way or "context" in way else None
    replayed.build("--no-cache", *_TO_NOWHERE, *arguments[way], input=text)


def test_a_tar_on_standard_input_is_a_context(replayed: Replayed) -> None:
    context = replayed.context("plain")
    script = f"tar -C {context} -c . | airgap build --no-cache {' '.join(_TO_NOWHERE)} -"
    replayed.host.run(["sh", "-c", script])


def test_an_old_syntax_heredocs_no_network_and_another_user(replayed: Replayed) -> None:
    replayed.build("--no-cache", *_TO_NOWHERE, replayed.context("forms"))
    # There is no such image on the host: BuildKit's own frontend takes its place.
    old = replayed.context("forms", f"# syntax=docker/dockerfile:1.4\n{_DOCKERFILES['forms']}")
    replayed.build("--no-cache", "--recording", "forms", *_TO_NOWHERE, old)


def test_builds_continue_after_buildkit_has_started_again(replayed: Replayed) -> None:
    """With it comes another CA of its proxy; the one before is kept between builds."""
    host, context = replayed.host, replayed.context("forms")
    kept = host.path("/root/.cache/airgap/proxy-ca.json")
    replayed.build("--no-cache", *_TO_NOWHERE, context)
    before = kept.read_bytes()
    replayed.build("--no-cache", *_TO_NOWHERE, context)
    assert kept.read_bytes() == before
    host.run(["docker", "restart", "airgap-replay"])
    answers = "until docker exec airgap-replay buildctl debug info; do sleep 0.2; done"
    host.run(["sh", "-c", answers], timeout=60)
    replayed.build("--no-cache", *_TO_NOWHERE, context)
    assert kept.read_bytes() != before


def test_builds_leave_no_file_and_no_process(replayed: Replayed) -> None:
    host = replayed.host
    host.run(["sh", "-c", "rm -rf /tmp/airgap*"])  # of those that were killed
    context = replayed.context("slow")
    build = replayed.begin("--no-cache", "--progress", "plain", *_TO_NOWHERE, context)
    _wait_for_line(build, r"[\d.]+ begun")
    host.run(["pkill", "-TERM", "-f", "airga[p].pyz build"])
    build.communicate(timeout=60)
    assert not [*host.path("/tmp").glob("airgap*")]
    assert _servers(host) == []
