"""Pushing a bundle to registries with TLS and accounts, judged by crane, skopeo and oras."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from airgap.errors import ExitCode
from airgap.isolated.commands.load_context import load_context
from airgap.isolated.commands.rollback import rollback
from airgap.isolated.host.user import User
from airgap.isolated.state.layout import State
from airgap.isolated.steps.base import check_step
from airgap.isolated.steps.push import PushStep
from airgap.isolated.steps.seed import SeedStep
from airgap.oci.digest import digest_of
from airgap.progress import Progress
from airgap.trust.keys import load_private
from lab.parts import program
from lab.run import run
from lab.upstream import Upstream, Version
from tests import forge
from tests.contract import parse_json
from tests.integration.command import Outcome, airgap
from tests.integration.conftest import APP, OLD, SINGLE

_ACCOUNT = ("robot", "s3cret pass:word")
MORE = "docker.io/lab/more:1"
MOVING = "docker.io/lab/moving:1"
_NAMES = tuple(f"{name}:1" for name in (APP, OLD, SINGLE))


@pytest.fixture(scope="module")
def bundles(
    registries: Path, key: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """One bundle with everything of its images, and one that leaves out platforms."""
    folder = tmp_path_factory.mktemp("bundles")
    options = {"whole": ["--all-platforms"], "sparse": ["--platform", "linux/arm64"]}
    for name, chosen in options.items():
        outcome = airgap(
            "bundle", *_NAMES, *chosen, "--no-roles", "--name", name, "--registries", registries,
            "--key", key, "-o", folder / name,
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
    return {name: folder / name for name in options}


class Somebodys:
    """A registry with TLS and an account, a host that pushes to it, and tools that look.

    Args:
        upstream: The registry.
        folder: For the host's state and Docker's configuration.
        key: Signs bundles.
    """

    def __init__(self, upstream: Upstream, folder: Path, key: Path) -> None:
        self.upstream, self._key = upstream, key
        self.state = folder / "state"
        assert upstream.ca_file is not None
        self.ca = upstream.ca_file
        self.registry = ("--registry", f"{upstream.address}/mirror", "--ca", self.ca)
        self.config = folder / "docker" / "config.json"
        self.log_in()

    def log_in(self, account: tuple[str, str] = _ACCOUNT) -> None:
        """What `docker login` writes."""
        auth = base64.b64encode(":".join(account).encode()).decode()
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(json.dumps({"auths": {self.upstream.address: {"auth": auth}}}))

    def push(self, bundle: Path, *options: str | Path) -> Outcome:
        """`airgap install` of nothing but the push: neither root nor Docker is asked for."""
        return self.install(bundle, "--only", "push", *self.registry, *options)

    def install(self, bundle: Path, *options: str | Path) -> Outcome:
        trust = ("--trust", self._key.with_suffix(".pub"))
        return airgap("--root", self.state, "install", bundle, *trust, *options)

    def name(self, image: str) -> str:
        return f"{self.upstream.address}/mirror/{image}"

    def tool(self, *command: str | Path) -> str:
        """Runs a tool that we did not write, with CA and account."""
        surroundings = {"SSL_CERT_FILE": str(self.ca), "DOCKER_CONFIG": str(self.config.parent)}
        done = subprocess.run(
            command, env=os.environ | surroundings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def crane(self, *arguments: str) -> str:
        return self.tool(program("crane"), *arguments)


StartRegistry = Callable[..., Somebodys]


@pytest.fixture(scope="module")
def more(
    registry: Upstream, registries: Path, key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle with an image that has the same blobs as one of the others."""
    folder = tmp_path_factory.mktemp("more") / "bundle"
    run([program("crane"), "copy", f"{registry.address}/{SINGLE}:1", f"{registry.address}/{MORE}"])
    outcome = airgap(
        "bundle", MORE, "--platform", "linux/arm64", "--no-roles", "--name", "more",
        "--registries", registries, "--key", key, "-o", folder,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def somebodys(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StartRegistry]:
    """Starts a registry: `somebodys("2.8")`, `somebodys("3.1", sparse=True)`."""
    started: list[Upstream] = []

    def start(version: Version = "3.1", *, sparse: bool = False) -> Somebodys:
        upstream = Upstream(
            writable=True, tls=True, htpasswd=_ACCOUNT, version=version, sparse=sparse
        )
        started.append(upstream.__enter__())
        found = Somebodys(upstream, tmp_path, key)
        monkeypatch.setenv("DOCKER_CONFIG", str(found.config.parent))
        return found

    yield start
    for upstream in started:
        upstream.__exit__(None, None, None)


def _upstream_digest(registry: Upstream, image: str) -> str:
    return run([program("crane"), "digest", f"{registry.address}/{image}"]).strip()


@pytest.mark.parametrize("version", ["2.8", "3.1"])
def test_a_whole_bundle_is_pushed_with_the_digests_of_upstream(
    version: Version,
    somebodys: StartRegistry,
    bundles: dict[str, Path],
    registry: Upstream,
) -> None:
    theirs = somebodys(version)
    outcome = theirs.push(bundles["whole"], "--json")
    assert outcome.code == 0, outcome.err
    counts = parse_json("install", outcome.out)["steps"][0]["counts"]
    # What images share is sent once, and mounted where it is needed too: OLD has two platforms of
    # APP, and SINGLE one, each with its config and a layer, and with the layer that all have.
    distinct = _blobs_of(bundles["whole"])
    assert counts == {
        "pushed": len(distinct),
        "mounted": 5 + 3,
        "skipped": 0,
        "bytes": sum(distinct.values()),
    }
    for image in _NAMES:
        name = theirs.name(image)
        assert theirs.crane("digest", name) == _upstream_digest(registry, image)
        _copy_all(theirs, name)
    theirs.crane("validate", "--remote", theirs.name(f"{OLD}:1"))
    again = theirs.push(bundles["whole"])
    assert again.code == 0
    assert again.out.splitlines()[-1].startswith("nothing to change")


def _blobs_of(bundle: Path) -> dict[str, int]:
    """Digest to size of configs and layers."""
    with tarfile.open(bundle / "images.tar") as tar:
        found = {}
        for member in tar.getmembers():
            file = tar.extractfile(member)
            assert file is not None
            if member.name.startswith("blobs/") and b'"schemaVersion"' not in file.read(100):
                found[member.name] = member.size
    return found


def _copy_all(theirs: Somebodys, name: str) -> None:
    """Has skopeo fetch all that an image names; it checks every digest."""
    certificates = theirs.config.with_name("certificates")
    certificates.mkdir(exist_ok=True)
    (certificates / "ca.crt").write_bytes(theirs.ca.read_bytes())
    with TemporaryDirectory() as folder:
        theirs.tool(
            "skopeo", "copy", "--all", "--authfile", theirs.config,
            "--src-cert-dir", certificates, f"docker://{name}", f"dir:{folder}",
        )  # fmt: skip


def test_an_index_with_platforms_left_out_is_kept_where_the_registry_takes_it(
    somebodys: StartRegistry, bundles: dict[str, Path], registry: Upstream
) -> None:
    theirs = somebodys("3.1", sparse=True)
    outcome = theirs.push(bundles["sparse"])
    assert outcome.code == 0, outcome.err
    for image in _NAMES:
        assert theirs.crane("digest", theirs.name(image)) == _upstream_digest(registry, image)
    arm64 = theirs.crane("digest", "--platform", "linux/arm64", theirs.name(f"{APP}:1"))
    theirs.crane("validate", "--remote", theirs.name(f"{APP}@{arm64}"))


@pytest.mark.parametrize("version", ["2.8", "3.1"])
def test_where_it_is_refused_two_ways_are_told_and_either_helps(
    version: Version,
    somebodys: StartRegistry,
    bundles: dict[str, Path],
    registry: Upstream,
) -> None:
    theirs = somebodys(version)
    refused = theirs.push(bundles["sparse"])
    assert refused.code == ExitCode.UPSTREAM
    assert "leaves out linux/amd64" in refused.err
    assert "MANIFEST_BLOB_UNKNOWN" in refused.err
    assert "--all-platforms" in refused.err
    assert "--rewrite-indexes" in refused.err
    assert list(theirs.upstream.storage.rglob("_manifests/tags/*")) == []

    rewritten = theirs.push(bundles["sparse"], "--rewrite-indexes")
    assert rewritten.code == 0, rewritten.err
    name = theirs.name(f"{APP}:1")
    digest = theirs.crane("digest", name)
    upstream = _upstream_digest(registry, f"{APP}:1")
    assert digest != upstream
    address = theirs.upstream.address
    assert f"app:1 is {digest} in {address}, and {upstream} upstream" in rewritten.err
    _copy_all(theirs, name)
    index = json.loads(theirs.crane("manifest", name))
    platforms = [one["platform"]["architecture"] for one in index["manifests"]]
    assert platforms == ["arm64", "unknown"]  # with its attestation
    assert "2 of them with rewritten indexes" in rewritten.out
    assert theirs.push(bundles["sparse"]).out.splitlines()[-1].startswith("nothing to change")


def test_without_the_medium_status_expects_what_was_pushed(
    somebodys: StartRegistry, bundles: dict[str, Path]
) -> None:
    theirs = somebodys("2.8")
    options = ("--only", "seed,push", "--rewrite-indexes")
    assert theirs.install(bundles["sparse"], *options, *theirs.registry).code == 0
    assert _push_finding(theirs) == (
        True,
        f"{theirs.upstream.address}/mirror serves 3 images, 2 of them with rewritten indexes",
    )
    theirs.crane("tag", theirs.name(f"{OLD}:1"), "other")
    shutil.rmtree(next(theirs.upstream.storage.rglob("ghcr.io/lab/old/_manifests/tags/1")))
    well, detail = _push_finding(theirs)
    assert not well
    assert detail.endswith(f"lacks 1 images, such as {OLD}:1")


def _push_finding(theirs: Somebodys) -> tuple[bool, str]:
    """What `airgap status` says of the registry."""
    work = load_context(State(theirs.state), User.behind_this_process(), Progress())
    finding = check_step(PushStep(), work)
    return finding.ok, finding.detail


def test_another_host_finds_all_of_it_there(
    somebodys: StartRegistry, bundles: dict[str, Path]
) -> None:
    theirs = somebodys()
    assert theirs.push(bundles["whole"]).code == 0
    theirs.state = theirs.state.with_name("other")
    outcome = theirs.push(bundles["whole"])
    assert (outcome.code, outcome.out.split()[0]) == (0, "ok")


def test_what_a_later_bundle_shares_with_an_earlier_one_is_mounted(
    somebodys: StartRegistry, bundles: dict[str, Path], more: Path
) -> None:
    theirs = somebodys()
    first = theirs.install(bundles["whole"], "--only", "seed,push", *theirs.registry)
    assert first.code == 0, first.err
    outcome = theirs.push(more, "--json")
    assert outcome.code == 0, outcome.err
    counts = parse_json("install", outcome.out)["steps"][0]["counts"]
    assert (counts["pushed"], counts["mounted"]) == (0, 3)


def test_the_mirror_comes_back_to_the_host_from_the_registry(
    somebodys: StartRegistry, bundles: dict[str, Path], more: Path
) -> None:
    theirs = somebodys()
    only = ("--only", "seed,push")
    for bundle in (bundles["whole"], more):
        assert theirs.install(bundle, *only, *theirs.registry).code == 0
    blobs = theirs.state / "mirror/docker/registry/v2/blobs"
    small = sum(path.stat().st_size for path in blobs.rglob("data"))
    outcome = theirs.install(more, "--only", "seed", "--own-mirror")
    assert outcome.code == 0, outcome.err
    assert sum(path.stat().st_size for path in blobs.rglob("data")) > 4 * small
    with Upstream(theirs.state / "mirror") as ours:
        for image in (*_NAMES, MORE):
            digest = _upstream_digest(ours, image)
            assert digest == theirs.crane("digest", theirs.name(image))
            run(["skopeo", "copy", "--all", "--src-tls-verify=false",
                 f"docker://{ours.address}/{image}", f"dir:{theirs.state}/copied"])  # fmt: skip
    back = theirs.install(more, *only, *theirs.registry)
    assert (back.code, back.out.splitlines()[-1].partition(":")[0]) == (0, "nothing to change")


def test_a_wrong_password_is_exit_5_and_says_how_to_log_in(
    somebodys: StartRegistry, bundles: dict[str, Path]
) -> None:
    theirs = somebodys()
    theirs.log_in(("robot", "wrong"))
    outcome = theirs.push(bundles["whole"])
    assert outcome.code == ExitCode.CREDENTIALS
    assert f"docker login {theirs.upstream.address}" in outcome.err
    assert not (theirs.state / "receipts").exists()


def test_an_authority_that_is_not_named_is_not_trusted(
    somebodys: StartRegistry, bundles: dict[str, Path]
) -> None:
    theirs = somebodys()
    outcome = theirs.install(bundles["whole"], "--only", "push", *theirs.registry[:2])
    assert outcome.code == ExitCode.UPSTREAM
    assert "--ca FILE" in outcome.err


def test_a_registry_that_takes_no_pushes_is_told(
    key: Path, bundles: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "storage").mkdir()
    with Upstream(tmp_path / "storage") as upstream:
        outcome = airgap(
            "--root", tmp_path / "state", "install", bundles["whole"], "--only", "push",
            "--trust", key.with_suffix(".pub"), "--registry", upstream.address,
        )  # fmt: skip
    assert outcome.code == ExitCode.UPSTREAM
    assert "It takes no pushes" in outcome.err


@pytest.fixture(scope="module")
def versions(
    registry: Upstream, registries: Path, key: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Two bundles of one image, whose tag was moved in between."""
    folder = tmp_path_factory.mktemp("versions")
    for number, image in enumerate((SINGLE, APP), start=1):
        moved = f"{registry.address}/{MOVING}"
        run([program("crane"), "copy", f"{registry.address}/{image}:1", moved])
        outcome = airgap(
            "bundle", MOVING, "--platform", "linux/arm64", "--no-roles",
            "--name", f"moving{number}",
            "--registries", registries, "--key", key, "-o", folder / str(number),
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
    return [folder / "1", folder / "2"]


@pytest.mark.parametrize("rewrite", [False, True])
def test_servers_that_share_a_registry_leave_each_others_tags_alone(
    somebodys: StartRegistry,
    versions: list[Path],
    rewrite: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = somebodys("2.8" if rewrite else "3.1", sparse=not rewrite)
    old, new = versions
    options = ("--only", "seed,push", *(["--rewrite-indexes"] if rewrite else []))
    root = theirs.state

    def install(server: str, bundle: Path, *more: str) -> Outcome:
        theirs.state = root.with_name(server)
        return theirs.install(bundle, *options, *theirs.registry, *more)

    def digest() -> str:
        return theirs.crane("digest", theirs.name(MOVING))

    assert install("a", old).code == install("b", old).code == 0
    before = digest()
    assert install("b", new).code == 0  # it has set the tag before
    after = digest()
    assert before != after

    assert "tags that others have set there: lab/moving:1" in install("a", old).out
    assert _push_finding(theirs)[0]
    assert digest() == after
    refused = install("c", old)
    assert refused.code == ExitCode.TRUST
    assert "for 1 tags: lab/moving:1" in refused.err
    assert not (theirs.state / "receipts").exists()
    assert digest() == after
    assert install("c", old, "--allow-older").code == 0
    assert digest() == before
    assert install("b", new).code == 0  # by hand, and it has had what c has set
    assert digest() == after
    assert install("a", new).code == 0
    assert digest() == after

    with monkeypatch.context() as patch:
        patch.setattr("airgap.isolated.commands.rollback.STEPS", [SeedStep(), PushStep()])
        work = load_context(State(theirs.state), User.behind_this_process(), Progress())
        rollback(work, lambda outcome: None)
    assert digest() == before

    rolled_back = theirs.state
    assert install("b", new).code == 0
    theirs.state = rolled_back
    assert "tags that others have set" in _push_finding(theirs)[1]
    PushStep().apply(load_context(State(rolled_back), User.behind_this_process(), Progress()))
    assert digest() == after


def test_a_bundle_moves_no_tag_of_images_that_it_has_not(
    somebodys: StartRegistry, versions: list[Path], more: Path
) -> None:
    theirs = somebodys(sparse=True)
    old, new = versions
    only = ("--only", "seed,push", *theirs.registry)
    root = theirs.state
    assert theirs.install(old, *only).code == 0
    theirs.state = root.with_name("other")
    assert theirs.install(old, *only).code == 0
    assert theirs.install(new, *only).code == 0
    after = theirs.crane("digest", theirs.name(MOVING))
    theirs.state = root
    assert theirs.install(more, *only, "--allow-older").code == 0
    assert theirs.crane("digest", theirs.name(MOVING)) == after


def test_an_old_bundle_moves_no_tag_of_a_registry_under_another_name(
    somebodys: StartRegistry, key: Path, tmp_path: Path
) -> None:
    theirs, signer = somebodys(), load_private(key, None)
    name = place = "docker.io/site/app:1"
    old, new = (forge.indexed(name, texts=[text]) for text in ("old", "new"))
    pin = f"{name}@{old.entry.digest}"

    def bring(image: forge.Image, called: str, day: int) -> Outcome:
        folder = tmp_path / digest_of(f"{called} {day}".encode())[-9:]
        image = replace(image, entry=replace(image.entry, name=called))
        created, serial = f"2026-02-{day:02}T00:00:00Z", day
        forge.make_bundle(folder, signer, images=[image], created=created, serial=serial)
        return theirs.push(folder)

    assert bring(new, name, 9).code == 0
    for day, called in enumerate((name, "DOCKER.IO/site/app:1"), start=1):
        refused = bring(old, called, day)
        assert refused.code == ExitCode.TRUST
        assert f"{place} would go back to an older state" in refused.err
    assert bring(old, pin, 5).code == 0
    assert theirs.crane("digest", theirs.name(place)) == new.entry.digest
    assert theirs.crane("digest", theirs.name(f"docker.io/site/app@{old.entry.digest}"))
    assert bring(old, name, 10).code == 0  # newer, and upstream is back at it
    assert theirs.crane("digest", theirs.name(place)) == old.entry.digest


def test_an_old_bundle_moves_no_flat_tag_of_another_upstream_host(
    somebodys: StartRegistry, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both hosts' images have one path there, and only one of the bundles is installed."""
    theirs, signer = somebodys(), load_private(key, None)
    names = ("ghcr.io/site/app:1", "quay.io/site/app:1", "quay.io/site/first:1")
    old, new, first = (forge.indexed(name, texts=[name]) for name in names)
    for day, image in enumerate((old, new, first), start=1):
        created = f"2026-02-{day:02}T00:00:00Z"
        folder = tmp_path / f"{day}"
        forge.make_bundle(folder, signer, images=[image], created=created, serial=day)

    def push(day: int, *options: str) -> Outcome:
        flat = ("--only", "seed,push", *theirs.registry, "--registry-layout", "flat")
        return theirs.install(tmp_path / f"{day}", *flat, *options)

    assert push(3).code == push(2).code == 0
    with monkeypatch.context() as patch:
        patch.setattr("airgap.isolated.commands.rollback.STEPS", [SeedStep(), PushStep()])
        work = load_context(State(theirs.state), User.behind_this_process(), Progress())
        rollback(work, lambda outcome: None)
    refused = push(1)
    assert refused.code == ExitCode.TRUST
    assert "for 1 tags: ghcr.io/site/app:1" in refused.err
    assert theirs.crane("digest", theirs.name("site/app:1")) == new.entry.digest
    assert push(1, "--allow-older").code == 0
    assert theirs.crane("digest", theirs.name("site/app:1")) == old.entry.digest


def test_a_registry_that_is_chosen_later_is_not_overwritten_either(
    somebodys: StartRegistry, versions: list[Path]
) -> None:
    theirs = somebodys(sparse=True)
    old, new = versions
    root = theirs.state
    assert theirs.install(new, "--only", "seed,push", *theirs.registry).code == 0
    after = theirs.crane("digest", theirs.name(MOVING))
    theirs.state = root.with_name("other")
    assert theirs.install(old, "--only", "seed").code == 0
    refused = theirs.install(old, "--only", "seed,push", *theirs.registry)
    assert refused.code == ExitCode.TRUST
    assert theirs.crane("digest", theirs.name(MOVING)) == after


@pytest.mark.parametrize("text", ["http://x.example", "x.example/UPPER", "x.example/../y", "a b"])
def test_what_is_no_registry_is_refused(text: str, key: Path, tmp_path: Path) -> None:
    outcome = airgap("--root", tmp_path, "install", tmp_path, "--registry", text)
    assert outcome.code == ExitCode.USAGE
    assert "is not a registry" in outcome.err
