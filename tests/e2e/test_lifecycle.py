"""Hosts that differ, installs that do not end, and a tool that replaces itself."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime

from airgap import __version__
from airgap.canonical import format_time
from airgap.errors import ExitCode
from lab import full_run
from lab.host import IsolatedHost
from tests import forge

StartHost = Callable[..., IsolatedHost]


def test_a_strict_umask_and_a_tmp_without_programs_do_no_harm(fresh_host: StartHost) -> None:
    host = fresh_host()
    host.run(["mount", "-o", "remount,noexec", "/tmp"])
    install = f"umask 077; exec {' '.join(full_run.TOOL)} install {full_run.ON_MEDIUM}"
    host.run(["sh", "-c", f"{install} --trust /root/site.pub"])
    host.run(["airgap", "status"])
    host.run(["airgap", "enable"], user="alice")
    host.run(["airgap", "status"], user="alice")
    _the_installed_tool_replaces_itself(host)


def _the_installed_tool_replaces_itself(host: IsolatedHost) -> None:
    key, folder = forge.new_key(), host.path("/srv/bundle")
    tool = io.BytesIO(host.path("/root/airgap/tool/airgap.pyz").read_bytes())
    with zipfile.ZipFile(tool, "a") as archive:
        archive.writestr("lib/airgap/newer.txt", "")
    image = forge.indexed("docker.io/site/new:1")
    now = format_time(datetime.now(UTC))  # an older bundle would not replace it
    forge.make_bundle(folder, key, images=[image], tool=tool.getvalue(), created=now)
    forge.forge(folder, key, change=lambda document: document.update(tool=__version__))
    host.path("/srv/other.pub").write_bytes(key.public.pem())
    said = host.run(["airgap", "install", "/srv/bundle", "--trust", "/srv/other.pub"]).stdout
    assert said.startswith("done  tool")
    installed = host.path("/usr/local/lib/airgap/current/airgap.pyz").read_bytes()
    assert installed == tool.getvalue()
    host.run(["airgap", "status"])


def test_an_install_that_did_not_end_is_told_and_can_be_taken_back(fresh_host: StartHost) -> None:
    host = fresh_host()
    trust = ["--trust", "/root/site.pub"]
    host.run([*full_run.TOOL, "install", full_run.ON_MEDIUM, *trust, "--only", "tool"])
    status = host.run(["airgap", "status"], check=False)
    assert status.returncode == ExitCode.HOST
    assert "was not finished" in status.stderr
    host.run([*full_run.TOOL, "uninstall"])
    assert not host.path("/usr/local/lib/airgap").exists()
    assert not host.path("/usr/local/bin/airgap").exists()
    host.run([*full_run.TOOL, "uninstall", "--purge"])  # nothing is left to do


def test_a_user_without_root_is_told_what_they_can_do(fresh_host: StartHost) -> None:
    host = fresh_host()
    host.path("/home/alice/airgap.pyz").write_bytes(
        host.path("/root/airgap/tool/airgap.pyz").read_bytes()
    )
    host.path("/home/alice/site.pub").write_bytes(host.path("/root/site.pub").read_bytes())
    tool = ["python3", "-I", "/home/alice/airgap.pyz", "--root", "/home/alice/state"]
    trust = ["--trust", "/home/alice/site.pub"]
    done = host.run([*tool, "install", full_run.ON_MEDIUM, *trust], user="alice", check=False)
    assert done.returncode == ExitCode.HOST
    assert "only root can do these steps: tool, emulator, authorities, docker-mirror" in done.stderr
    only = ["--only", "seed,load,mirror,registry,builder,buildx,enable"]
    host.run([*tool, "install", full_run.ON_MEDIUM, *trust, *only], user="alice")
    amd64 = ["docker", "buildx", "build", "--platform", "linux/amd64", "/home/alice/app"]
    host.path("/home/alice/app").mkdir()
    host.path("/home/alice/app/Dockerfile").write_text("FROM alpine\nRUN uname -m\n")
    host.run(amd64, user="alice")


def test_a_container_of_somebody_elses_is_left_alone(fresh_host: StartHost) -> None:
    host = fresh_host()
    host.run(["docker", "load", "-i", f"{full_run.ON_MEDIUM}/images.tar"], timeout=300)
    host.run(["docker", "create", "--name", "airgap-mirror", "alpine"])
    trust = ["--trust", "/root/site.pub"]
    done = host.run([*full_run.TOOL, "install", full_run.ON_MEDIUM, *trust], check=False)
    assert done.returncode == ExitCode.HOST
    assert "there is a container airgap-mirror that airgap did not make" in done.stderr
