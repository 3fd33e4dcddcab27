"""A Docker that gives containers other user ids than the host's (`userns-remap`)."""

from __future__ import annotations

import json
from collections.abc import Callable

from lab import full_run
from lab.host import IsolatedHost
from tests.e2e.conftest import Carried, visit

APP = "127.0.0.1:5000/demo/app"
REMAPPED = "dockremap"
FIRST_ID = 100000


def test_a_host_with_remapped_users_is_set_up_and_builds(
    isolated_host: Callable[..., IsolatedHost], carried: Carried
) -> None:
    host = isolated_host(image_store="classic")  # dockerd refuses to remap with containerd's
    _remap(host)
    visit(host, carried)
    assert "name=userns" in host.run(["docker", "info", "--format", "{{.SecurityOptions}}"]).stdout
    full_run.install(host, "--load", "arm64v8/alpine")
    host.run(["airgap", "status"])
    context = host.path("/root/app")
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM alpine\nRUN uname -m > /m\nCMD cat /m /proc/self/uid_map\n"
    )
    build = ["docker", "buildx", "build", "--platform", "linux/amd64,linux/arm64", "-t", APP]
    host.run([*build, "--push", "/root/app"], timeout=120)
    host.run(["airgap", "build", "--load", "-t", "loaded", "/root/app"], timeout=120)
    run = ["docker", "run", "--rm", "--pull", "always", "--platform", "linux/arm64", APP]
    machine, *ids = host.run(run).stdout.split()
    assert machine == "aarch64"
    assert ids[1] == str(FIRST_ID)
    host.restart_docker()
    host.run(["airgap", "doctor", "--fix"])
    host.run(["airgap", "uninstall", "--purge", "--purge-pushed", "--yes"])
    assert host.run(["docker", "ps", "--all", "--quiet"]).stdout == ""


def _remap(host: IsolatedHost) -> None:
    for name in ("subuid", "subgid"):
        host.path(f"/etc/{name}").write_text(f"{REMAPPED}:{FIRST_ID}:65536\n")
    with host.path("/etc/passwd").open("a") as file:
        file.write(f"{REMAPPED}:x:990:990::/nonexistent:/usr/sbin/nologin\n")
    with host.path("/etc/group").open("a") as file:
        file.write(f"{REMAPPED}:x:990:\n")
    config = host.path("/etc/docker/daemon.json")
    document = json.loads(config.read_text()) | {"userns-remap": REMAPPED}
    config.write_text(json.dumps(document))
