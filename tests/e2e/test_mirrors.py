"""Engines of an isolated host pull through the mirror, by the files that `airgap mirrors` gives."""

from __future__ import annotations

import shutil

import pytest

from airgap.builder.mirrors.engines import ENGINES
from lab.host import IsolatedHost
from lab.parts import program
from tests.contract import parse_json

ELSEWHERE = "ghcr.io/example/base:1"
"""An image that is not of Docker Hub."""

OUTPUT = "/root/mirrors"


@pytest.fixture
def host(installed: IsolatedHost) -> IsolatedHost:
    for engine in ENGINES:
        installed.run(["airgap", "mirrors", "--for", engine, "--output", OUTPUT])
    return installed


def test_every_user_is_shown_files_and_notes(installed: IsolatedHost) -> None:
    for engine in ENGINES:
        command = ["airgap", "mirrors", "--for", engine, "--json"]
        config = parse_json("mirrors", installed.run(command, user="alice").stdout)
        shown = installed.run(command[:-1], user="alice").stdout
        for path, text in config["files"].items():
            assert f"==> {path} <==\n{text}" in shown
        for note in config["notes"]:
            assert f"note: {note}" in shown


def test_containerd_pulls(host: IsolatedHost) -> None:
    shutil.copy2(program("ctr"), host.path("/usr/local/bin/ctr"))
    ctr = ["ctr", "--address", "/run/docker/containerd/containerd.sock", "--namespace", "lab"]
    pull = ["images", "pull", "--local", "--skip-metadata"]
    folder = f"{OUTPUT}/etc/containerd/certs.d"
    for image in ("docker.io/library/alpine:latest", ELSEWHERE):
        host.run([*ctr, *pull, "--hosts-dir", folder, image])
    listed = host.run([*ctr, "images", "ls", "--quiet"]).stdout.split()
    assert ELSEWHERE in listed
    host.run([*ctr, "images", "rm", *listed])


def test_docker_pulls_images_of_all_hosts_without_a_restart(host: IsolatedHost) -> None:
    host.run(["docker", "image", "rm", "--force", ELSEWHERE], check=False)
    assert host.run(["docker", "pull", ELSEWHERE], check=False).returncode != 0
    host.run(["cp", "-r", f"{OUTPUT}/etc/docker/certs.d", "/etc/docker/"])
    try:
        host.run(["docker", "pull", ELSEWHERE])
    finally:
        host.run(["rm", "-r", "/etc/docker/certs.d"])
        host.run(["docker", "image", "rm", "--force", ELSEWHERE])


def test_a_builder_of_ones_own_builds(host: IsolatedHost) -> None:
    create = ["docker", "buildx", "create", "--name", "told", "--bootstrap"]
    config = f"{OUTPUT}/etc/buildkit/buildkitd.toml"
    try:
        host.run([*create, "--buildkitd-config", config])
        host.path("/root/told").mkdir()
        host.path("/root/told/Dockerfile").write_text(f"FROM {ELSEWHERE}\nRUN uname -m\n")
        host.run(["docker", "buildx", "build", "--builder", "told", "/root/told"])
    finally:
        host.run(["docker", "buildx", "rm", "told"])


def test_a_file_of_somebody_else_is_left_alone(installed: IsolatedHost) -> None:
    before = installed.path("/etc/docker/daemon.json").read_text()
    command = ["airgap", "mirrors", "--for", "docker", "--output", "/"]
    done = installed.run(command, check=False)
    assert done.returncode == 9
    assert "/etc/docker/daemon.json" in done.stderr
    assert installed.path("/etc/docker/daemon.json").read_text() == before
    assert not installed.path("/etc/docker/certs.d").exists()


def test_for_engines_elsewhere_a_mirror_on_loopback_is_no_use(installed: IsolatedHost) -> None:
    command = ["airgap", "mirrors", "--for", "k3s", "--elsewhere"]
    done = installed.run(command, check=False)
    assert done.returncode == 9
    assert "served to this host alone" in done.stderr
