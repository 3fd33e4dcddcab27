"""Which carried platform an engine takes, as the contents of a bundle tell it."""

from __future__ import annotations

import pytest

from airgap.bundle.contents import ImageEntry
from airgap.oci.manifest import OCI_INDEX, OCI_MANIFEST
from airgap.oci.platform import parse_platform


def _entry(carried: str, omitted: str = "", media_type: str = OCI_INDEX) -> ImageEntry:
    digest = f"sha256:{'a' * 64}"
    return ImageEntry(
        "a.example/b:1", digest, media_type, tuple(carried.split()), tuple(omitted.split())
    )


@pytest.mark.parametrize(
    ("carried", "omitted", "wanted", "chosen"),
    [
        ("linux/amd64 linux/arm/v6", "", "linux/arm/v7", "linux/arm/v6"),
        ("linux/arm/v5 linux/arm/v6", "", "linux/arm/v7", "linux/arm/v6"),
        ("linux/arm/v6", "linux/arm/v7", "linux/arm/v7", ""),
        ("linux/arm/v6", "linux/arm/v7", "linux/arm/v6", "linux/arm/v6"),
        ("linux/386", "", "linux/amd64", "linux/386"),
        ("linux/386", "linux/amd64", "linux/amd64", ""),
        ("linux/amd64/v3", "", "linux/amd64", ""),
        ("", "", "linux/amd64", ""),
    ],
)
def test_the_best_that_the_index_names_is_chosen_or_nothing(
    carried: str, omitted: str, wanted: str, chosen: str
) -> None:
    entry = _entry(carried, omitted)
    assert entry.chosen_for(parse_platform(wanted)) == chosen
    assert entry.serves(parse_platform(wanted)) is bool(chosen)


def test_an_image_without_index_and_platform_serves_all() -> None:
    entry = _entry("", media_type=OCI_MANIFEST)
    assert entry.serves(parse_platform("linux/s390x"))
    assert (entry.made_for, _entry("").made_for) == ("any platform", "no platform")
