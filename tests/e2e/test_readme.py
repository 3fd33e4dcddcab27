"""Every command that the README shows, run as it stands there, from the top.

Its blocks say where: `workstation` is this machine, `server` and `user` an isolated host, as root
and as somebody else. Those of `project` are what runs this, and the lab's own tests;
`tests.native` runs those of `arm64`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import workstation
from lab.host import IsolatedHost
from lab.medium import Medium
from lab.upstream import Upstream
from tests.readme import README, Block, blocks

PROJECT = README.parent
DRIVES = ("/media/usb", "/media/usb2")
"""Where the README has drives, on both sides."""

PLACES = {"workstation", "server", "user", "project", "arm64"}
_PACKAGE = ("README.md", "LICENSE", "pyproject.toml", "airgap", "bundles")
_MEDIUM_BYTES = 8 << 30


@dataclass(frozen=True, slots=True)
class Walked:
    """What the commands said, below the heading that they stand under, and where they led."""

    workstation: dict[str, str]
    server: dict[str, str]
    host: IsolatedHost


class Workstation:
    """A workstation with a copy of the project, and the media where the README has drives.

    Args:
        lab: Its Docker.
        folder: For the copy.
        upstream: Stands for Docker Hub and the others.
        media: The drives.
    """

    def __init__(
        self,
        lab: workstation.Workstation,
        folder: Path,
        upstream: Upstream,
        media: Sequence[Medium],
    ) -> None:
        self._folder, self._media = folder, media
        (folder / "app").mkdir()
        for name in _PACKAGE:
            source = PROJECT / name
            if source.is_dir():
                unwanted = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, folder / name, ignore=unwanted)
            else:
                shutil.copy2(source, folder)
        spec = next(block for block in blocks() if block.place == "spec")
        (folder / "my.toml").write_text(spec.text)
        registries = folder / "upstream.toml"
        registries.write_text(upstream.registries())
        self._variables = {**lab.environment, "AIRGAP_REGISTRIES": str(registries)}
        self._variables.pop("VIRTUAL_ENV", None)

    def write(self, block: Block) -> None:
        """Writes the Dockerfile that a block holds."""
        (self._folder / "app" / "Dockerfile").write_text(block.text)

    def run(self, block: Block) -> str:
        """Runs a block in a mount namespace of its own, so that /media stays as it is."""
        venv = self._folder / "venv" / "bin"
        mounts = "".join(
            f"mkdir {drive}\nmount --bind {medium.path} {drive}\n"
            for drive, medium in zip(DRIVES, self._media, strict=True)
        )
        script = (
            f"mount -t tmpfs tmpfs /media\n{mounts}"
            f"cd {self._folder}\n"
            f"PATH={venv}:$PATH\n"  # a person's shell keeps it active
            f"{block.text}"
        )
        done = subprocess.run(
            ["unshare", "--mount", "bash", "-euo", "pipefail", "-c", script],
            env=self._variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def walked(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    folder = tmp_path_factory.mktemp("project")
    on_workstation: dict[str, str] = {}
    on_server: dict[str, str] = {}
    with ExitStack() as stack:
        # Its Docker must not see the media: what it has mounted could not be sealed.
        with workstation.Workstation() as lab:
            media = [stack.enter_context(Medium(_MEDIUM_BYTES)) for _ in DRIVES]
            here = Workstation(lab, folder, upstream, media)
            for block in blocks():
                if block.language == "dockerfile":
                    here.write(block)
                elif block.place == "workstation":
                    _note(on_workstation, block, here.run(block))
        host = stack.enter_context(IsolatedHost())
        host.check_isolated()
        host.start_docker()
        for drive, medium in zip(DRIVES, media, strict=True):
            medium.seal()
            host.attach(medium, drive)
        host.path("/root/site.pub").write_bytes((folder / "site.pub").read_bytes())
        host.path("/root/app").mkdir()
        for block in blocks():
            if block.language == "dockerfile":
                host.path("/root/app/Dockerfile").write_text(block.text)
            elif block.place in ("server", "user"):
                _note(on_server, block, _run_on_server(host, block))
        yield Walked(on_workstation, on_server, host)


def _note(said: dict[str, str], block: Block, output: str) -> None:
    said[block.heading] = said.get(block.heading, "") + output


def _run_on_server(host: IsolatedHost, block: Block) -> str:
    user, folder = ("root", "/root/app") if block.place == "server" else ("alice", "/home/alice")
    script = f"cd {folder}\n{block.text}"
    done = host.run(["bash", "-euo", "pipefail", "-c", script], user=user, check=False, timeout=600)
    assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_command_has_a_place() -> None:
    assert {block.place for block in blocks() if block.language == "sh"} == PLACES


def test_the_fingerprint_is_the_same_on_both_sides(walked: Walked) -> None:
    fingerprint = walked.server["On the host"].split()[0]
    assert f"fingerprint sha256:{fingerprint}" in walked.workstation["On the workstation"]


def test_the_key_that_is_trusted_is_the_one_that_was_made(walked: Walked) -> None:
    said = re.search(
        r"^trusted: site, .*(fingerprint sha256:[0-9a-f]{64})$",
        walked.server["On the host"],
        re.M,
    )
    assert said
    assert said[1] in walked.workstation["On the workstation"]


def test_the_tool_is_checked_as_the_readme_says(walked: Walked) -> None:
    checked = walked.server["On the host"].splitlines()[1:3]
    assert checked == ["Verified OK", "tool/airgap.pyz: OK"]


def test_the_arm64_images_run(walked: Walked) -> None:
    for heading in ("Build", "A builder of your own"):
        assert "aarch64" in walked.server[heading].splitlines(), walked.server[heading]
    said = walked.server["Plain docker build with qemu-user-static"]
    assert "aarch64" in said.splitlines(), said


def test_a_build_that_downloads_is_recorded_rehearsed_and_replayed(walked: Walked) -> None:
    assert "python:3.13-slim" in walked.workstation["Record"]
    assert "rehearsed 1 builds" in walked.workstation["Rehearse"]
    assert "1.17.0 aarch64" in walked.server["Build from the recording"].splitlines()


def test_the_dry_run_writes_nothing_and_the_spec_says_what_is_carried(walked: Walked) -> None:
    said = walked.workstation["What a bundle carries"]
    assert re.search(r"ghcr\.io/example/base:1 +[\d.]+ [kKMG]?i?B +linux/arm64\b", said)
    assert "expires 2099-12-31" in said


def test_a_bundle_is_made_of_what_was_locked(walked: Walked) -> None:
    locked, signed = re.findall(r"serial (\d+)", walked.workstation["The same bundle again"])
    assert locked == signed


def test_a_bundle_on_two_drives_is_checked_and_installed(walked: Walked) -> None:
    assert "good: my-images" in walked.workstation["Several media"]
    assert "installed: my-images" in walked.server["Several media"]


def test_the_last_bundle_is_undone_and_what_it_included_is_freed(walked: Walked) -> None:
    said = walked.server["Newer bundles, and back"]
    assert re.search(r"rolled back: from arm64-builder-\d+ to my-images-", said)
    assert "\nwould be freed: " in said
    assert "\nfreed: " in said


def test_the_set_up_is_taken_back_and_made_again_on_another_disk(walked: Walked) -> None:
    assert "undone seed" in walked.server["Uninstall"]
    assert "127.0.0.1:5001 serves" in walked.server["Another disk"]
    assert walked.host.path("/srv/airgap/mirror").is_dir()
    assert not walked.host.path("/var/lib/airgap/mirror").exists()


def test_a_further_user_has_the_builder(walked: Walked) -> None:
    assert "alice has the builder 'airgap'" in walked.server["Further users"]


def test_stock_tools_read_the_bundle(walked: Walked) -> None:
    said = walked.workstation["What is in a bundle"]
    assert said.startswith("Verified OK\nbundle.json: OK\n")
    assert "index.json" in said
    assert '"Architecture": "amd64"' in said
