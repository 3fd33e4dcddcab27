"""Several people on one host: each has builders of their own, and none is in another's way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from airgap.errors import ExitCode
from lab import full_run, snapshot
from lab.host import IsolatedHost
from tests import forge
from tests.e2e.conftest import Carried, started, visit

BOB, CAROL = 1001, 1002
UIDS = {"alice": 1000, "bob": BOB, "carol": CAROL}
DOCKERFILE = "FROM alpine\nRUN echo {user} > /user && uname -m\n"


@pytest.fixture(scope="module")
def host(carried: Carried) -> Iterator[IsolatedHost]:
    """Set up by root. bob may use Docker as alice may, carol may not."""
    with IsolatedHost() as host:
        for name, uid in UIDS.items():
            if name != "alice":
                _add_account(host, name, uid)
        visit(host, carried)
        full_run.install(host)
        _leave_something_to_go_back_to_and_to_prune(host)
        yield host


def _leave_something_to_go_back_to_and_to_prune(host: IsolatedHost) -> None:
    key = forge.new_key()
    host.path("/srv/other.pub").write_bytes(key.public.pem())
    for name in ("a", "b"):
        image = forge.indexed(f"docker.io/site/{name}:1", texts=[name])
        forge.make_bundle(host.path(f"/srv/{name}"), key, images=[image], name=name)
    install = ["airgap", "install", "--trust", "/srv/other.pub", "--only", "seed"]
    host.run([*install, "/srv/a"])
    host.run(["airgap", "rollback"])
    host.run([*install, "/srv/b"])


def _add_account(host: IsolatedHost, name: str, uid: int) -> None:
    lines = {
        "/etc/passwd": f"{name}:x:{uid}:{uid}::/home/{name}:/bin/bash\n",
        "/etc/group": f"{name}:x:{uid}:\n",
    }
    for path, line in lines.items():
        with host.path(path).open("a") as file:
            file.write(line)
    if name == "bob":
        group = host.path("/etc/group")
        group.write_text(re.sub(r"^(docker:.*alice)$", r"\1,bob", group.read_text(), flags=re.M))
    host.run(["install", "-d", "-o", name, "-g", name, f"/home/{name}"])


def _build(user: str) -> list[str]:
    options = ["--platform", "linux/amd64,linux/arm64", "--push", "--no-cache"]
    name = f"127.0.0.1:5000/{user}/app"
    return ["docker", "buildx", "build", *options, "-t", name, f"/home/{user}/app"]


def _write_context(host: IsolatedHost, user: str) -> None:
    host.run(["mkdir", "-p", f"/home/{user}/app"], user=user)
    file = f"/home/{user}/app/Dockerfile"
    host.run(["tee", file], user=user, input=DOCKERFILE.format(user=user))


def test_two_people_build_at_once_and_neither_is_in_the_others_way(host: IsolatedHost) -> None:
    host.run(["airgap", "enable"], user="alice")
    host.run(["airgap", "enable", "--user", "bob"])
    people = ("alice", "bob")
    for user in people:
        _write_context(host, user)
    with ExitStack() as stack:
        builds = {user: stack.enter_context(started(host, _build(user), user)) for user in people}
        for user, build in builds.items():
            _, said = build.communicate(timeout=300)
            assert build.returncode == 0, (user, said)
    host.run(["docker", "buildx", "rm", "airgap"], user="bob")
    host.run(_build("alice"), user="alice")
    host.run(["airgap", "status"], user="alice")
    status = host.run(["airgap", "status"], user="bob", check=False)
    assert status.returncode == ExitCode.HOST
    assert "bob: there is no builder 'airgap'" in status.stdout
    host.run(["airgap", "enable"], user="bob")
    host.run(_build("bob"), user="bob")
    for user in people:
        owners = {path.lstat().st_uid for path in host.path(f"/home/{user}").rglob("*")}
        assert owners == {UIDS[user]}


def test_what_only_root_may_do_changes_nothing_and_says_so(host: IsolatedHost) -> None:
    folders = ("/etc", "/usr", "/var/lib/airgap")
    before = snapshot.files(host, *folders), snapshot.docker(host), snapshot.emulators(host)
    for command, reason in (
        (["install", full_run.ON_MEDIUM], "only root can do these steps"),
        (["rollback"], "only root can do these steps"),
        (["prune", "--keep", "1"], "use sudo"),
        (["uninstall", "--purge", "--purge-pushed", "--yes"], "use sudo"),
        (["account", "add", "somebody", "--password-stdin"], "use sudo"),
        (["enable", "--user", "bob"], "use sudo"),
    ):
        done = host.run(["airgap", *command], user="alice", check=False, input="secret\n")
        assert done.returncode == ExitCode.HOST, command
        assert reason in done.stdout + done.stderr, (command, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
    assert "would be freed" in host.run(["airgap", "prune", "--dry-run"], user="alice").stdout
    after = snapshot.files(host, *folders), snapshot.docker(host), snapshot.emulators(host)
    assert before == after


def test_who_may_not_use_docker_is_told_what_to_do(host: IsolatedHost) -> None:
    _write_context(host, "carol")
    build = ["build", "/home/carol/app"]
    for command in (["status"], ["enable"], build, ["load", "busybox"]):
        done = host.run(["airgap", *command], user="carol", check=False)
        assert done.returncode == ExitCode.HOST, (command, done.stderr)
        assert "Docker" in done.stdout + done.stderr, (command, done.stderr)
        assert "Traceback" not in done.stderr
    host.run(["airgap", "verify", full_run.ON_MEDIUM], user="carol")
    host.run(["airgap", "log"], user="carol")
