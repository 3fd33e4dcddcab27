"""The site's registry holds the mirror: filled by a user, built from, given up again."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from airgap.errors import ExitCode
from lab import full_run
from lab.host import IsolatedHost
from lab.parts import program
from lab.run import run
from tests.e2e.conftest import Carried, visit

SERVER = "harbor.example.internal:5443"
MIRROR = f"{SERVER}/mirror"
ACCOUNT = ("robot", "s3cret pass:word")
DOCKERFILE = """\
FROM alpine AS build
RUN uname -m > /machine
FROM ghcr.io/example/base:1
COPY --from=build /machine /machine
"""
_FOLDER = "/srv/harbor"
_STATE = "/var/lib/airgap"


@contextmanager
def harbor(host: IsolatedHost) -> Iterator[None]:
    """A registry with TLS and an account, which the host knows by a name of its own."""
    folder = host.path(_FOLDER)
    (folder / "storage").mkdir(parents=True)
    authority = trustme.CA()
    issued = authority.issue_cert(SERVER.partition(":")[0])
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    authority.cert_pem.write_to_path(host.path("/root/ca.crt"))
    host.path("/home/alice/ca.crt").write_bytes(authority.cert_pem.bytes())
    (folder / "registry").write_bytes(program("registry").read_bytes())
    (folder / "registry").chmod(0o755)
    user, password = ACCOUNT
    (folder / "htpasswd").write_text(run(["htpasswd", "-niB", user], stdin=password))
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": f"{_FOLDER}/storage"}},
        "http": {
            "addr": ":5443",
            "tls": {"certificate": f"{_FOLDER}/server.pem", "key": f"{_FOLDER}/server.pem"},
        },
        "auth": {"htpasswd": {"realm": "harbor", "path": f"{_FOLDER}/htpasswd"}},
        "validation": {"manifests": {"indexes": {"platforms": "none"}}},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with host.path("/etc/hosts").open("a") as hosts:
        hosts.write(f"127.0.0.1 {SERVER.partition(':')[0]}\n")
    command = [f"{_FOLDER}/registry", "serve", f"{_FOLDER}/config.yml"]
    environment = {"OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen(
        host.command(command, env=environment), stdout=-3, stderr=-3, start_new_session=True
    ) as server:
        _wait_for(host)
        try:
            yield
        finally:
            host.run(["pkill", "-f", f"{_FOLDER}/registry"], check=False)
            server.wait(timeout=20)


def _wait_for(host: IsolatedHost) -> None:
    connect = "import socket; socket.create_connection(('127.0.0.1', 5443)).close()"
    deadline = time.monotonic() + 20
    while host.run(["python3", "-c", connect], check=False).returncode != 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _log_in(host: IsolatedHost, user: str) -> None:
    """What `docker login` writes."""
    home = "/root" if user == "root" else f"/home/{user}"
    auth = base64.b64encode(":".join(ACCOUNT).encode()).decode()
    host.run(["mkdir", "-p", f"{home}/.docker"], user=user)
    document = json.dumps({"auths": {SERVER: {"auth": auth}}})
    host.run(["tee", f"{home}/.docker/config.json"], user=user, input=document)


def _log_in_by_hand(host: IsolatedHost) -> None:
    """As the README says: dockerd, which `docker login` asks, must know the CA."""
    place = f"/etc/docker/certs.d/{SERVER}/ca.crt"
    host.run(["install", "-D", "-m", "0644", "/root/ca.crt", place])
    user, password = ACCOUNT
    host.run(["docker", "login", SERVER, "-u", user, "--password-stdin"], input=password)


@pytest.fixture
def site(isolated_host: Callable[..., IsolatedHost], carried: Carried) -> Iterator[IsolatedHost]:
    """A host that nothing is installed on, and the registry."""
    host = isolated_host()
    visit(host, carried)
    with harbor(host):
        yield host


def test_a_registry_of_the_site_is_filled_built_from_and_given_up(site: IsolatedHost) -> None:
    _a_user_without_docker_fills_it(site)
    _log_in_by_hand(site)
    said = full_run.install(site, "--registry", MIRROR, "--ca", "/root/ca.crt")
    assert f"ok    push           {MIRROR} serves" in said
    assert f"ok    mirror         {MIRROR} is the mirror" in said
    names = site.run(["docker", "ps", "--all", "--format", "{{.Names}}"]).stdout.split()
    assert "airgap-mirror" not in names
    _nothing_but_the_tools_of_the_host_is_kept(site)
    site.run(["airgap", "status"])

    _builds(site, "root", "docker", "buildx", "build")
    _builds(site, "root", "docker", "buildx", "build", name=f"{SERVER}/team/app")
    _builds(site, "root", "airgap", "build")
    _a_builder_of_ones_own_builds(site)
    site.run(["docker", "pull", f"{MIRROR}/docker.io/library/alpine"])
    assert "busybox" in site.run(["airgap", "load", "busybox"]).stdout
    site.run(["docker", "run", "--rm", "busybox", "true"])
    _who_is_not_logged_in_is_told(site)

    assert "nothing to change" in site.run(["airgap", "install", full_run.ON_MEDIUM]).stdout
    said = site.run(["airgap", "install", full_run.ON_MEDIUM, "--own-mirror"]).stdout
    assert "127.0.0.1:5001 serves" in said
    _builds(site, "root", "docker", "buildx", "build")
    authority = site.path(f"/etc/docker/certs.d/{SERVER}/ca.crt")
    authority.unlink()
    again = ["--registry", MIRROR, "--ca", "/root/ca.crt"]
    said = site.run(["airgap", "install", full_run.ON_MEDIUM, *again]).stdout
    assert f"docker pull takes names such as {MIRROR}/docker.io" in said
    assert authority.read_bytes() == site.path("/root/ca.crt").read_bytes()
    site.run(["docker", "pull", f"{MIRROR}/ghcr.io/example/base:1"])
    _the_servers_own_list_holds_for_builders(site)

    undone = site.run(["airgap", "uninstall"])
    assert f"left as they are: the images in {MIRROR}" in undone.stderr
    assert not authority.exists()
    storage = site.path(_FOLDER) / "storage/docker/registry/v2/repositories/mirror"
    assert (storage / "docker.io/library/alpine/_manifests/tags/latest").is_dir()


def _the_servers_own_list_holds_for_builders(host: IsolatedHost) -> None:
    host.run(["airgap", "install", full_run.ON_MEDIUM, "--own-mirror"])
    every = host.path("/etc/ssl/certs/ca-certificates.crt")
    every.parent.mkdir(parents=True, exist_ok=True)
    with every.open("ab") as file:
        file.write(host.path("/root/ca.crt").read_bytes())
    host.restart_docker()  # it has read the list before
    host.run(["airgap", "install", full_run.ON_MEDIUM, "--registry", MIRROR])
    _builds(host, "root", "docker", "buildx", "build")
    _a_builder_of_ones_own_builds(host)


def _a_user_without_docker_fills_it(host: IsolatedHost) -> None:
    host.stop_docker()
    for name, source in (("airgap.pyz", "airgap/tool/airgap.pyz"), ("site.pub", "site.pub")):
        host.path(f"/home/alice/{name}").write_bytes(host.path(f"/root/{source}").read_bytes())
    tool = ["python3", "-I", "/home/alice/airgap.pyz", "--root", "/home/alice/state", "install"]
    only = ["--only", "push", "--registry", MIRROR, "--ca", "/home/alice/ca.crt"]
    command = [*tool, full_run.ON_MEDIUM, "--trust", "/home/alice/site.pub", *only]
    refused = host.run(command, user="alice", check=False)
    assert refused.returncode == ExitCode.CREDENTIALS
    assert f"docker login {SERVER}" in refused.stderr
    _log_in(host, "alice")
    assert "done  push" in host.run(command, user="alice").stdout
    host.run(["rm", "-r", "/home/alice/.docker"])
    host.start_docker()


def _nothing_but_the_tools_of_the_host_is_kept(host: IsolatedHost) -> None:
    repositories = host.path(_STATE) / "mirror/docker/registry/v2/repositories"
    tags = {path.parent.parent.name for path in repositories.rglob("_manifests/tags")}
    assert tags == {"registry", "buildkit", "binfmt", "buildx-bin"}


def _builds(
    host: IsolatedHost, user: str, *command: str, name: str = "127.0.0.1:5000/demo/app"
) -> None:
    """Builds for both platforms, pushes, and runs what was pushed."""
    home = "/root" if user == "root" else f"/home/{user}"
    context: Path = host.path(f"{home}/context")
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(DOCKERFILE)
    platforms = ["--platform", "linux/amd64,linux/arm64", "--no-cache"]
    host.run([*command, *platforms, "-t", name, "--push", f"{home}/context"], user=user)
    host.run(["docker", "rmi", "--force", name])
    run_it = ["docker", "run", "--rm", "--platform", "linux/arm64", name, "cat", "/machine"]
    assert host.run(run_it).stdout == "aarch64\n"


def _a_builder_of_ones_own_builds(host: IsolatedHost) -> None:
    """buildx copies the CA into it, from the defaults that `enable` has written."""
    host.run(["docker", "buildx", "create", "--name", "own", "--driver-opt", "network=host"])
    _builds(host, "root", "docker", "buildx", "build", "--builder", "own")
    host.run(["docker", "buildx", "rm", "own"])


def _who_is_not_logged_in_is_told(host: IsolatedHost) -> None:
    host.run(["airgap", "enable"], user="alice")
    status = host.run(["airgap", "status"], user="alice", check=False)
    assert status.returncode == ExitCode.HOST
    assert f"NOT OK  push           {SERVER} refuses" in status.stdout
    _log_in(host, "alice")
    host.run(["airgap", "status"], user="alice")
    _builds(host, "alice", "docker", "buildx", "build")
