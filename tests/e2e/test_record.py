"""Recording and rehearsing on a workstation: no secret is kept, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.errors import ExitCode
from lab import full_run
from lab.loopback_site import LoopbackSite, content
from lab.upstream import Upstream
from lab.workstation import Workstation

_BASE = "buildpack-deps:trixie-curl"
_PLAIN = f"FROM {_BASE}\nRUN echo begun && curl -fsS -o /plain SITE/file/plain\n"
_SECRETS = f"""\
FROM {_BASE}
ARG API_TOKEN
ARG VERSION
COPY secrets /secrets
RUN curl -fsS -H @/secrets/header SITE/file/header
RUN curl -fsS -b $(cat /secrets/cookie) SITE/file/cookie
RUN curl -fsS "SITE/file/query?$(cat /secrets/query)"
RUN curl -fsS "http://$(cat /secrets/user)@$(echo SITE/file/user | cut -d/ -f3-)"
RUN curl -fsS -H "X-Key: $API_TOKEN" SITE/file/$API_TOKEN
RUN curl -fsSL SITE/to/file/redirected
RUN curl -fsS SITE/file/tool-$VERSION
"""
_VALUES = {
    "header": "Authorization: Bearer canary-header",
    "cookie": "session=canary-cookie",
    "query": "token=canary-query",
    "user": "canary-user:canary-password",
}
_NOT_CONNECTED = 7
"""Status of curl."""

_CANARY = re.compile(rb"canary-[a-z]+")


@dataclass(frozen=True)
class Recording:
    """A workstation and a site, and a bundle with one recording."""

    station: Workstation
    site: LoopbackSite
    key: Path
    registries: Path
    folder: Path

    def context(self, name: str, dockerfile: str) -> Path:
        """A folder with a Dockerfile."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text(dockerfile.replace("SITE", self.site.url))
        return folder

    def command(self, *wanted: str | Path) -> list[str | Path]:
        """`airgap bundle` with a key and the upstream."""
        signed: list[str | Path] = ["--key", self.key, "--registries", self.registries]
        return ["airgap", "bundle", *wanted, *signed]

    def rehearsal(self, context: Path) -> list[str | Path]:
        """`airgap rehearse` of the bundle."""
        trust: list[str | Path] = ["--trust", self.key.with_suffix(".pub")]
        return ["airgap", "rehearse", self.folder / "bundle", context, *trust]

    def traces(self) -> dict[str, object]:
        """What recording and rehearsing could leave behind."""
        run = self.station.run
        caches = Path(self.station.environment["XDG_CACHE_HOME"]) / "airgap"
        kept = ("tool", "wheels", "workshop.lock")  # of use for the next bundle
        return {
            "containers": run(["docker", "ps", "-aq"]).stdout,
            "networks": run(["docker", "network", "ls", "-q"]).stdout,
            "images": run(["docker", "images", "-q"]).stdout,
            "volumes": run(["docker", "volume", "ls", "-q"]).stdout,
            "emulators": sorted(path.name for path in Path("/proc/sys/fs/binfmt_misc").iterdir()),
            "cache": sorted(path.name for path in caches.glob("*") if path.name not in kept),
            "temporary": sorted(path.name for path in Path("/tmp").glob("airgap-*")),
        }


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Recording]:
    folder = tmp_path_factory.mktemp("recorded")
    key = full_run.make_key(folder)
    registries = folder / "registries.toml"
    registries.write_text(upstream.registries())
    with ExitStack() as stack:
        site = stack.enter_context(LoopbackSite("?sig=canary-redirect"))
        station = stack.enter_context(Workstation())
        recording = Recording(station, site, key, registries, folder)
        spec = folder / "spec.toml"
        spec.write_text('platforms = ["linux/amd64"]\n[[recordings]]\ncontext = "plain"\n')
        recording.context("plain", _PLAIN)
        station.run([*recording.command(spec), "-o", folder / "bundle"])
        yield recording


def _canaries(folder: Path) -> dict[str, set[bytes]]:
    found = {
        str(path): set(_CANARY.findall(path.read_bytes()))
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {path: canaries for path, canaries in found.items() if canaries}


@pytest.mark.parametrize("authenticated", [False, True], ids=["left out", "kept"])
def test_no_secret_is_in_the_bundle_or_in_what_is_said(
    recorded: Recording, authenticated: bool
) -> None:
    context = recorded.context("secrets", _SECRETS)
    (context / "secrets").mkdir(exist_ok=True)
    for name, value in _VALUES.items():
        (context / "secrets" / name).write_text(value)
    spec = recorded.folder / "secrets.toml"
    spec.write_text(
        'platforms = ["linux/amd64"]\n[[recordings]]\ncontext = "secrets"\n'
        'args = { API_TOKEN = "canary-argument", VERSION = "canary-version" }\n'
    )
    output = recorded.folder / f"secrets-{authenticated}"
    options = ["--record-authenticated"] if authenticated else []
    begun = len(recorded.site.requests)
    done = recorded.station.run([*recorded.command(spec), *options, "-o", output])
    asked = recorded.site.requests[begun:]
    assert set(_CANARY.findall(repr(asked).encode())) >= {
        b"canary-header",
        b"canary-cookie",
        b"canary-query",
        b"canary-argument",
        b"canary-redirect",
    }
    # BuildKit's proxy does not pass on the user of a URL as such: curl makes a header of it.
    assert _canaries(output) == {}
    said = (done.stdout + done.stderr).encode()
    assert not _CANARY.findall(said), done.stderr
    carried = (output / "replay.tar").read_bytes()
    kept = [name for name in ("header", "cookie", "query", "user") if content(name) in carried]
    assert kept == (["header", "cookie", "query", "user"] if authenticated else [])


def test_no_secret_is_in_what_a_failed_recording_leaves(recorded: Recording) -> None:
    context = recorded.context("failing", f"{_SECRETS}RUN false\n")
    (context / "secrets").mkdir(exist_ok=True)
    for name, value in _VALUES.items():
        (context / "secrets" / name).write_text(value)
    before = recorded.traces()
    output = recorded.folder / "failed"
    command = recorded.command("--record", context, "--platform", "linux/amd64")
    done = recorded.station.run([*command, "-o", output], check=False)
    assert done.returncode == 10, done.stderr
    assert "nothing is recorded" in done.stderr
    assert _canaries(output) == {}
    assert recorded.traces() == before


def test_what_git_would_fetch_is_named_and_not_recorded(recorded: Recording) -> None:
    before, asked = recorded.traces(), len(recorded.site.requests)
    context = recorded.context("git", f"FROM {_BASE}\nRUN sleep 60\nADD SITE/app.git#v1 /app\n")
    command = recorded.command("--record", context, "--platform", "linux/amd64")
    done = recorded.station.run([*command, "-o", recorded.folder / "git"], check=False)
    assert done.returncode == 10, done.stderr
    assert f"git fetches {recorded.site.url}/app.git#v1" in done.stderr
    assert len(recorded.site.requests) == asked
    assert recorded.traces() == before


def test_a_rehearsal_passes_and_leaves_nothing(recorded: Recording) -> None:
    before = recorded.traces()
    recorded.station.run(recorded.rehearsal(recorded.folder / "plain"))
    assert recorded.traces() == before


def test_a_rehearsal_names_what_is_not_in_the_bundle(recorded: Recording) -> None:
    before = recorded.traces()
    context = recorded.context("more", f"{_PLAIN}RUN curl -fsS SITE/file/never\n")
    done = recorded.station.run(recorded.rehearsal(context), check=False)
    assert done.returncode == 10
    assert f"{recorded.site.url}/file/never is not in the recording" in done.stderr
    context = recorded.context(
        "image", f"FROM busybox AS extra\n{_PLAIN}COPY --from=extra /bin/sh /\n"
    )
    done = recorded.station.run(recorded.rehearsal(context), check=False)
    assert done.returncode == 3
    assert "busybox" in done.stderr
    assert recorded.traces() == before


_LINGER = f"""\
FROM {_BASE}
RUN curl -fsS -o /plain SITE/file/plain
RUN ! curl -fsS -m 3 --noproxy '*' SITE/file/plain
RUN ! curl -fsS -m 3 --noproxy '*' http://MACHINE/
RUN ! timeout 3 bash -c 'echo > /dev/tcp/MACHINE/80'
RUN echo linger && sleep 300
"""


@contextmanager
def _begun(
    recording: Recording, argv: list[str | Path], until: str
) -> Iterator[subprocess.Popen[str]]:
    """A command that continues, after it said a line; it is killed if it does not end."""
    with subprocess.Popen(
        [str(word) for word in argv],
        cwd=recording.station.folder,
        env=recording.station.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stderr is not None
            said = ""
            while not re.search(until, said, re.M):
                line = process.stderr.readline()
                assert line, said
                said += line
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _machine_address() -> str:
    """An address of this machine that is not one of loopback."""
    shown = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout
    return shown.split()[0]


def test_a_rehearsal_has_no_way_out_and_an_interrupted_one_leaves_nothing(
    recorded: Recording,
) -> None:
    before = recorded.traces()
    text = _LINGER.replace("MACHINE", _machine_address())
    context = recorded.context("linger", text)
    upstream = recorded.registries.read_text().split('"')[3].partition("/")[0]
    image = f"{upstream}/docker.io/library/{_BASE}"
    probe = ["docker", "run", "--rm", "--network", "airgap-workshop", image, "curl", "-m", "3"]
    with _begun(recorded, recorded.rehearsal(context), r"^#\d+ [\d.]+ linger") as process:
        recorded.station.run(["docker", "pull", "-q", image])
        for address in (recorded.site.url, f"http://{_machine_address()}", "http://192.0.2.1"):
            reached = recorded.station.run([*probe, address], check=False)
            assert reached.returncode == _NOT_CONNECTED, reached.stderr
        recorded.station.run(["docker", "rmi", image])
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode != 0
    assert recorded.traces() == before


def test_an_interrupted_recording_leaves_nothing(recorded: Recording) -> None:
    before = recorded.traces()
    context = recorded.context("linger", f"FROM {_BASE}\nRUN echo linger && sleep 300\n")
    both = ["--platform", "linux/amd64", "--platform", "linux/arm64"]
    command = recorded.command("--record", context, *both)
    command += ["-o", recorded.folder / "interrupted"]
    with _begun(recorded, command, r"^#\d+ [\d.]+ linger") as process:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert recorded.traces() == before


def test_a_second_one_is_refused_and_a_killed_one_gives_way(recorded: Recording) -> None:
    context = recorded.context("linger", f"FROM {_BASE}\nRUN echo linger && sleep 300\n")
    plain = recorded.rehearsal(recorded.folder / "plain")
    before = recorded.traces()
    with _begun(recorded, recorded.rehearsal(context), r"^#\d+ [\d.]+ linger") as process:
        refused = recorded.station.run(plain, check=False)
        assert "another airgap records or rehearses" in refused.stderr
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    recorded.station.run(plain)
    after = recorded.traces()
    left = ("cache", "temporary")  # folders, of which nobody knows whether their process lives
    assert {what: after[what] for what in after if what not in left} == {
        what: before[what] for what in before if what not in left
    }


def test_what_another_user_runs_is_named_and_left_alone(recorded: Recording) -> None:
    run = recorded.station.run
    empty = recorded.folder / "empty.tar"
    empty.write_bytes(bytes(10240))
    run(["docker", "import", empty, "somebody/else:1"])
    name, label = "airgap-workshop-mirror", "airgap.root=airgap-workshop/4242"
    run(["docker", "create", "--name", name, "--label", label, "somebody/else:1", "/x"])
    try:
        refused = run(recorded.rehearsal(recorded.folder / "plain"), check=False)
        assert refused.returncode == ExitCode.HOST
        assert "the user 4242 records or rehearses builds on this machine" in refused.stderr
    finally:
        run(["docker", "rm", name])
        run(["docker", "rmi", "somebody/else:1"])
