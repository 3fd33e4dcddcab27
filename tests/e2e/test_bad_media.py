"""Damaged, forged, swapped and stale media: the right exit code, and nothing half-done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from airgap.bundle import framing
from airgap.errors import ExitCode
from airgap.trust.keys import PrivateKey
from lab import full_run
from lab.host import IsolatedHost
from tests import forge
from tests.e2e.conftest import Carried, visit

ROOT = "/srv/state"
BUNDLE = "/srv/bundle"
FILES = (
    "bundle.json",
    "SHA256SUMS",
    "SHA256SUMS.sig",
    "README.txt",
    "tool/airgap.pyz",
    "images.tar",
)


class Host:
    """A host with Docker where nothing is installed, and small bundles in one of its folders."""

    def __init__(self, host: IsolatedHost, key: PrivateKey) -> None:
        self.host, self.key = host, key
        self.bundle = host.path(BUNDLE)
        host.path("/srv/site.pub").write_bytes(key.public.pem())

    def clear(self) -> None:
        """Begins again with a good bundle and no state."""
        for path in (self.bundle, self.host.path(ROOT)):
            shutil.rmtree(path, ignore_errors=True)
        forge.make_bundle(self.bundle, self.key)

    def install(self, *options: str) -> CompletedProcess[str]:
        """Seeds the mirror from the bundle."""
        trust = ["--trust", "/srv/site.pub"]
        command = [*full_run.TOOL, "--root", ROOT, "install", BUNDLE, "--only", "seed"]
        return self.host.run([*command, *(options or trust)], check=False)

    def tags(self) -> list[Path]:
        """What the mirror's storage shows."""
        return list(self.host.path(ROOT).glob("mirror/**/_manifests/tags/*/current/link"))


@pytest.fixture(scope="module")
def one_host(carried: Carried) -> Iterator[Host]:
    with IsolatedHost() as host:
        visit(host, carried)
        yield Host(host, forge.new_key())


@pytest.fixture
def target(one_host: Host) -> Host:
    one_host.clear()
    return one_host


def _refused(target: Host, done: CompletedProcess[str], code: ExitCode) -> str:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "\nerror: " in f"\n{done.stderr}"
    assert target.tags() == []
    return done.stderr


def test_the_good_bundle_is_accepted(target: Host) -> None:
    done = target.install()
    assert done.returncode == 0, done.stderr
    assert target.tags()


@pytest.mark.parametrize("place", ["start", "middle", "end"])
@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_refused(target: Host, name: str, place: str) -> None:
    path = target.bundle / name
    data = bytearray(path.read_bytes())
    data[{"start": 0, "middle": len(data) // 2, "end": -1}[place]] ^= 1
    path.write_bytes(data)
    signed = name.startswith("SHA256SUMS")
    said = _refused(target, target.install(), ExitCode.TRUST if signed else ExitCode.INTEGRITY)
    assert "signed by" in said if signed else name in said


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(target: Host, name: str) -> None:
    os.truncate(target.bundle / name, (target.bundle / name).stat().st_size - 1)
    signed = name.startswith("SHA256SUMS")
    _refused(target, target.install(), ExitCode.TRUST if signed else ExitCode.INTEGRITY)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_and_named(target: Host, name: str) -> None:
    (target.bundle / name).unlink()
    code = ExitCode.TRUST if name == "SHA256SUMS.sig" else ExitCode.INTEGRITY
    assert name in _refused(target, target.install(), code)


def test_an_extra_file_is_named_and_never_opened(target: Host) -> None:
    os.mkfifo(target.bundle / "extra")  # opening it would hang
    done = target.install()
    assert done.returncode == 0, done.stderr
    assert "extra" in done.stderr


def test_a_host_that_trusts_no_key_says_how_to_add_one(target: Host) -> None:
    said = _refused(target, target.install("--json"), ExitCode.TRUST)
    assert "airgap trust add" in said


def test_another_key_is_refused(target: Host) -> None:
    target.host.path("/srv/other.pub").write_bytes(forge.new_key().public.pem())
    said = _refused(target, target.install("--trust", "/srv/other.pub"), ExitCode.TRUST)
    assert "not signed by a key that is trusted here" in said


def test_a_key_inside_the_bundle_is_refused(target: Host) -> None:
    (target.bundle / "site.pub").write_bytes(target.key.public.pem())
    said = _refused(target, target.install("--trust", f"{BUNDLE}/site.pub"), ExitCode.TRUST)
    assert "is on the medium" in said


def test_a_forgery_with_a_trusted_key_is_refused(target: Host) -> None:
    def escape(document: forge.Document) -> None:
        document["files"][1]["name"] = "../../etc/passwd"

    forge.forge(target.bundle, target.key, change=escape)
    _refused(target, target.install(), ExitCode.INTEGRITY)


def test_a_second_index_in_the_tar_is_refused(target: Host) -> None:
    index = b'{"schemaVersion":2,"manifests":[]}'
    header = framing.header(framing.blob_path("sha256:" + "0" * 64), len(index), 0)

    def append(tar: bytes) -> bytes:
        return tar[:-1024] + header + index.ljust(512, b"\0") + bytes(1024)

    forge.forge(target.bundle, target.key, tar=append)
    _refused(target, target.install(), ExitCode.INTEGRITY)


def test_a_layer_of_another_digest_leaves_no_tag(target: Host) -> None:
    contents = forge.make_bundle(target.bundle, target.key)
    last = contents.blobs[-1]

    def damage(tar: bytes) -> bytes:
        return tar[: last.offset] + b"!" + tar[last.offset + 1 :]

    forge.forge(target.bundle, target.key, tar=damage)
    assert last.digest in _refused(target, target.install(), ExitCode.INTEGRITY)


def test_an_expired_bundle_is_refused(target: Host) -> None:
    shutil.rmtree(target.bundle)
    forge.make_bundle(target.bundle, target.key, expires="2026-02-01T00:00:00Z")
    assert "expired" in _refused(target, target.install(), ExitCode.TRUST)


def test_an_older_bundle_moves_no_tag_unless_that_is_wanted(target: Host) -> None:
    image = forge.single("docker.io/library/a:1", texts=["new"])
    forge.make_bundle(target.bundle, target.key, images=[image], serial=2)
    assert target.install().returncode == 0
    newer = target.tags()[0].read_text()
    shutil.rmtree(target.bundle)
    image = forge.single("docker.io/library/a:1", texts=["old"])
    created = "2025-01-01T00:00:00Z"
    forge.make_bundle(target.bundle, target.key, images=[image], name="other", created=created)
    done = target.install()
    assert done.returncode == ExitCode.TRUST
    assert "docker.io/library/a:1 would go back" in done.stderr
    assert target.tags()[0].read_text() == newer
    done = target.install("--trust", "/srv/site.pub", "--allow-older")
    assert done.returncode == 0, done.stderr
    assert target.tags()[0].read_text() != newer


def test_a_serial_that_was_used_for_another_bundle_is_refused(target: Host) -> None:
    assert target.install().returncode == 0
    shutil.rmtree(target.bundle)
    other = forge.single("docker.io/library/b:1")
    forge.make_bundle(target.bundle, target.key, images=[other])
    done = target.install()
    assert done.returncode == ExitCode.TRUST
    assert "another bundle small with the serial 1" in done.stderr


def test_a_mirror_whose_receipts_are_gone_is_refused(target: Host) -> None:
    assert target.install().returncode == 0
    shutil.rmtree(target.host.path(ROOT) / "receipts")
    done = target.install()
    assert done.returncode == ExitCode.TRUST
    assert target.install("--trust", "/srv/site.pub", "--allow-older").returncode == 0


def test_a_changed_receipt_is_noticed(target: Host) -> None:
    assert target.install().returncode == 0
    receipt = target.host.path(ROOT) / "receipts" / "000001.json"
    receipt.write_text(receipt.read_text().replace("root", "nobody"))
    done = target.install()
    assert done.returncode == ExitCode.TRUST
    assert "receipts/000002.json" in done.stderr


def test_a_full_disk_is_said_before_anything_is_changed(target: Host) -> None:
    host = target.host
    host.run(["mkdir", "-p", ROOT])
    host.run(["mount", "-t", "tmpfs", "-o", "size=50m,mode=755", "tmpfs", ROOT])
    try:
        said = _refused(target, target.install(), ExitCode.SPACE)
        assert "Nothing was changed" in said
    finally:
        host.run(["umount", ROOT])
