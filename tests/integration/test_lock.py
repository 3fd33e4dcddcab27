"""`airgap.lock`: the same bytes again, whatever happens upstream, and what changed there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from platformdirs import user_cache_path

import airgap as package
from airgap.tool import build_pyz
from lab.publish import Image
from lab.run import run
from lab.upstream import Upstream
from tests.contract import parse_json
from tests.integration.command import Outcome, airgap, started
from tests.integration.conftest import LayerMaker
from tests.integration.faults import FaultProxy, Held, answers

PLATFORMS = ("linux/amd64", "linux/arm64")
_BUILD = """
import hashlib
from airgap.oci.platform import Platform
from airgap.progress import Progress
from airgap.tool.build_pyz import build_tool
tool = build_tool([Platform("linux", "amd64")], progress=Progress())
print(hashlib.sha256(tool).hexdigest())
"""


@dataclass(frozen=True, slots=True)
class Site:
    """An image whose tag moves upstream, and the working folder with its lock."""

    repository: str
    publish: Callable[..., str]
    upstream: Upstream
    proxy: FaultProxy
    key: Path

    @property
    def name(self) -> str:
        """What the image is called."""
        return f"{self.proxy.address}/{self.repository}:1"

    def update(self, *options: str | Path) -> Outcome:
        """Runs `airgap update` for the image."""
        return airgap("update", self.name, "--no-roles", *options)

    def bundle(self, output: str, *options: str | Path) -> Outcome:
        """Runs `airgap bundle` for the image."""
        common = ("--no-roles", "--key", self.key, "-o", output)
        return airgap("bundle", self.name, *common, *options)


@pytest.fixture
def site(
    key: Path,
    registry: Upstream,
    proxy: FaultProxy,
    layer: LayerMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    monkeypatch.chdir(tmp_path)
    repository = f"locked/{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"

    def publish(seed: str, platforms: tuple[str, ...] = PLATFORMS) -> str:
        made = [Image(platform, [layer(f"{seed}-{platform}")]) for platform in platforms]
        return registry.publisher().publish(repository, ["1"], made)

    publish("first")
    return Site(repository, publish, registry, proxy, key)


def tree(folder: str) -> dict[str, str]:
    """Every file of a folder, with what sha256sum says of it."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    lines = run(["sha256sum", *(path.relative_to(folder) for path in files)], cwd=Path(folder))
    return {line.split()[1]: line.split()[0] for line in lines.splitlines()}


def digest_in(folder: str) -> str:
    """The digest of a bundle's only image."""
    (image,) = json.loads(Path(folder, "bundle.json").read_bytes())["images"]
    return str(image["digest"])


def test_two_bundles_of_one_lock_are_the_same_bytes_though_the_tag_moved(site: Site) -> None:
    outcome = site.update("--expires", "2999-01-01")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"new  {site.name}  sha256:")
    assert site.bundle("one", "--locked").code == 0
    old = digest_in("one")
    new = site.publish("second")
    assert old != new
    site.proxy.requests.clear()
    assert site.bundle("two", "--locked").code == 0
    assert tree("one") == tree("two")
    assert "SHA256SUMS.sig" in tree("one")
    assert not [request for request in site.proxy.requests if request.is_by_tag]
    public = site.key.with_suffix(".pub")
    assert airgap("verify", "two", "--trust", public).code == 0
    run(["openssl", "dgst", "-sha256", "-verify", public,
         "-signature", "two/SHA256SUMS.sig", "two/SHA256SUMS"])  # fmt: skip


def test_update_names_what_changed_and_locked_takes_it_from_then_on(site: Site) -> None:
    site.update()
    site.bundle("one", "--locked")
    first, old = json.loads(Path("one/bundle.json").read_bytes()), digest_in("one")
    new = site.publish("second")
    outcome = site.update()
    assert outcome.code == 0, outcome.err
    assert f"changed  {site.name}  {old[:19]} -> {new[:19]}" in outcome.out
    assert "airgap.lock is written" in outcome.out
    assert site.bundle("two", "--locked").code == 0
    assert digest_in("two") == new
    assert json.loads(Path("two/bundle.json").read_bytes())["serial"] > first["serial"]


def test_an_update_without_a_change_keeps_the_file(site: Site) -> None:
    site.update()
    before = Path("airgap.lock").read_bytes(), Path("airgap.lock").stat().st_ino
    outcome = site.update()
    assert outcome.code == 0
    assert outcome.out.startswith(f"unchanged  {site.name}  sha256:")
    assert "airgap.lock is up to date" in outcome.out
    assert (Path("airgap.lock").read_bytes(), Path("airgap.lock").stat().st_ino) == before


def test_a_dry_run_shows_the_change_and_writes_nothing(site: Site) -> None:
    assert "dry run" in site.update("--dry-run").out
    assert not Path("airgap.lock").exists()
    site.update()
    before = Path("airgap.lock").read_bytes()
    site.publish("second")
    assert "changed" in site.update("--dry-run").out
    assert Path("airgap.lock").read_bytes() == before


def test_images_that_come_and_go_and_their_platforms_are_told_to_programs(
    site: Site, registries: Path
) -> None:
    site.update("--all-platforms")
    site.publish("first", ("linux/amd64", "linux/riscv64"))
    common = ("--no-roles", "--all-platforms", "--registries", registries)
    outcome = airgap("update", site.name, "app:1", *common)
    assert "+linux/riscv64  -linux/arm64" in outcome.out
    assert "new      app:1" in outcome.out
    outcome = airgap("update", "app:1", *common, "--expires", "2999-01-01", "--json")
    told = parse_json("update", outcome.out)
    assert told["changed"]
    assert [(image["name"], image["change"]) for image in told["images"]] == [
        ("docker.io/library/app:1", "unchanged"),
        (site.name, "gone"),
    ]
    assert told["images"][1]["platforms_went"] == ["linux/amd64", "linux/riscv64"]
    assert told["others"] == [
        {"what": "expires", "before": "never", "after": "2999-01-01T00:00:00Z"}
    ]


def test_a_bundle_can_be_locked_as_it_is_made(site: Site) -> None:
    assert site.bundle("one", "--lock", "made.lock").code == 0
    site.publish("second")
    assert site.bundle("two", "--locked", "--lock", "made.lock").code == 0
    assert tree("one") == tree("two")
    assert not Path("airgap.lock").exists()


def test_a_digest_that_is_gone_upstream_is_told_with_the_lock(site: Site) -> None:
    site.update()
    site.bundle("one", "--locked")
    old = digest_in("one")
    site.publish("second")
    with site.upstream.session() as session:
        address = f"{site.upstream.url}/v2/{site.repository}/manifests/{old}"
        session.delete(address, timeout=20).raise_for_status()
    outcome = site.bundle("two", "--locked")
    assert outcome.code == 3
    assert old in outcome.err
    assert "airgap.lock names it" in outcome.err
    assert f"airgap update {site.name}" in outcome.err
    assert not Path("two").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("app:1",), "it has no docker.io/library/app:1"),
        (("--platform", "linux/arm64"), "not for linux/arm64"),
        (("--all-platforms",), "not for all platforms"),
        (("--name", "other"), "its name is images, not other"),
        (("--expires", "2999-01-01"), "it expires never, not 2999-01-01T00:00:00Z"),
    ],
)
def test_the_lock_of_another_request_is_refused_before_anything_is_asked(
    options: tuple[str, ...], told: str, site: Site
) -> None:
    site.update()
    site.proxy.requests.clear()
    outcome = site.bundle("out", "--locked", *options)
    assert outcome.code == 2
    assert told in outcome.err
    assert "airgap update" in outcome.err
    assert site.proxy.requests == []
    assert not Path("out").exists()


def test_without_a_lock_locked_says_how_to_make_one(site: Site) -> None:
    outcome = site.bundle("out", "--locked", "--lock", "my.lock")
    assert outcome.code == 2
    assert "there is no lock my.lock" in outcome.err
    assert f"airgap update {site.name} --lock my.lock" in outcome.err


def test_a_damaged_lock_is_refused_by_both_and_stays(site: Site) -> None:
    site.update()
    path = Path("airgap.lock")
    path.write_text(path.read_text().replace("digest", "digset"))
    damaged = path.read_bytes()
    for outcome in (site.bundle("out", "--locked"), site.update()):
        assert outcome.code == 2
        assert "airgap.lock is not a lock that this airgap can read" in outcome.err
        assert "images[1].digest is missing" in outcome.err
    assert path.read_bytes() == damaged


def test_a_file_that_is_no_lock_is_never_written_over(site: Site, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert site.update("--lock", "mine.txt").code == 2
    assert site.bundle("out", "--lock", "mine.txt").code == 2
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert not Path("out").exists()


def test_a_lock_that_cannot_be_written_is_exit_9(site: Site) -> None:
    outcome = site.update("--lock", "absent/airgap.lock")
    assert outcome.code == 9
    assert "cannot write to absent/airgap.lock" in outcome.err


def test_a_lock_is_written_through_a_link(site: Site) -> None:
    Path("real").mkdir()
    Path("airgap.lock").symlink_to("real/my.lock")
    assert site.update().code == 0
    assert Path("airgap.lock").is_symlink()
    assert Path("real/my.lock").is_file()


def test_another_version_is_named_that_the_lock_needs(site: Site) -> None:
    site.update()
    path = Path("airgap.lock")
    needed = path.read_text().replace(f'version = "{package.__version__}"', 'version = "0.0.1"')
    path.write_text(needed)
    outcome = site.bundle("out", "--locked")
    assert outcome.code == 2
    assert f"made with airgap 0.0.1, and this is airgap {package.__version__}" in outcome.err
    assert f"airgap 0.0.1 -> {package.__version__}" in site.update().out


@pytest.mark.parametrize(
    ("old", "told"),
    [('sha256 = "', "this airgap has other files"), ('any.whl" = "', "its part certifi-")],
)
def test_a_tool_that_comes_out_otherwise_is_refused_before_blobs_are_fetched(
    old: str, told: str, site: Site
) -> None:
    site.update()
    path = Path("airgap.lock")
    before, found, after = path.read_text().partition(old)
    other = "1" if after[0] == "0" else "0"
    path.write_text(before + old + other + after[1:])
    assert found
    site.proxy.requests.clear()
    outcome = site.bundle("out", "--locked")
    assert outcome.code == 2
    assert told in outcome.err
    assert not Path("out/images.tar").exists()


def test_an_interrupted_locked_run_continues_to_the_same_bytes(site: Site, tool: Path) -> None:
    site.update()
    assert site.bundle("undisturbed", "--locked").code == 0
    site.proxy.fault = held = Held()
    arguments = ("bundle", site.name, "--no-roles", "--key", site.key, "-o", "out", "--locked")
    with started(tool, *arguments) as process:
        assert held.reached.wait(30)
        process.kill()
        held.go_on.set()
    site.proxy.fault = None
    assert Path("out/.unfinished").exists()
    site.publish("second")
    assert site.bundle("out", "--locked").code == 0
    assert tree("out") == tree("undisturbed")


def test_an_unfinished_bundle_of_other_digests_does_not_become_the_locked_one(site: Site) -> None:
    site.proxy.fault = answers(404, when=lambda request: request.is_blob)
    assert site.bundle("out").code == 3
    site.proxy.fault = None
    site.publish("second")
    site.update()
    outcome = site.bundle("out", "--locked")
    assert outcome.code == 2
    assert "holds an unfinished bundle of another run" in outcome.err


def test_a_lock_that_expired_still_makes_its_bundle_and_says_so(site: Site) -> None:
    site.update("--expires", "2999-01-01")
    path = Path("airgap.lock")
    path.write_text(path.read_text().replace("2999-01-01", "2001-01-01"))
    outcome = site.bundle("out", "--locked")
    assert outcome.code == 0, outcome.err
    assert "airgap.lock expired: hosts will refuse the bundle" in outcome.err


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_tool_is_the_same_bytes_wherever_it_is_built(
    seed: str, tool: Path, tmp_path: Path
) -> None:
    """Another process, umask, time zone, order of hashes, and copies of cache and package."""
    cache = tmp_path / "cache"
    shutil.copytree(user_cache_path("airgap"), cache / "airgap", copy_function=shutil.copyfile)
    source = tmp_path / "source"
    assert package.__file__ is not None
    shutil.copytree(Path(package.__file__).parent, source / "airgap", copy_function=shutil.copyfile)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _BUILD],
        env={
            **os.environ,
            "PYTHONPATH": str(source),
            "PYTHONHASHSEED": seed,
            "XDG_CACHE_HOME": str(cache),
            "TZ": "Asia/Tokyo",
            "LC_ALL": "C",
        },
        cwd=source,
        umask=0o077,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(tool.read_bytes()).hexdigest()


def test_the_tool_says_of_which_wheels_it_is_made(tool: Path) -> None:
    wheels = build_pyz.wheels_of(tool.read_bytes())
    cache = user_cache_path("airgap") / "wheels"
    assert any(name.startswith("cryptography-") for name in wheels)
    for name, sha256 in wheels.items():
        assert hashlib.sha256((cache / name).read_bytes()).hexdigest() == sha256
