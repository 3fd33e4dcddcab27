"""What breaks over the years is found, named and fixed; what cannot be fixed is named."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from airgap.canonical import format_time
from airgap.errors import ExitCode
from lab import binfmt, full_run
from lab.host import IsolatedHost
from tests import forge
from tests.contract import parse_json
from tests.e2e.conftest import started

STATE = "/var/lib/airgap"
DAEMON_JSON = "/etc/docker/daemon.json"
BREAKAGES = {
    "emulator": "echo -1 > /proc/sys/fs/binfmt_misc/airgap-arm64",
    "emulator: a reboot": "echo -1 > /proc/sys/fs/binfmt_misc/status",
    "mirror": "docker rm --force airgap-mirror",
    "registry": "docker stop airgap-registry",
    "builder": f"docker rm --force airgap-buildkitd; echo >> {STATE}/config/airgap-replay.toml",
    "buildx": "rm /usr/local/lib/docker/cli-plugins/docker-buildx",
    "enable": "docker buildx rm airgap",
    "docker-mirror": "echo '{}' > /etc/docker/daemon.json",
    "docker-mirror: blank": ": > /etc/docker/daemon.json",
    "load": "docker image rm --force registry:3",
}


def unwell(host: IsolatedHost, *options: str) -> dict[str, str]:
    """Name of each check that is not well to what helps."""
    done = host.run(["airgap", "doctor", "--json", *options], check=False)
    found = parse_json("doctor", done.stdout)
    names = {name: one["remedy"] for name, one in found.items() if not one["ok"]}
    assert done.returncode == (ExitCode.HOST if names else ExitCode.DONE), done.stderr
    return names


def test_a_host_that_is_well_has_nothing_to_fix(installed: IsolatedHost) -> None:
    assert unwell(installed, "--deep") == {}
    said = installed.run(["airgap", "doctor", "--fix"]).stdout
    assert "fixed" not in said
    assert "Docker " in said
    installed.run(["airgap", "enable"], user="alice")
    said = installed.run(["airgap", "doctor"], user="alice").stdout
    assert "ok  enable" in said
    assert "NOT OK" not in said


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_what_breaks_is_named_and_fixed(installed: IsolatedHost, breakage: str) -> None:
    step = breakage.partition(":")[0]
    installed.run(["sh", "-c", BREAKAGES[breakage]])
    assert step in unwell(installed)
    said = installed.run(["airgap", "doctor", "--fix"]).stdout
    assert f"fixed {step}:" in said
    installed.run(["airgap", "status"])


def test_another_emulator_that_containers_do_not_have_is_overruled(
    installed: IsolatedHost,
) -> None:
    binfmt.register(f":other:M::{binfmt.AARCH64}:/usr/bin/other:")
    try:
        assert "emulator" in unwell(installed)
        assert "fixed emulator:" in installed.run(["airgap", "doctor", "--fix"]).stdout
        assert unwell(installed) == {}
    finally:
        binfmt.unregister("other")


def test_what_cannot_be_fixed_keeps_nothing_else_from_it(installed: IsolatedHost) -> None:
    blob = max(installed.path(f"{STATE}/mirror").rglob("data"), key=lambda one: one.stat().st_size)
    blob.unlink()
    installed.run(["sh", "-c", f"{BREAKAGES['builder']}; {BREAKAGES['mirror']}"])
    assert {"seed", "mirror", "builder"} <= unwell(installed).keys()
    done = installed.run(["airgap", "doctor", "--fix"], check=False)
    assert done.returncode == ExitCode.HOST
    assert "not fixed seed: " in done.stdout
    assert "fixed mirror: " in done.stdout
    assert "fixed builder: " in done.stdout
    assert unwell(installed).keys() == {"seed"}
    installed.run(["airgap", "install", full_run.ON_MEDIUM, "--repair"])
    assert unwell(installed) == {}


def test_defaults_of_a_users_own_are_left_and_do_not_stop_the_builder(
    installed: IsolatedHost,
) -> None:
    """buildx would pass them to the remote driver, which refuses."""
    defaults = installed.path("/root/.docker/buildx/buildkitd.default.toml")
    ours = defaults.read_text()
    defaults.write_text("debug = true\n")
    installed.run(["docker", "buildx", "rm", "airgap"])
    assert "fixed enable:" in installed.run(["airgap", "doctor", "--fix"]).stdout
    assert defaults.read_text() == "debug = true\n"
    defaults.write_text(ours)
    assert unwell(installed) == {}


def test_a_blob_that_is_missing_is_restored(installed: IsolatedHost) -> None:
    blob = max(installed.path(f"{STATE}/mirror").rglob("data"), key=lambda one: one.stat().st_size)
    blob.unlink()
    assert "install DIR --repair" in unwell(installed)["seed"]
    done = installed.run(["airgap", "doctor", "--fix"], check=False)
    assert done.returncode != ExitCode.DONE
    assert "install" in done.stderr
    installed.run(["airgap", "install", full_run.ON_MEDIUM, "--repair"])
    assert unwell(installed, "--deep") == {}


def test_a_flipped_bit_is_found_by_looking_deep_and_restored(installed: IsolatedHost) -> None:
    blob = max(installed.path(f"{STATE}/mirror").rglob("data"), key=lambda one: one.stat().st_size)
    with blob.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    assert unwell(installed) == {}
    done = installed.run(["airgap", "status", "--deep"], check=False)
    assert done.returncode == ExitCode.HOST
    assert f"1 blobs are damaged: sha256:{blob.parent.name}" in done.stdout
    said = installed.run(["airgap", "install", full_run.ON_MEDIUM, "--repair"]).stderr
    assert f"damaged, and restored: sha256:{blob.parent.name}" in said
    installed.run(["airgap", "status", "--deep"])


@pytest.mark.parametrize("damage", ["rm {}/000001.json", "rm -r {}", "echo x >> {}/000002.json"])
def test_receipts_that_are_gone_or_garbled_are_made_again(
    installed: IsolatedHost, damage: str
) -> None:
    installed.run(["sh", "-c", damage.format(f"{STATE}/receipts")])
    found = installed.run(["airgap", "doctor"], check=False)
    assert found.returncode == ExitCode.TRUST
    assert "airgap doctor --fix" in found.stderr
    assert "fixed receipts:" in installed.run(["airgap", "doctor", "--fix"]).stdout
    assert unwell(installed) == {}
    assert "nothing to change" in installed.run(["airgap", "install", full_run.ON_MEDIUM]).stdout


def test_a_port_that_somebody_took_is_named_with_its_owner(installed: IsolatedHost) -> None:
    installed.run(["docker", "rm", "--force", "airgap-mirror"])
    server = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "5001"]
    with started(installed, server) as other:
        while "host" not in (found := unwell(installed)):
            assert other.poll() is None
        assert "--mirror-port" in found["host"]
        done = installed.run(["airgap", "doctor", "--fix"], check=False)
        assert done.returncode == ExitCode.HOST
        assert "not fixed mirror: port 5001 is taken by python3 (process" in done.stdout
    installed.run(["airgap", "doctor", "--fix"])


def test_a_clock_that_is_behind_is_named(installed: IsolatedHost) -> None:
    key = forge.new_key()
    images = [forge.indexed("docker.io/site/later:1")]
    created = format_time(datetime.now(UTC) + timedelta(hours=12))
    forge.make_bundle(installed.path("/srv/later"), key, images=images, created=created)
    installed.path("/srv/later.pub").write_bytes(key.public.pem())
    seed = ["--trust", "/srv/later.pub", "--only", "seed"]
    installed.run(["airgap", "install", "/srv/later", *seed])
    assert unwell(installed)["clock"].startswith("set the clock")
    installed.run(["airgap", "rollback"])
    assert unwell(installed) == {}


def test_docker_that_does_not_run_is_named(installed: IsolatedHost) -> None:
    installed.stop_docker()
    try:
        assert unwell(installed)["docker"].startswith("start Docker (systemctl start docker)")
    finally:
        installed.start_docker()
    installed.run(["airgap", "doctor", "--fix"])


def test_docker_with_its_other_image_store_is_given_all_of_it_again(
    installed: IsolatedHost,
) -> None:
    config = installed.path("/etc/docker/daemon.json")
    before = config.read_text()
    document = json.loads(before)
    document["features"] = {"containerd-snapshotter": False}
    config.write_text(json.dumps(document))
    installed.restart_docker()
    try:
        assert {"load", "mirror", "registry", "builder"} <= unwell(installed).keys()
        installed.run(["airgap", "doctor", "--fix"], timeout=600)
        installed.run(["airgap", "status"])
    finally:
        config.write_text(before)
        installed.restart_docker()
    installed.run(["airgap", "doctor", "--fix"], timeout=600)


def test_dockers_file_that_is_a_link_stays_one_and_is_written_as_its_owners(
    installed: IsolatedHost,
) -> None:
    installed.run(["sh", "-c", "cp -p /etc/docker/daemon.json /root/kept && mkdir -p /srv/site"])
    link = "ln -sf /srv/site/daemon.json /etc/docker/daemon.json"
    made = "install -m 640 -o alice /dev/null /srv/site/daemon.json"
    installed.run(["sh", "-c", f"{made} && {link}"])
    try:
        assert "fixed docker-mirror:" in installed.run(["airgap", "doctor", "--fix"]).stdout
        assert installed.run(["readlink", "/etc/docker/daemon.json"]).stdout == (
            "/srv/site/daemon.json\n"
        )
        about = installed.run(["stat", "-c", "%U %a", "/srv/site/daemon.json"]).stdout
        assert about == "alice 640\n"
        assert "127.0.0.1:5001" in installed.path("/srv/site/daemon.json").read_text()
    finally:
        installed.run(["sh", "-c", "rm /etc/docker/daemon.json; mv /root/kept $0", DAEMON_JSON])
        installed.reload_docker()


@contextmanager
def _docker_with(host: IsolatedHost, *options: str) -> Iterator[None]:
    """dockerd runs with other options for as long as this lasts."""
    host.stop_docker()
    try:
        with started(host, ["dockerd", *options]):
            while host.run(["docker", "version"], check=False).returncode != 0:
                time.sleep(0.1)
            yield
            host.run(["sh", "-c", "kill $(cat /run/docker.pid)"])
            while host.run(["test", "-e", "/run/docker.pid"], check=False).returncode == 0:
                time.sleep(0.1)
    finally:
        host.start_docker()
        host.run(["airgap", "doctor", "--fix"], timeout=600)


def _changed(host: IsolatedHost) -> str:
    """What tells every file of the state, and of the configurations, with its time."""
    folders = [STATE, "/etc/docker", "/srv", "/root/.docker", "/usr/local/bin"]
    skipped = ["-not", "-name", "lock", "-not", "-name", "airgap.log*"]
    find = ["find", *folders, "-type", "f", *skipped, "-printf", "%p %T@ %s\\n"]
    return "\n".join(sorted(host.run(find).stdout.splitlines()))


def test_a_docker_with_another_file_is_refused_before_anything_changes(
    installed: IsolatedHost,
) -> None:
    own = json.loads(installed.path(DAEMON_JSON).read_text())
    del own["registry-mirrors"]
    installed.path("/srv/docker.json").write_text(json.dumps(own))
    with _docker_with(installed, "--config-file=/srv/docker.json"):
        installed.run(["docker", "rm", "--force", "airgap-mirror"])
        before = _changed(installed)
        done = installed.run(["airgap", "install", full_run.ON_MEDIUM], check=False)
        assert done.returncode == ExitCode.HOST
        assert "dockerd reads /srv/docker.json, not /etc/docker/daemon.json" in done.stderr
        assert "--no-docker-mirror" in done.stderr
        assert _changed(installed) == before
        installed.run(["airgap", "install", full_run.ON_MEDIUM, "--no-docker-mirror"])
        assert unwell(installed) == {}
        assert "127.0.0.1:5001" not in installed.path(DAEMON_JSON).read_text()
        assert (
            "nothing to change" in installed.run(["airgap", "install", full_run.ON_MEDIUM]).stdout
        )
        again = installed.run(
            ["airgap", "install", full_run.ON_MEDIUM, "--docker-mirror"], check=False
        )
        assert "dockerd reads /srv/docker.json" in again.stderr
        by_hand = {**own, "registry-mirrors": ["http://127.0.0.1:5001/"]}
        installed.path("/srv/docker.json").write_text(json.dumps(by_hand))
        installed.reload_docker()
        installed.run(["airgap", "install", full_run.ON_MEDIUM, "--docker-mirror"])
        assert unwell(installed) == {}


@pytest.mark.parametrize(
    ("breakage", "repair", "reason"),
    [
        ("""echo '{"nonsense": 1}' > $0""", "cp -p /root/kept $0", "nonsense"),
        (
            "echo '{}' > $0; mount --bind /etc/docker /etc/docker; "
            "mount -o remount,bind,ro /etc/docker",
            "umount /etc/docker; cp -p /root/kept $0",
            "Read-only file system",
        ),
        (
            "mkdir -p /root/.docker/buildx/mine; docker buildx rm airgap; "
            "docker buildx create --name airgap --driver docker-container",
            "docker buildx rm airgap; airgap enable",
            "there is a builder 'airgap' already",
        ),
    ],
    ids=["a setting that dockerd does not know", "read-only", "a builder"],
)
def test_what_a_late_step_needs_is_looked_at_before_the_first(
    installed: IsolatedHost, breakage: str, repair: str, reason: str
) -> None:
    installed.run(["sh", "-c", f"cp -p $0 /root/kept; {breakage}", DAEMON_JSON])
    try:
        installed.run(["docker", "rm", "--force", "airgap-mirror"])
        before = _changed(installed)
        done = installed.run(["airgap", "install", full_run.ON_MEDIUM], check=False)
        assert done.returncode == ExitCode.HOST
        assert reason in done.stderr
        assert _changed(installed) == before
        assert installed.run(["docker", "inspect", "airgap-mirror"], check=False).returncode != 0
    finally:
        installed.run(["sh", "-c", repair, DAEMON_JSON])
        installed.reload_docker()
        installed.run(["airgap", "doctor", "--fix"], timeout=600)


@pytest.mark.parametrize("way", ["use", "DOCKER_HOST"])
def test_the_docker_of_another_host_is_refused_and_named(installed: IsolatedHost, way: str) -> None:
    installed.run(["docker", "context", "create", "far", "--docker", "host=tcp://127.0.0.1:9"])
    variables = {"DOCKER_HOST": "tcp://127.0.0.1:9", "use": "1"}
    try:
        if way == "use":
            installed.run(["docker", "context", "use", "far"])
        before = _changed(installed)
        for command in (["install", full_run.ON_MEDIUM], ["doctor"], ["status"], ["enable"]):
            done = installed.run(
                ["env", f"{way}={variables[way]}", "airgap", *command], check=False
            )
            assert done.returncode == ExitCode.HOST
            assert ("DOCKER_HOST" if way == "DOCKER_HOST" else "'far'") in done.stdout + done.stderr
        assert _changed(installed) == before
    finally:
        installed.run(["docker", "context", "use", "default"])
        installed.run(["docker", "context", "rm", "far"])
