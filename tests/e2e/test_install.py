"""Install, status and uninstall: what they change, what they do not, and what stops them."""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Callable

from airgap.errors import ExitCode
from lab import full_run, snapshot
from lab.host import IsolatedHost
from tests import forge
from tests.contract import parse_json
from tests.e2e.conftest import started

StartHost = Callable[..., IsolatedHost]

STEPS = ("tool", "seed", "load", "emulator", "mirror", "registry", "builder", "buildx", "enable")
ALICE = 1000
STATE = "/var/lib/airgap"


def test_a_second_install_changes_nothing_and_says_so(installed: IsolatedHost) -> None:
    before = (
        snapshot.files(installed, STATE, "/usr/local", "/etc", "/usr/libexec"),
        snapshot.docker(installed),
    )
    said = installed.run(["airgap", "install", full_run.ON_MEDIUM]).stdout
    assert said.splitlines()[-1].startswith("nothing to change: arm64-builder")
    assert "done" not in said
    after = (
        snapshot.files(installed, STATE, "/usr/local", "/etc", "/usr/libexec"),
        snapshot.docker(installed),
    )
    assert before == after


def test_status_is_well_for_root_and_for_a_user(installed: IsolatedHost) -> None:
    said = installed.run(["airgap", "status"]).stdout
    assert all(f"ok  {step}" in said for step in STEPS), said
    assert re.search(r"^arm64-builder-\d+ +\S+Z +root +sha256:\S+ +builder, buildx", said, re.M), (
        said
    )
    installed.run(["airgap", "enable"], user="alice")
    document = parse_json(
        "status", installed.run(["airgap", "status", "--json"], user="alice").stdout
    )
    assert all(finding["ok"] for finding in document["steps"].values()), document["steps"]
    installed.run(["airgap", "enable", "--undo"], user="alice")


def test_status_finds_what_is_broken_and_install_fixes_it(installed: IsolatedHost) -> None:
    installed.run(["docker", "rm", "--force", "airgap-mirror"])
    (installed.path(STATE) / "config" / "airgap-buildkitd.toml").write_text("")
    status = installed.run(["airgap", "status"], check=False)
    assert status.returncode == ExitCode.HOST
    assert "mirror, builder" in status.stderr
    said = installed.run(["airgap", "install", full_run.ON_MEDIUM]).stdout
    changed = [line.split()[1] for line in said.splitlines() if line.startswith("done")]
    assert changed == ["mirror", "builder"]
    installed.run(["airgap", "status"])


def test_a_builder_that_a_user_removed_is_made_again(installed: IsolatedHost) -> None:
    installed.run(["docker", "buildx", "rm", "airgap"])
    assert "root has the builder 'airgap'" in installed.run(["airgap", "enable"]).stdout
    assert installed.path("/root/.docker/buildx/buildkitd.default.toml").exists()
    installed.run(["airgap", "status"])


def test_a_users_own_defaults_are_kept_and_in_nobodys_way(installed: IsolatedHost) -> None:
    own = "/home/alice/.docker/buildx/buildkitd.default.toml"
    for command in (["mkdir", "-p", "/home/alice/.docker/buildx"], ["tee", own]):
        installed.run(command, user="alice", input="debug = true\n")
    done = installed.run(["airgap", "enable"], user="alice")
    assert "alice has the builder 'airgap'" in done.stdout
    assert f"{own} is alice's own and was left as it is" in done.stderr
    installed.run(["airgap", "enable", "--undo"], user="alice")
    assert installed.path(own).read_text() == "debug = true\n"
    installed.path(own).unlink()


def test_no_two_commands_change_the_host_at_once(installed: IsolatedHost) -> None:
    hold = f"import fcntl, sys; f = open('{STATE}/lock', 'r+'); fcntl.flock(f, fcntl.LOCK_EX)"
    wait = "f.write('a test'); f.flush(); print('held', flush=True); sys.stdin.read()"
    command = installed.command(["python3", "-I", "-c", f"{hold}; {wait}"])
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for verb in (
            ["install", full_run.ON_MEDIUM],
            ["load", "busybox"],
            ["enable"],
            ["uninstall"],
        ):
            done = installed.run(["airgap", *verb], check=False)
            assert done.returncode == ExitCode.HOST, verb
            assert "this host is being changed by a test" in done.stderr
        holder.communicate("")
    installed.run(["airgap", "enable"])


def test_emulators_are_back_after_a_reboot(installed: IsolatedHost) -> None:
    installed.stop_docker()
    for entry in installed.path("/proc/sys/fs/binfmt_misc").glob("airgap-*"):
        entry.write_text("-1")
    installed.start_docker()
    deadline = time.monotonic() + 30
    while installed.run(["airgap", "status"], check=False).returncode != 0:
        assert time.monotonic() < deadline, installed.run(["airgap", "status"], check=False).stdout
        time.sleep(0.5)


def test_uninstall_takes_back_what_install_did(fresh_host: StartHost) -> None:
    host = fresh_host()
    folders = ("/etc", "/usr", "/root", "/home", "/opt", "/srv")
    before = snapshot.files(host, *folders), snapshot.docker(host)
    full_run.install(host, "--load", "arm64v8/alpine")
    host.run(["airgap", "uninstall"])
    assert snapshot.docker(host) == before[1]
    left = snapshot.files(host, *folders) - before[0]
    assert {line.split()[0] for line in left} <= {
        "etc/airgap",  # the trusted key stays
        "etc/airgap/trust",
        "etc/airgap/trust/site.pub",
        "root/.docker",  # buildx's own notes
        "root/.docker/buildx",
        *(f"root/.docker/buildx/{name}" for name in (".lock", "activity", "current", "defaults")),
        *(f"root/.docker/buildx/{name}" for name in ("instances", "refs", ".buildNodeID")),
    }, left
    assert snapshot.emulators(host) == []
    state = host.path(STATE)
    assert sorted(path.name for path in state.iterdir()) == [
        "airgap.log",
        "bundles",
        "lock",
        "pushed",
        "receipts",
    ]


def test_a_killed_install_completes_with_the_same_command(fresh_host: StartHost) -> None:
    host = fresh_host()
    host.run([*full_run.TOOL, "trust", "add", "/root/site.pub"])
    seeded = random.Random(4)
    for _ in range(5):
        with subprocess.Popen(
            host.command([*full_run.TOOL, "install", full_run.ON_MEDIUM]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ):
            time.sleep(seeded.uniform(0.5, 6))
            host.run(["pkill", "-KILL", "-f", "airgap.pyz"], check=False)
        _no_tag_without_its_blobs(host)
    full_run.install(host)
    host.run(["airgap", "status"])


def _no_tag_without_its_blobs(host: IsolatedHost) -> None:
    storage = host.path(STATE) / "mirror" / "docker" / "registry" / "v2"
    for link in storage.glob("repositories/**/_manifests/tags/*/current/link"):
        value = link.read_text().removeprefix("sha256:")
        assert (storage / "blobs" / "sha256" / value[:2] / value / "data").exists()


def test_without_docker_nothing_is_changed(fresh_host: StartHost) -> None:
    host = fresh_host()
    host.stop_docker()
    done = _install(host)
    assert done.returncode == ExitCode.HOST
    assert "Docker" in done.stderr
    assert not (host.path(STATE) / "mirror").exists()


def test_a_taken_port_is_named_with_its_owner(fresh_host: StartHost) -> None:
    host = fresh_host()
    server = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "5001"]
    with started(host, server):
        _wait_for(host, 5001)
        done = _install(host)
        assert done.returncode == ExitCode.HOST
        assert "port 5001 is taken by python3 (process" in done.stderr
        assert "--mirror-port" in done.stderr
        assert not (host.path(STATE) / "mirror").exists()
        seed_only = _install(host, "--only", "mirror")
        assert seed_only.returncode == ExitCode.HOST  # --only skips no precondition
        chosen = _install(host, "--mirror-port", "6001")
        assert chosen.returncode == 0, chosen.stderr
        assert "127.0.0.1:6001" in host.run(["airgap", "status"]).stdout


def test_under_sudo_the_real_user_gets_the_builder(fresh_host: StartHost) -> None:
    host = fresh_host()
    host.run([*full_run.TOOL, "trust", "add", "/root/site.pub"])
    host.run([*full_run.TOOL, "install", full_run.ON_MEDIUM], env={"SUDO_USER": "alice"})
    current = host.run(["docker", "buildx", "inspect"], user="alice").stdout
    assert current.splitlines()[0].split() == ["Name:", "airgap"]
    assert not host.path("/root/.docker/buildx/instances/airgap").exists()
    assert {path.stat().st_uid for path in host.path("/home/alice").rglob("*")} == {ALICE}


def test_a_bundle_without_roles_needs_a_host_that_is_set_up(fresh_host: StartHost) -> None:
    host, key = fresh_host(), forge.new_key()
    forge.make_bundle(host.path("/srv/bundle"), key, images=[forge.indexed("docker.io/site/a:1")])
    host.path("/srv/other.pub").write_bytes(key.public.pem())
    more = [*full_run.TOOL, "install", "/srv/bundle", "--trust", "/srv/other.pub"]
    done = host.run(more, check=False)
    assert done.returncode == ExitCode.HOST
    assert "no installed bundle has an image for the role 'registry'" in done.stderr
    full_run.install(host)
    host.run(more)
    host.run(["airgap", "status"])
    host.run(["docker", "buildx", "imagetools", "inspect", "127.0.0.1:5001/docker.io/site/a:1"])


def _install(host: IsolatedHost, *options: str) -> subprocess.CompletedProcess[str]:
    trust = ["--trust", "/root/site.pub"]
    command = [*full_run.TOOL, "install", full_run.ON_MEDIUM, *trust, *options]
    return host.run(command, check=False)


def _wait_for(host: IsolatedHost, port: int) -> None:
    connect = f"import socket; socket.create_connection(('127.0.0.1', {port})).close()"
    deadline = time.monotonic() + 10
    while host.run(["python3", "-c", connect], check=False).returncode != 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
