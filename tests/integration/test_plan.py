"""Names, tags, the plan that is printed first, and the folder that it goes to."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from lab.publish import Image
from lab.upstream import Upstream
from tests.contract import parse_json
from tests.integration.command import airgap, started
from tests.integration.conftest import APP, OLD, SINGLE, LayerMaker
from tests.integration.faults import FaultProxy, Held, answers


@pytest.mark.parametrize(
    "name", ["app:1", "library/app:1", "docker.io/app:1", "index.docker.io/app:1"]
)
def test_names_are_normalised_as_docker_does(name: str, registries: Path, tmp_path: Path) -> None:
    outcome = airgap(
        "bundle", name, "--no-roles", "--registries", registries, "--dry-run", "--json",
        "-o", tmp_path / "bundle",
    )  # fmt: skip
    assert [image["name"] for image in parse_json("bundle --dry-run", outcome.out)["images"]] == [
        f"{APP}:1"
    ]


def test_without_a_tag_latest_is_meant(registries: Path, tmp_path: Path) -> None:
    outcome = airgap(
        "bundle", "app", "--no-roles", "--registries", registries, "--dry-run", "--json",
        "-o", tmp_path / "bundle",
    )  # fmt: skip
    assert parse_json("bundle --dry-run", outcome.out)["images"][0]["name"] == f"{APP}:latest"


def test_each_tag_is_resolved_once(key: Path, proxy: FaultProxy, tmp_path: Path) -> None:
    names = [f"{proxy.address}/{repository}:1" for repository in (APP, OLD, SINGLE)]
    options = ("--no-roles", "--platform", "linux/arm64", "--key", key)
    outcome = airgap("bundle", *names, names[0], *options, "-o", tmp_path / "bundle")
    assert outcome.code == 0, outcome.err
    by_tag = Counter(request.path for request in proxy.requests if request.is_by_tag)
    assert by_tag == {f"/v2/{repository}/manifests/1": 1 for repository in (APP, OLD, SINGLE)}


def test_each_blob_is_fetched_once(key: Path, proxy: FaultProxy, tmp_path: Path) -> None:
    name = f"{proxy.address}/{APP}:1"
    options = ("--no-roles", "--all-platforms", "--key", key)
    assert airgap("bundle", name, *options, "-o", tmp_path / "bundle").code == 0
    assert proxy.blobs
    assert set(Counter(proxy.blobs).values()) == {1}


def test_the_plan_is_printed_before_anything_is_fetched(
    key: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.fault = answers(500, when=lambda request: request.is_blob)
    name = f"{proxy.address}/{APP}:1"
    options = ("--no-roles", "--retry-for", "1", "--key", key)
    outcome = airgap("bundle", name, *options, "-o", tmp_path / "bundle")
    assert outcome.code == 4
    assert "linux/amd64, linux/arm64" in outcome.out
    assert "1 image, 13 blobs" in outcome.out


def test_a_dry_run_writes_nothing_and_fetches_no_blob(proxy: FaultProxy, tmp_path: Path) -> None:
    name = f"{proxy.address}/{APP}:1"
    outcome = airgap("bundle", name, "--no-roles", "--dry-run", "-o", tmp_path / "bundle")
    assert outcome.code == 0
    assert "to fetch" in outcome.out
    assert proxy.blobs == []
    assert list(tmp_path.iterdir()) == []


def test_plan_and_result_as_json_say_what_is_on_the_disk(
    key: Path, registries: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    options = ("--no-roles", "--registries", registries, "--key", key, "--json", "-o", out)
    plan = parse_json("bundle --dry-run", airgap("bundle", "app:1", *options, "--dry-run").out)
    result = parse_json("bundle", airgap("bundle", "app:1", *options).out)
    assert plan["tar_bytes"] == (out / "images.tar").stat().st_size
    (image,) = plan["images"]
    assert 0 < image["bytes"] < plan["tar_bytes"]
    sums = hashlib.sha256((out / "SHA256SUMS").read_bytes()).hexdigest()
    contents = hashlib.sha256((out / "bundle.json").read_bytes()).hexdigest()
    assert result["digest"] == f"sha256:{sums}"
    assert result["contents_digest"] == f"sha256:{contents}"
    for file in result["files"]:
        data = (out / file["name"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert result["bytes"] == sum(file["bytes"] for file in result["files"])
    checked = airgap("verify", out, "--trust", key.with_suffix(".pub"), "--json")
    assert parse_json("verify", checked.out)["digest"] == result["digest"]
    assert parse_json("inspect", airgap("inspect", out, "--json").out)["serial"] == result["serial"]


def test_a_person_is_shown_sizes_a_summary_and_the_next_command(
    key: Path, registries: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    outcome = airgap(
        "bundle", "app:1", "--no-roles", "--registries", registries, "--key", key, "-o", out
    )
    assert re.search(r"^IMAGE +SIZE +PLATFORMS +FOR$", outcome.out, re.M)
    assert re.search(r"^1 image, [0-9]+ blobs, [0-9.]+ [KM]?i?B to fetch$", outcome.out, re.M)
    assert re.search(r"^1 image, [0-9]+ files, .+ in [0-9]+ s \(.+/s\)$", outcome.out, re.M)
    assert outcome.out.endswith(f"next: airgap verify {out} --trust {key.with_suffix('.pub')}\n")


def test_a_folder_that_holds_something_is_left_alone(
    key: Path, registries: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    options = ("--no-roles", "--registries", registries, "--key", key)
    outcome = airgap("bundle", "app:1", *options, "-o", tmp_path)
    assert outcome.code == 2
    assert "is not empty" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_finished_bundle_is_not_written_to(key: Path, registries: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    options = ("--no-roles", "--registries", registries, "--key", key, "-o", out)
    assert airgap("bundle", "app:1", *options).code == 0
    outcome = airgap("bundle", "app:1", *options)
    assert outcome.code == 2
    assert "finished bundle" in outcome.err


def test_an_unfinished_bundle_continues_with_its_own_plan_alone(
    key: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    name, out = f"{proxy.address}/{SINGLE}:1", tmp_path / "bundle"
    common = ("--no-roles", "--platform", "linux/arm64", "--key", key, "-o", out)
    proxy.fault = answers(
        404, when=lambda request: request.is_blob and proxy.blobs.count(request.target) > 1
    )
    assert airgap("bundle", name, *common).code == 3
    proxy.fault = None
    for other in (("--name", "other"), ("--expires", "2999-01-01")):
        outcome = airgap("bundle", name, *common, *other)
        assert outcome.code == 2
        assert "another plan" in outcome.err
    assert airgap("bundle", name, *common).code == 0
    assert airgap("verify", out, "--trust", key.with_suffix(".pub")).code == 0


def test_a_tag_that_moves_in_between_does_not_change_an_unfinished_bundle(
    key: Path, registry: Upstream, proxy: FaultProxy, layer: LayerMaker, tmp_path: Path
) -> None:
    first, second = (Image("linux/amd64", [layer(f"moving-{one}")]) for one in (1, 2))
    publisher = registry.publisher()
    digest = publisher.publish("plain/moving", ["1"], [first])
    name, out = f"{proxy.address}/plain/moving:1", tmp_path / "bundle"
    options = ("--no-roles", "--platform", "linux/amd64", "--retry-for", "1")
    common = (*options, "--key", key, "-o", out)
    proxy.fault = answers(500, when=lambda request: request.is_blob)
    assert airgap("bundle", name, *common).code == 4
    publisher.publish("plain/moving", ["1"], [second])
    proxy.fault = None
    assert airgap("bundle", name, *common).code == 0
    assert json.loads((out / "bundle.json").read_bytes())["images"][0]["digest"] == digest


def test_a_second_run_at_the_same_folder_is_refused(
    tool: Path, key: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    name, out = f"{proxy.address}/{APP}:1", tmp_path / "bundle"
    arguments = ("bundle", name, "--no-roles", "--key", key, "-o", out)
    proxy.fault = held = Held()
    with started(tool, *arguments) as process:
        held.reached.wait(30)
        second = airgap(*arguments)
        held.go_on.set()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert second.code == 9
    assert "another run" in second.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('name = "x"\n[[images]]\nname = "UPPER"', "images[1].name"),
        ('name = "x"\nimage = "app"', "unknown key image"),
        ('platforms = ["arm64"]\n[[images]]\nname = "app"', "platforms"),
        ("name =\nplatforms = []", "line 1"),
        ('[roles]\nbaker = "app"', "roles.baker"),
    ],
)
def test_a_wrong_spec_is_named_with_its_key(
    text: str, told: str, key: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "mine.toml"
    spec.write_text(text)
    outcome = airgap("bundle", spec, "--key", key, "-o", tmp_path / "bundle")
    assert outcome.code == 2
    assert "mine.toml" in outcome.err
    assert told in outcome.err
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("bundle", "app:1", "-o", "out"),
        ("bundle", "app:1", "--key", "absent.key", "-o", "out"),
        ("bundle", "app:1", "--platform", "arm64", "--dry-run", "-o", "out"),
        ("bundle", "app:1", "--expires", "2001-01-01", "--dry-run", "-o", "out"),
        ("bundle", "app:1", "--timeout", "0", "--dry-run", "-o", "out"),
        ("bundle", "absent.toml", "--dry-run", "-o", "out"),
        ("bundle", "app:1", "--registries", "absent", "--dry-run", "-o", "out"),
        ("bundle", "App:1", "--dry-run", "-o", "out"),
        ("bundle", "app:1", "--dry-run"),
        ("bundle",),
        ("nothing",),
    ],
)
def test_a_wrong_command_line_is_exit_2_and_does_nothing(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert airgap(*arguments).code == 2
    assert list(tmp_path.iterdir()) == []
