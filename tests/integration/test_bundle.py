"""Bundles of every kind of image, judged by tools that are not ours."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lab.parts import program
from lab.publish import OCI, Image
from lab.run import run
from lab.upstream import Upstream
from tests.contract import parse_json
from tests.integration.command import Outcome, airgap, started
from tests.integration.conftest import APP, OLD, SINGLE, LayerMaker

_FILES = {
    "bundle.json",
    "images.tar",
    "tool/airgap.pyz",
    "README.txt",
    "SHA256SUMS",
    "SHA256SUMS.sig",
}


@pytest.fixture(scope="module")
def made(
    key: Path, registries: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    """A bundle of one image of each kind for two platforms, and what was printed."""
    folder = tmp_path_factory.mktemp("made") / "bundle"
    spec = folder.with_name("spec.toml")
    spec.write_text(
        'name = "three"\nplatforms = ["linux/amd64", "linux/arm64"]\n'
        f'[[images]]\nname = "app:1"\n[[images]]\nname = "{OLD}:1"\n'
        f'[[images]]\nname = "lab/single:1"\nplatforms = ["linux/arm64"]\n'
    )
    common = ("--no-roles", "--registries", registries, "--key", key)
    return folder, airgap("bundle", spec, *common, "-o", folder)


@pytest.fixture(scope="module")
def bundle(made: tuple[Path, Outcome]) -> Path:
    return made[0]


@pytest.fixture(scope="module")
def contents(bundle: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((bundle / "bundle.json").read_bytes())
    return loaded


def test_a_bundle_is_made_and_says_how_to_check_it(made: tuple[Path, Outcome]) -> None:
    folder, outcome = made
    assert outcome.code == 0, outcome.err
    assert f"airgap verify {folder} --trust" in outcome.out


def test_the_folder_has_the_files_of_format_1_and_no_others(bundle: Path) -> None:
    found = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert found == _FILES


def test_contents_say_what_is_carried_and_what_is_left_out(contents: dict[str, Any]) -> None:
    images = {image["name"]: image for image in contents["images"]}
    assert list(images) == [f"{APP}:1", f"{OLD}:1", f"{SINGLE}:1"]
    assert images[f"{APP}:1"]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert images[f"{APP}:1"]["omitted"] == ["linux/arm/v7"]
    assert images[f"{OLD}:1"]["omitted"] == []
    assert images[f"{SINGLE}:1"]["platforms"] == ["linux/arm64"]
    assert contents["format"] == "airgap-bundle/1.0"
    assert contents["name"] == "three"


def test_openssl_and_sha256sum_accept_it(bundle: Path, key: Path) -> None:
    run(["openssl", "dgst", "-sha256", "-verify", key.with_suffix(".pub"),
         "-signature", "SHA256SUMS.sig", "SHA256SUMS"], cwd=bundle)  # fmt: skip
    assert run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=bundle).count(": OK") == 4


def test_gnu_tar_lists_a_layout_with_each_blob_once(bundle: Path, contents: dict[str, Any]) -> None:
    names = run(["tar", "-tf", "images.tar"], cwd=bundle).splitlines()
    files = [name for name in names if not name.endswith("/")]
    blobs = {f"blobs/sha256/{blob['digest'][7:]}" for blob in contents["blobs"]}
    assert len(files) == len(set(files))
    assert set(files) == blobs | {"oci-layout", "index.json", "manifest.json"}


def test_every_blob_has_its_digest_and_lies_where_contents_say(
    bundle: Path, contents: dict[str, Any]
) -> None:
    places = {blob["digest"][7:]: (blob["offset"], blob["size"]) for blob in contents["blobs"]}
    with tarfile.open(bundle / "images.tar") as tar:
        for member in tar:
            name = member.name.removeprefix("blobs/sha256/")
            if name != member.name and member.isfile():
                stream = tar.extractfile(member)
                assert stream is not None
                assert hashlib.sha256(stream.read()).hexdigest() == name
                assert places.pop(name) == (member.offset_data, member.size)
    assert places == {}


@pytest.mark.parametrize("name", [f"{APP}:1", f"{OLD}:1"])
def test_an_index_keeps_its_bytes(
    name: str, bundle: Path, contents: dict[str, Any], registry: Upstream
) -> None:
    repository, _, tag = name.rpartition(":")
    with registry.session() as session:
        accepted = {
            "Accept": f"{OCI.index}, application/vnd.docker.distribution.manifest.list.v2+json"
        }
        url = f"{registry.url}/v2/{repository}/manifests/{tag}"
        served = session.get(url, headers=accepted, timeout=20).content
    entry = next(image for image in contents["images"] if image["name"] == name)
    assert entry["digest"] == f"sha256:{hashlib.sha256(served).hexdigest()}"
    assert _blob(bundle, entry["digest"]) == served


def test_attestations_of_kept_platforms_come_along(bundle: Path, contents: dict[str, Any]) -> None:
    entry = next(image for image in contents["images"] if image["name"] == f"{APP}:1")
    index = json.loads(_blob(bundle, entry["digest"]))
    carried = {blob["digest"] for blob in contents["blobs"]}
    images = {child["digest"]: child["platform"]["architecture"] for child in index["manifests"]}
    attested = {
        images[child["annotations"]["vnd.docker.reference.digest"]]
        for child in index["manifests"]
        if child["digest"] in carried and "annotations" in child
    }
    assert attested == {"amd64", "arm64"}


@pytest.mark.parametrize(
    ("form", "name", "architecture"),
    [
        ("oci-archive", f"{APP}:1", "arm64"),
        ("oci-archive", f"{SINGLE}:1", "arm64"),
        # skopeo finds only OCI's media types in a layout, and one platform in Docker's archive.
        ("docker-archive", f"{OLD}:1", "amd64"),
    ],
)
def test_skopeo_reads_each_image(form: str, name: str, architecture: str, bundle: Path) -> None:
    archive = f"{form}:{bundle}/images.tar:{name}"
    described = json.loads(run(["skopeo", "--override-arch", "arm64", "inspect", archive]))
    assert described["Architecture"] == architecture
    assert len(described["Layers"]) == 2


def test_verify_accepts_it(bundle: Path, key: Path) -> None:
    outcome = airgap("verify", bundle, "--trust", key.with_suffix(".pub"))
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("good: three")


def test_verify_refuses_another_key(bundle: Path, tmp_path: Path) -> None:
    airgap("keygen", tmp_path / "other")
    assert airgap("verify", bundle, "--trust", tmp_path / "other.pub").code == 7


def test_inspect_shows_a_table_and_the_contents_as_json(bundle: Path) -> None:
    assert "app:1" in airgap("inspect", bundle).out
    outcome = airgap("inspect", bundle, "--json")
    assert outcome.out.encode() == (bundle / "bundle.json").read_bytes()


def test_all_platforms_come_back_from_a_push_with_the_same_digest(
    key: Path, registries: Path, registry: Upstream, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    options = ("--no-roles", "--all-platforms", "--registries", registries, "--key", key)
    assert airgap("bundle", "app:1", *options, "-o", out).code == 0
    entry = json.loads((out / "bundle.json").read_bytes())["images"][0]
    assert entry["platforms"] == ["linux/amd64", "linux/arm64", "linux/arm/v7"]
    assert entry["omitted"] == []

    layout = tmp_path / "layout"
    layout.mkdir()
    run(["tar", "-xf", out / "images.tar", "-C", layout])
    pushed = f"{registry.address}/back/app:1"
    crane = program("crane")
    run([crane, "push", layout, pushed])
    assert run([crane, "digest", pushed]).strip() == entry["digest"]
    for platform in entry["platforms"]:
        run([crane, "validate", "--platform", platform, "--remote", pushed])


def test_crane_validates_a_single_image_in_dockers_form(
    key: Path, registries: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    options = ("--no-roles", "--platform", "linux/arm64", "--registries", registries, "--key", key)
    assert airgap("bundle", "lab/single:1", *options, "-o", out).code == 0
    run([program("crane"), "validate", "--tarball", out / "images.tar"])


@pytest.mark.parametrize("order", [("app", "single"), ("single", "app")])
def test_blobs_that_images_share_are_carried_once(
    order: tuple[str, str], key: Path, registries: Path, tmp_path: Path
) -> None:
    names = {"app": "app:1", "single": "lab/single:1"}
    options = ("--no-roles", "--platform", "linux/arm64", "--registries", registries, "--key", key)
    out = tmp_path / "bundle"
    assert airgap("bundle", *(names[one] for one in order), *options, "-o", out).code == 0
    digests = [blob["digest"] for blob in json.loads((out / "bundle.json").read_bytes())["blobs"]]
    assert len(digests) == len(set(digests))
    assert airgap("verify", out, "--trust", key.with_suffix(".pub")).code == 0


def test_an_image_can_be_named_by_digest(
    key: Path, registry: Upstream, layer: LayerMaker, tmp_path: Path
) -> None:
    image = Image("linux/amd64", [layer("by-digest")])
    digest = registry.publisher().publish("plain/pinned", ["1"], [image])
    name = f"{registry.address}/plain/pinned@{digest}"
    out = tmp_path / "bundle"
    options = ("--no-roles", "--platform", "linux/amd64", "--key", key)
    assert airgap("bundle", name, *options, "-o", out).code == 0
    assert json.loads((out / "bundle.json").read_bytes())["images"][0]["name"] == name


def test_layers_that_are_empty_or_large_are_carried(
    key: Path, registry: Upstream, layer: LayerMaker, tmp_path: Path
) -> None:
    layers = [layer("empty", 0), layer("three-mib", 3 << 20)]
    registry.publisher().publish("plain/sizes", ["1"], [Image("linux/amd64", layers)])
    out = tmp_path / "bundle"
    name = f"{registry.address}/plain/sizes:1"
    options = ("--no-roles", "--platform", "linux/amd64", "--key", key)
    assert airgap("bundle", name, *options, "-o", out).code == 0
    assert airgap("verify", out, "--trust", key.with_suffix(".pub")).code == 0


def test_roles_are_carried_for_the_hosts_alone(
    key: Path, registry: Upstream, layer: LayerMaker, tmp_path: Path
) -> None:
    both = [Image(platform, [layer(platform)]) for platform in ("linux/amd64", "linux/arm64")]
    publisher = registry.publisher()
    roles = ("builder", "emulator", "registry", "buildx", "frontend")
    for role in roles:
        publisher.publish(f"roles/{role}", ["1"], both)
    lines = [f'{role} = "{registry.address}/roles/{role}:1"' for role in roles]
    spec = tmp_path / "site.toml"
    spec.write_text(
        "\n".join(['name = "site"', "[roles]", *lines])
        + f'\n[[images]]\nname = "{registry.address}/roles/builder:1"\n'
    )
    out = tmp_path / "bundle"
    assert airgap("bundle", spec, "--key", key, "-o", out).code == 0
    images = json.loads((out / "bundle.json").read_bytes())["images"]
    assert [image["roles"] for image in images] == [["builder", "base"], *([r] for r in roles[1:])]
    assert images[0]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert images[1]["platforms"] == ["linux/amd64"]
    assert airgap("verify", out, "--trust", key.with_suffix(".pub")).code == 0


def test_quiet_prints_no_progress_and_json_stays_clean(
    tool: Path, key: Path, registries: Path, tmp_path: Path
) -> None:
    options = ("--no-roles", "--json", "--registries", registries, "--key", key)
    with started(
        tool, "--quiet", "bundle", "lab/single:1", *options, "-o", tmp_path / "bundle"
    ) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert parse_json("bundle", out)["images"] == 1


def _blob(bundle: Path, digest: str) -> bytes:
    with tarfile.open(bundle / "images.tar") as tar:
        stream = tar.extractfile(f"blobs/sha256/{digest[7:]}")
        assert stream is not None
        return stream.read()
