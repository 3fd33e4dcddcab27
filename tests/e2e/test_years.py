"""A host that lives with many bundles keeps what was its own, and loses all that was ours."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import full_run, snapshot
from lab.host import ImageStore, IsolatedHost
from lab.newer_bundle import make_renewed
from tests import forge
from tests.contract import parse_json
from tests.e2e.conftest import Carried, visit

pytestmark = pytest.mark.timeout(1800)  # six installs, each with its test build
FOLDERS = ("/etc", "/usr", "/root", "/home", "/opt", "/srv", "/var/lib/airgap")
REGISTRY, OWN = "registry:3", "site/own:1"
BUILDX_NOTES = {
    "root/.docker",
    "root/.docker/buildx",
    *(f"root/.docker/buildx/{name}" for name in (".lock", "activity", "current", "defaults")),
    *(f"root/.docker/buildx/{name}" for name in ("instances", "refs", ".buildNodeID")),
}
"""What buildx keeps of its own, whoever used it."""


@pytest.fixture(scope="module")
def bundles(carried: Carried, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two that renew all that a host is set up with, and one with recordings of another signer."""
    folder = tmp_path_factory.mktemp("bundles")
    made = [folder / str(serial) for serial in (1, 2)]
    for path in made:
        make_renewed(carried.key, path, int(path.name))
    key = forge.new_key()
    image = forge.indexed("quay.io/site/tool:1")  # of a host that the builder does not know yet
    forge.make_bundle(folder / "more", key, images=[image], recordings=[forge.recorded()])
    (folder / "more.pub").write_bytes(key.public.pem())
    return [*made, folder / "more"]


@pytest.mark.parametrize("image_store", ["containerd", "classic"])
def test_after_years_the_host_is_what_it_was(
    isolated_host: Callable[..., IsolatedHost],
    carried: Carried,
    bundles: list[Path],
    image_store: ImageStore,
) -> None:
    host = isolated_host(image_store=image_store)
    visit(host, carried)
    own = [_own_image(host, name) for name in (REGISTRY, OWN)]
    for bundle in bundles:
        shutil.copytree(bundle, host.path(f"/srv/{bundle.name}"))
    shutil.copy2(bundles[-1].with_suffix(".pub"), host.path("/srv/more.pub"))
    before = _all_of(host)

    full_run.install(host, "--load", "arm64v8/alpine")
    _only_what_is_needed(host, own)
    host.run(["airgap", "install", "/srv/1"], timeout=600)
    _only_what_is_needed(host, own)
    more = ["airgap", "install", "/srv/more", "--trust", "/srv/more.pub"]
    assert "done  builder" in host.run(more).stdout  # its configuration names another registry
    host.run(["airgap", "rollback"])
    host.run(["airgap", "rollback"], timeout=600)
    _only_what_is_needed(host, own)
    host.run(["airgap", "prune"])
    host.run(["airgap", "install", "/srv/1"], timeout=600)
    host.run(["airgap", "install", "/srv/2"], timeout=600)
    host.run(["airgap", "prune", "--keep", "1"])
    _only_what_is_needed(host, own)
    status = parse_json("status", host.run(["airgap", "status", "--json"]).stdout)
    assert all(finding["ok"] for finding in status["steps"].values()), status["steps"]
    brought = {role: one["bundle"] for one in status["bundles"] for role in one["roles"]}
    assert {brought[role].rpartition("-")[0] for role in ("builder", "registry")} == {"site"}
    assert brought["buildx"].startswith("arm64-builder-")  # the others include the very same

    host.run(["airgap", "trust", "remove", "site"])
    host.run(["airgap", "uninstall", "--purge", "--purge-pushed", "--yes"])
    after = _all_of(host)
    assert after[1:] == before[1:]
    assert before[0] - after[0] == set()
    assert {line.split()[0] for line in after[0] - before[0]} <= BUILDX_NOTES


def _all_of(host: IsolatedHost) -> tuple[set[str], dict[str, list[str]], list[str]]:
    return snapshot.files(host, *FOLDERS), snapshot.docker(host), snapshot.emulators(host)


def _own_image(host: IsolatedHost, name: str) -> str:
    """An image that somebody has made here, and its id."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("own")
        info.size = len(name)
        archive.addfile(info, io.BytesIO(name.encode()))
    host.write("/tmp/own.tar", packed.getvalue())
    return host.run(["docker", "import", "/tmp/own.tar", name]).stdout.strip()


def _only_what_is_needed(host: IsolatedHost, own: list[str]) -> None:
    """Docker has people's images, and of ours only those of now."""
    names = ["docker", "images", "--all", "--no-trunc", "--format"]
    shown = host.run([*names, "{{.Repository}}:{{.Tag}} {{.ID}}"]).stdout.splitlines()
    by_name = dict(line.split() for line in shown)
    assert len(by_name) == len(shown), shown
    assert {by_name[f"airgap-kept/docker.io/library/{REGISTRY}"], by_name[OWN]} == set(own)
    assert not any("<none>" in name for name in by_name), shown
    host.run(["airgap", "status"])
