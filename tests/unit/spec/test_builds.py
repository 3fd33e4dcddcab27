"""What paths stand for. Bake and compose files are tested with the real buildx, elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airgap.errors import ExitCode, HostError, UsageError
from airgap.oci.platform import Platform
from airgap.spec.builds import Choice, find_builds, read_args, scan_build
from airgap.spec.bundle_spec import DEFAULT_PLATFORMS

S390X = Platform("linux", "s390x")


def test_a_folder_stands_for_its_dockerfile(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM a\n")
    (build,) = find_builds(tmp_path, Choice())
    assert (build.context, build.dockerfile, build.file) == (tmp_path, file, str(file))
    assert build.options.platforms == DEFAULT_PLATFORMS
    assert find_builds(file, Choice()) == (build,)
    assert [need.line for need in scan_build(build).images] == [1]


def test_a_choice_holds_for_each_target(tmp_path: Path) -> None:
    file = tmp_path / "my.dockerfile"
    file.write_text("FROM a AS x\nFROM b AS y\n")
    builds = find_builds(file, Choice(("x", "y"), {"A": "1"}, (S390X,)))
    assert [build.options.target for build in builds] == ["x", "y"]
    assert all(build.options.platforms == (S390X,) for build in builds)
    assert all(build.options.args == {"A": "1"} for build in builds)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*Dockerfile: No such"):
        find_builds(tmp_path, Choice())
    with pytest.raises(UsageError, match="cannot read"):
        find_builds(tmp_path / "docker-bake.hcl", Choice())


def test_bake_files_need_buildx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.dockerfile.bake._PLUGIN_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    path = tmp_path / "compose.yaml"
    path.write_text("services: {}\n")
    with pytest.raises(HostError, match="read by buildx, and there is none") as raised:
        find_builds(path, Choice())
    assert raised.value.exit_code is ExitCode.HOST


def test_build_arguments_come_from_the_environment_where_they_have_no_value() -> None:
    environment = {"B": "2", "C": "3"}
    given = ["A=1=x", "B", "D", "E="]
    assert read_args(given, environment) == {"A": "1=x", "B": "2", "E": ""}
    assert read_args([], os.environ) == {}
    with pytest.raises(UsageError, match="has no name"):
        read_args(["=1"], {})
