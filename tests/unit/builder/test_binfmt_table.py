"""Which programs need an emulator, and whether the kernel has one for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.builder.binfmt_table import foreign_architectures, not_registered
from airgap.oci.platform import Platform, parse_platform

ALL = ["386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64le", "riscv64"]
AMD64 = Platform("linux", "amd64")

# As QEMU's scripts/qemu-binfmt-conf.sh has them: the first bytes of an ELF file, and their mask.
_MASK = "ffffffffffffff00fffffffffffffffffeffffff"
_BIG = "ffffffffffffff00fffffffffffffffffffeffff"
MAGICS = {
    "arm64": ("7f454c460201010000000000000000000200b700", _MASK),
    "arm": ("7f454c4601010100000000000000000002002800", _MASK),
    "386": ("7f454c4601010100000000000000000002000300", "fffffffffffefe00fffffffffffffffffeffffff"),
    "s390x": ("7f454c4602020100000000000000000000020016", _BIG),
    "ppc64le": (
        "7f454c4602010100000000000000000002001500",
        "ffffffffffffff00fffffffffffffffffeffff00",
    ),
    "riscv64": ("7f454c460201010000000000000000000200f300", _MASK),
}


def register(table: Path, name: str, magic: str, mask: str, state: str = "enabled") -> None:
    """An entry as the kernel shows it."""
    text = f"{state}\ninterpreter /usr/bin/x\nflags: F\noffset 0\nmagic {magic}\nmask {mask}\n"
    (table / name).write_text(text)


@pytest.mark.parametrize("architecture", MAGICS)
def test_an_entry_in_use_is_for_its_architecture_and_no_other(
    tmp_path: Path, architecture: str
) -> None:
    register(tmp_path, "by-any-name", *MAGICS[architecture])
    (tmp_path / "status").write_text("enabled")
    everything = {*ALL, *MAGICS}
    assert not_registered(sorted(everything), tmp_path) == sorted(everything - {architecture})


def test_what_is_off_unknown_or_absent_is_not_registered(tmp_path: Path) -> None:
    register(tmp_path, "qemu-aarch64", *MAGICS["arm64"], state="disabled")
    assert not_registered(["arm64", "vax"], tmp_path) == ["arm64", "vax"]
    assert not_registered(["arm64"], tmp_path / "none") == ["arm64"]


@pytest.mark.parametrize(
    ("platforms", "foreign"),
    [
        (["linux/amd64"], []),
        (["linux/amd64/v2", "linux/386", "linux/amd64"], []),
        (["linux/386", "linux/arm64", "linux/arm/v7", "linux/arm/v6"], ["arm", "arm64"]),
    ],
)
def test_a_machine_runs_its_own_programs_in_all_their_forms(
    platforms: list[str], foreign: list[str]
) -> None:
    assert foreign_architectures(map(parse_platform, platforms), AMD64) == foreign
