"""Platforms are normalised as containerd does (`database.go` of its `platforms` package)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.oci.platform import Platform, parse_platform


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/x86_64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/arm64", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/aarch64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/arm/v5", "linux/arm/v5"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("linux/i686", "linux/386"),
        ("linux/riscv64", "linux/riscv64"),
        ("Linux/ARM64/V8", "linux/arm64"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_a_platform_is_normalised(text: str, normal: str) -> None:
    assert str(parse_platform(text)) == normal


def test_the_fields_are_the_parts_of_the_text() -> None:
    assert parse_platform("linux/arm/v7") == Platform("linux", "arm", "v7")
    assert parse_platform("linux/arm64") == Platform("linux", "arm64", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "linux",
        "arm64",
        "/",
        "linux/",
        "/arm64",
        "linux//v8",
        "linux/arm64/",
        "linux/arm64/v8/x",
        "linux/arm 64",
        "linux/arm64\n",
        "linux/arm64,linux/amd64",
        f"linux/{'a' * 33}",
        "linux/\u212aernel",  # the Kelvin sign, whose lower case is a plain k
    ],
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a platform") as caught:
        parse_platform(text)
    assert repr(text) in caught.value.message
    assert "os/architecture/variant" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "machine"),
    [
        ("linux/amd64", "x86_64"),
        ("linux/arm64", "aarch64"),
        ("linux/arm/v7", "armv7l"),
        ("linux/386", "i686"),
        ("linux/s390x", "s390x"),
        ("linux/loong64", "loong64"),
    ],
)
def test_the_machine_is_what_uname_prints(text: str, machine: str) -> None:
    assert parse_platform(text).machine == machine


@settings(max_examples=120, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet="linuxarm64v8/_.-", max_size=20)))
def test_any_text_is_a_platform_that_survives_or_a_usage_error(text: str) -> None:
    try:
        platform = parse_platform(text)
    except UsageError:
        return
    assert platform.is_well_formed
    assert parse_platform(str(platform)) == platform


_field = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["linux", "LINUX", "arm", "armel", "arm64", "x86_64", "8", "v1", "v8", ""]),
)


@settings(max_examples=120, deadline=None)
@given(_field, _field, _field)
def test_well_formed_means_that_its_text_can_be_read_back(os: str, arch: str, variant: str) -> None:
    platform = Platform.of(os, arch, variant)
    try:
        readable = parse_platform(str(platform)) == platform
    except UsageError:
        readable = False
    assert platform.is_well_formed is readable


@settings(max_examples=100, deadline=None)
@given(_field, _field, _field)
def test_normalising_twice_changes_nothing(os: str, arch: str, variant: str) -> None:
    once = Platform.of(os, arch, variant)
    assert Platform.of(once.os, once.architecture, once.variant) == once
