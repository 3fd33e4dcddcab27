"""A bundle in volumes on two media: carried, damaged, repaired, and pulled out half-way."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

import pytest

from airgap.bundle.contents import CONTENTS_NAME, Contents, parse_contents
from airgap.errors import ExitCode
from airgap.limits import MIB
from lab import full_run
from lab.blocked_reads import HeldReads
from lab.host import IsolatedHost
from lab.medium import Medium
from lab.run import run
from lab.upstream import Upstream
from tests.e2e.test_build import APP, BOTH, BUILDX

FIRST, SECOND, THIRD = "/media/a", "/media/b", "/media/c"
ROOT = "/srv/state"
ON_SECOND = "images.tar.002"
"""A volume from the middle, which the second medium holds."""

_BLOBS = f"{ROOT}/mirror/docker/registry/v2/blobs/sha256"
_VOLUME_SIZE = "96MiB"
_MEDIUM_BYTES = 1 << 30
_PATIENCE = 60.0
"""Seconds that an install has until it reads, or has written, a blob."""


class Server:
    """A host with two media, which hold one bundle; nothing is installed.

    Args:
        host: Has Docker, both media, and the tool that was checked.
        whole: The bundle on the workstation, whole.
        second: The medium with the later volumes.
    """

    def __init__(self, host: IsolatedHost, whole: Path, second: Medium) -> None:
        self.host, self.whole, self.second = host, whole, second
        self.contents: Contents = parse_contents((whole / CONTENTS_NAME).read_bytes())

    def command(self, verb: str, *arguments: str) -> list[str]:
        """A command of the checked tool, whose state is apart."""
        return [*full_run.TOOL, "--root", ROOT, verb, *arguments, "--trust", "/root/site.pub"]

    def verify(self, *folders: str) -> CompletedProcess[str]:
        """Reads every byte."""
        return self.host.run(self.command("verify", *folders), check=False)

    def seed(self, *folders: str) -> CompletedProcess[str]:
        """Installs the mirror's content alone."""
        command = self.command("install", *folders, "--only", "seed")
        return self.host.run(command, check=False)

    def state(self) -> set[str]:
        """Every file of the state, but those that running the tool leaves."""
        root = self.host.path(ROOT)
        files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        return {str(path) for path in files if path.parts[0] not in ("tool", "lock", "airgap.log")}

    def tags(self) -> list[Path]:
        """What the mirror's storage shows."""
        return list(self.host.path(ROOT).glob("mirror/**/_manifests/tags/*/current/link"))

    def blobs(self) -> dict[str, tuple[int, int]]:
        """Which file each finished blob is, and when it was written."""
        found = {}
        for path in self.host.path(_BLOBS).glob("*/*/data"):
            stated = path.stat()
            found[path.parent.name] = (stated.st_ino, stated.st_mtime_ns)
        return found

    @contextmanager
    def second_changed(self, change: Callable[[Path], object]) -> Iterator[None]:
        """Changes the volume `ON_SECOND`; at the end it is as it was."""
        self._write_to_second(change)
        try:
            yield
        finally:
            self._write_to_second(partial(shutil.copyfile, self.whole / ON_SECOND))

    def _write_to_second(self, change: Callable[[Path], object]) -> None:
        self.host.detach(SECOND)
        self.second.unseal()
        try:
            change(self.second.path / ON_SECOND)
        finally:
            self.second.seal()
            self.host.attach(self.second, SECOND)

    @contextmanager
    def second_is_out(self) -> Iterator[None]:
        """Pulls the second medium out of the running host, and puts it back at the end."""
        self.second.pull_out()
        try:
            yield
        finally:
            self.host.detach(SECOND)
            self.second.put_back()
            self.host.attach(self.second, SECOND)


@pytest.fixture(scope="module")
def one_server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    key = full_run.make_key(tmp_path_factory.mktemp("keys"))
    spec = full_run.BUNDLES / "arm64-builder.toml"
    with (
        TemporaryDirectory() as folder,
        Medium(_MEDIUM_BYTES) as first,
        Medium(_MEDIUM_BYTES, "ext2") as second,
        IsolatedHost() as host,
    ):
        whole = Path(folder, "bundle")
        full_run.make_bundle(upstream, key, whole, [spec], "--volume-size", _VOLUME_SIZE)
        shutil.copytree(whole, first.path, dirs_exist_ok=True)
        for path in first.path.glob("images.tar.*"):
            if path.name >= ON_SECOND:
                shutil.move(path, second.path)
        first.seal()
        second.seal()
        host.check_isolated()
        host.start_docker()
        host.attach(first, FIRST)
        host.attach(second, SECOND)
        full_run.check_by_hand(host, key.with_suffix(".pub"), FIRST)
        yield Server(host, whole, second)


@pytest.fixture
def server(one_server: Server) -> Server:
    shutil.rmtree(one_server.host.path(ROOT), ignore_errors=True)
    return one_server


def test_stock_tools_read_the_volumes_of_both_media(server: Server, tmp_path: Path) -> None:
    volumes = [file.name for file in server.contents.volumes]
    assert volumes == [f"images.tar.{number:03}" for number in range(4)]
    for folder in (FIRST, SECOND):
        # With the copy of SHA256SUMS whose signature was checked.
        check = f"cd {folder} && sha256sum --ignore-missing -c /root/airgap/SHA256SUMS"
        said = server.host.run(["sh", "-c", check]).stdout
        files = {path.name for path in server.host.path(folder).rglob("images.tar.*")}
        assert {f"{name}: OK" for name in files} <= set(said.splitlines())
    join = f"cat {FIRST}/images.tar.* {SECOND}/images.tar.*"
    listed = server.host.run(["sh", "-c", f"{join} | tar -tf -"]).stdout.splitlines()
    assert {"oci-layout", "index.json", "manifest.json"} <= set(listed)
    assert len(listed) > len(server.contents.blobs)
    archive = tmp_path / "images.tar"
    try:
        run(["sh", "-c", 'cat "$1"/images.tar.* > "$2"', "sh", server.whole, archive])
        inspect = ["skopeo", "inspect", f"oci-archive:{archive}:docker.io/library/alpine:latest"]
        assert '"Architecture": "amd64"' in run(inspect)
    finally:
        archive.unlink(missing_ok=True)


def test_a_missing_volume_is_named_by_its_number_and_nothing_is_changed(server: Server) -> None:
    with server.second_changed(Path.unlink):
        for command in (server.verify, server.seed):
            done = command(FIRST, SECOND)
            assert done.returncode == ExitCode.INTEGRITY, done.stderr
            assert f"missing from {FIRST}, {SECOND}: images.tar.002 (volume 3 of 4)" in done.stderr
            assert server.state() == set()


def test_a_medium_that_was_not_given_is_said_to_miss(server: Server) -> None:
    done = server.seed(FIRST)
    assert done.returncode == ExitCode.INTEGRITY, done.stderr
    assert "images.tar.002 (volume 3 of 4), images.tar.003 (volume 4 of 4)" in done.stderr
    assert "give all media" in done.stderr
    assert server.state() == set()


def test_a_damaged_volume_is_named_and_a_repaired_copy_of_it_alone_is_accepted(
    server: Server,
) -> None:
    with server.second_changed(_flip_the_middle):
        done = server.verify(FIRST, SECOND)
        assert done.returncode == ExitCode.INTEGRITY, done.stderr
        assert "error: images.tar.002 (volume 3 of 4) is damaged: it is not what" in done.stderr
        done = server.seed(FIRST, SECOND)
        assert done.returncode == ExitCode.INTEGRITY, done.stderr
        assert "images.tar.002 (volume 3 of 4)" in done.stderr
        assert "is damaged: the blob at byte" in done.stderr
        assert server.tags() == []
        finished = server.blobs()
        assert 0 < len(finished) < len(server.contents.blobs)
        with _plugged_in(server, server.whole / ON_SECOND):
            assert server.verify(FIRST, SECOND, THIRD).returncode == 0
            done = server.seed(FIRST, SECOND, THIRD)
            assert done.returncode == 0, done.stderr
    assert server.tags()
    seeded = server.blobs()
    assert len(seeded) == len(server.contents.blobs)
    assert finished.items() <= seeded.items()


def _flip_the_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        (byte,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


@contextmanager
def _plugged_in(server: Server, file: Path) -> Iterator[None]:
    """A third medium, with this file alone."""
    with Medium(2 * file.stat().st_size) as medium:
        shutil.copy(file, medium.path)
        medium.seal()
        server.host.attach(medium, THIRD)
        try:
            yield
        finally:
            server.host.detach(THIRD)


def test_a_medium_pulled_out_half_way_and_put_back(server: Server) -> None:
    on_first = sum(file.size for file in server.contents.volumes if file.name < ON_SECOND)
    blobs = server.contents.blobs
    large = next(blob for blob in blobs if blob.size > 8 * MIB)
    assert large.offset + large.size < on_first
    install = server.command("install", FIRST, SECOND, "--only", "seed")
    with (
        HeldReads(server.second.path.glob("images.tar.*")) as held,
        subprocess.Popen(server.host.command(install), stdout=-1, stderr=-1, text=True) as command,
    ):
        try:
            _hold_until_seeding(server, held)
            _wait_for(server.host.path(_BLOBS) / large.digest[7:9] / large.digest[7:] / "data")
        except BaseException:
            held.let_all_go()  # else the command would never end
            raise
        with server.second_is_out():
            held.let_all_go()
            _, said = command.communicate()
            assert command.returncode == ExitCode.HOST, said
            assert re.search(r"error: cannot read images\.tar\.00[23] \(volume [34] of 4\): ", said)
            assert "Input/output error" in said
            assert "reinsert it and run the same command again" in said
            assert server.tags() == []
            finished = server.blobs()
            assert large.digest[7:] in finished
            assert len(finished) < len(blobs)
            for again in (server.seed, server.verify):
                done = again(FIRST, SECOND)
                assert done.returncode == ExitCode.HOST, done.stderr
                assert "reinsert it" in done.stderr
    done = server.seed(FIRST, SECOND)
    assert done.returncode == 0, done.stderr
    assert server.tags()
    seeded = server.blobs()
    assert len(seeded) == len(blobs)
    assert finished.items() <= seeded.items()


def _hold_until_seeding(server: Server, held: HeldReads) -> None:
    """Lets the checks read the second medium, and holds the first blob that is read from it."""
    while held.wait(_PATIENCE):
        if server.host.path(_BLOBS).exists():
            return
        held.let_go()
    pytest.fail("nothing was read from the second medium")


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"there is no {path}"
        time.sleep(0.02)


def test_the_host_is_set_up_from_both_media_and_builds(server: Server) -> None:
    assert "good: arm64-builder" in server.verify(FIRST, SECOND).stdout
    host = server.host
    host.run([*full_run.TOOL, "trust", "add", "/root/site.pub"])
    said = host.run([*full_run.TOOL, "install", FIRST, SECOND], timeout=600)
    assert "not part of the bundle" not in said.stderr
    assert "installed: arm64-builder" in said.stdout
    host.run(["airgap", "status"])
    shutil.copytree(full_run.APP, host.path("/root/app"))
    host.run([*BUILDX, *BOTH, "-t", APP, "--push", "/root/app"], timeout=600)
    arm64 = ["docker", "run", "--rm", "--platform", "linux/arm64", APP]
    assert "aarch64" in host.run(arm64).stdout
    again = host.run(["airgap", "install", FIRST, SECOND]).stdout
    assert again.splitlines()[-1].startswith("nothing to change: arm64-builder")
