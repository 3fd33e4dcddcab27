"""What `airgap bundle` and `airgap update` have in common."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click
import pytest

from airgap.cli import bundle, update
from airgap.cli._shared.bundle_options import (
    RequestOptions,
    read_deadline,
    read_request,
    registry_options,
    request_options,
    update_command,
)
from airgap.errors import UsageError
from airgap.spec.lock import DEFAULT_PATH


def test_both_verbs_have_the_same_options_for_the_request() -> None:
    shared = click.command()(registry_options(request_options(lambda: None))).params
    assert len(shared) > 5
    for command in (bundle.command, update.command):
        options = {parameter.name: parameter.to_info_dict() for parameter in command.params}
        for option in shared:
            assert options[option.name] == option.to_info_dict()


@pytest.mark.parametrize(
    ("wanted", "lock", "text"),
    [
        (("my.toml", "app:1"), DEFAULT_PATH, "airgap update my.toml app:1"),
        (("my spec.toml",), Path("my.lock"), "airgap update 'my spec.toml' --lock my.lock"),
    ],
)
def test_messages_have_the_command_that_locks(
    wanted: tuple[str, ...], lock: Path, text: str
) -> None:
    assert update_command(wanted, lock).startswith(f"{text} (")


def test_a_deadline_is_utc_and_to_come() -> None:
    deadline = read_deadline(datetime(2999, 1, 1))
    assert deadline is not None
    assert deadline.isoformat() == "2999-01-01T00:00:00+00:00"
    assert read_deadline(None) is None
    with pytest.raises(UsageError, match="2001-01-01 is in the past"):
        read_deadline(datetime(2001, 1, 1))


def named(*references: str, platform: tuple[str, ...] = ()) -> RequestOptions:
    """Options of a bundle without the parts of a builder."""
    return RequestOptions(
        references, "", platform, all_platforms=False, no_roles=True, expires=None
    )


def test_a_build_alone_is_something_to_bundle(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    request = read_request(named(), (str(tmp_path),))
    assert (request.images, len(request.recordings)) == ((), 1)


def test_platforms_are_separated_by_commas_or_by_options() -> None:
    for given in (("linux/arm64,linux/riscv64",), ("linux/arm64", "linux/riscv64")):
        (image,) = read_request(named("alpine", platform=given)).images
        assert image.platforms is not None
        assert [str(platform) for platform in image.platforms] == ["linux/arm64", "linux/riscv64"]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("linux/arm46", "did you mean linux/arm64"),
        ("linux/amd46", "did you mean linux/amd64"),
        ("linuks/arm64", "did you mean linux/arm64"),
        ("linux/sparc9", ""),
    ],
)
def test_a_platform_that_nobody_has_is_refused_with_the_nearest(text: str, remedy: str) -> None:
    with pytest.raises(UsageError, match="no such platform") as caught:
        read_request(named("alpine", platform=(text,)))
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("./Dockerfile", "--record ."),
        ("../app", "--record ../app "),
        ("compose.yaml", "--record .:compose.yaml"),
        ("app/docker-bake.hcl", "--record app:docker-bake.hcl"),
        ("my app/Dockerfile", "--record 'my app'"),
    ],
)
def test_what_is_built_leads_to_record(text: str, record: str) -> None:
    with pytest.raises(UsageError, match="is a path") as caught:
        read_request(named(text))
    assert record in caught.value.remedy
    assert "airgap scan" in caught.value.remedy
    assert "airgap init" in caught.value.remedy


def test_a_ready_made_spec_has_a_name_and_an_image_of_that_name_has_a_tag() -> None:
    request = read_request(named("arm64-builder"))
    assert request.name == "arm64-builder"
    assert len(request.images) > 3
    (image,) = read_request(named("arm64-builder:latest")).images
    assert str(image.reference) == "docker.io/library/arm64-builder:latest"


def test_a_spec_that_is_not_there_leads_to_the_ready_made_ones() -> None:
    with pytest.raises(UsageError, match=r"there is no spec bundles/absent\.toml") as caught:
        read_request(named("bundles/absent.toml"))
    assert "arm64-builder" in caught.value.remedy
