from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from airgap.builder import binfmt_table
from airgap.isolated.host import binfmt
from airgap.oci.platform import Platform, native_platform, parse_platform

KNOWN = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64"]


def _fields(platform: Platform) -> list[str]:
    return binfmt.rule(platform, Path("/usr/libexec/airgap/qemu"), "FPC").split(":")


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


@pytest.mark.parametrize("text", KNOWN)
def test_the_rule_matches_the_test_program_of_its_platform_and_no_other(text: str) -> None:
    _, _, _, _, magic, mask, *_ = _fields(parse_platform(text))
    matching = [
        other
        for other in KNOWN
        if all(
            byte & bit == wanted & bit
            for byte, bit, wanted in zip(
                binfmt.probe_program(parse_platform(other)),
                _bytes(mask),
                _bytes(magic),
                strict=False,
            )
        )
    ]
    assert matching == [text]


def test_the_rule_for_arm64_is_qemus_own() -> None:
    """As in QEMU's scripts/qemu-binfmt-conf.sh."""
    _, name, kind, offset, magic, mask, qemu, flags = _fields(Platform("linux", "arm64"))
    assert (name, kind, offset, flags) == ("airgap-arm64", "M", "", "FPC")
    assert _bytes(magic).hex() == "7f454c460201010000000000000000000200b700"
    assert _bytes(mask).hex() == "ffffffffffffff00fffffffffffffffffeffffff"
    assert qemu == "/usr/libexec/airgap/qemu"


SHOWN = """\
enabled
interpreter /usr/bin/qemu-aarch64-static
flags: OCF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""
"""As the kernel shows what qemu-user-static registers (fs/binfmt_misc.c)."""


def test_an_entry_of_others_is_read_and_claims_the_programs_of_its_platform() -> None:
    entry = binfmt_table.parse_entry(SHOWN)
    assert entry is not None
    assert (entry.interpreter, entry.flags) == ("/usr/bin/qemu-aarch64-static", "OCF")
    claimed = [one for one in KNOWN if entry.claims(binfmt.probe_program(parse_platform(one)))]
    assert claimed == ["linux/arm64"]


def test_an_entry_without_flags_or_mask_is_read() -> None:
    entry = binfmt_table.parse_entry("enabled\ninterpreter /a b\nflags: \noffset 1\nmagic 454c46\n")
    assert entry == binfmt_table.Entry("/a b", "", 1, b"ELF", b"")
    assert entry.claims(b"\x7fELF")
    assert not entry.claims(b"\x7fEL")


@pytest.mark.parametrize(
    "shown",
    [SHOWN.replace("enabled", "disabled"), "enabled\ninterpreter /a\nflags: \nextension .x\n", ""],
    ids=["off", "by a file's name", "gone"],
)
def test_an_entry_that_claims_no_program_is_not_one(shown: str) -> None:
    assert binfmt_table.parse_entry(shown) is None


@pytest.mark.parametrize("text", KNOWN)
def test_test_programs_are_static(text: str) -> None:
    program = binfmt.probe_program(parse_platform(text))
    wide = program[4] == 2  # e_ident[EI_CLASS], elf(5)
    # e_phoff, e_phentsize and e_phnum
    form, start = ("<Q14xHH", 32) if wide else ("<L10xHH", 28)
    offset, size, count = struct.unpack_from(form, program, start)
    kinds = {struct.unpack_from("<L", program, offset + size * n)[0] for n in range(count)}
    assert 3 not in kinds  # PT_INTERP


def test_the_native_test_program_prints_its_machine_and_arguments(tmp_path: Path) -> None:
    program = tmp_path / "probe"
    program.write_bytes(binfmt.probe_program(native_platform()))
    program.chmod(0o755)
    argv = ["another name", "word"]
    done = subprocess.run(argv, executable=program, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [native_platform().machine, *argv]


def test_this_machine_runs_its_own_programs(tmp_path: Path) -> None:
    assert binfmt.check_emulator(native_platform(), tmp_path) == ""


def test_a_platform_without_a_test_program_is_not_known() -> None:
    assert not binfmt.is_known(Platform("linux", "s390x"))
