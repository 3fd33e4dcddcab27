"""The kernel's table of foreign program formats, which all hosts of the lab share.

There is one table for all namespaces that have no user namespace of their own. So what the machine
had is put aside while any host of the lab lives, and put back when the last one ends. The format
of the entries is in the kernel's admin-guide/binfmt-misc.rst.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.cache import cache_root, locked
from lab.run import run

TABLE = Path("/proc/sys/fs/binfmt_misc")

_EMULATOR = "airgap-lab-"
_NOT_ENTRIES = ("register", "status", _EMULATOR)
"""What stands in the table and is neither the machine's nor a host's."""

_AARCH64_MAGIC = (
    r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"  # 64-bit ELF, 0xb7
)
_AARCH64_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


AARCH64 = f"{_AARCH64_MAGIC}:{_AARCH64_MASK}"
"""How arm64 programs are known: magic and mask, as in a line that registers an emulator."""


def mount_table() -> None:
    """Mounts the table if it is not."""
    if not (TABLE / "register").exists():
        run(["mount", "-t", "binfmt_misc", "none", TABLE])


def entries() -> dict[str, str]:
    """Every entry of the table: its name, and the line that registers it."""
    mount_table()
    names = sorted(path.name for path in TABLE.iterdir() if not path.name.startswith(_NOT_ENTRIES))
    return {name: _registration(name, (TABLE / name).read_text()) for name in names}


def _registration(name: str, shown: str) -> str:
    """Turns what the kernel shows of an entry back into what it is registered with."""
    facts = dict(line.partition(" ")[::2] for line in shown.splitlines())
    interpreter = facts["interpreter"]
    flags = facts.get("flags:", "").strip()
    if "extension" in facts:
        return f":{name}:E::{facts['extension'].lstrip('.')}::{interpreter}:{flags}"
    magic, mask = _escaped(facts["magic"]), _escaped(facts.get("mask", ""))
    return f":{name}:M:{facts['offset']}:{magic}:{mask}:{interpreter}:{flags}"


def _escaped(digits: str) -> str:
    return "".join(f"\\x{digits[at : at + 2]}" for at in range(0, len(digits), 2))


def register(line: str) -> None:
    """Registers an entry."""
    (TABLE / "register").write_bytes(line.encode())


def unregister(name: str) -> None:
    """Removes an entry, if it is there; `-1` is the kernel's word for it."""
    if (TABLE / name).exists():
        (TABLE / name).write_text("-1")


def put_aside(user: str) -> None:
    """Empties the table for a user of it, and keeps what was there until its last user ends."""
    with locked("binfmt"):
        kept = _read_kept() or _Kept(entries(), [])
        first = not kept.users
        kept.users.append(user)
        _write_kept(kept)
        if first:
            _replace_table({})


def put_back(user: str) -> None:
    """Says that a user has ended; after the last one the table is what it was at first."""
    with locked("binfmt"):
        kept = _read_kept()
        if kept is None:
            return
        users = [other for other in kept.users if other != user]
        if users:
            _write_kept(_Kept(kept.entries, users))
        else:
            _replace_table(kept.entries)
            _kept_file().unlink()


@dataclass(frozen=True, slots=True)
class _Kept:
    """The machine's own entries, and who needs them to be away."""

    entries: dict[str, str]
    users: list[str]


def _kept_file() -> Path:
    return cache_root() / "binfmt.json"


def _read_kept() -> _Kept | None:
    file = _kept_file()
    return _Kept(**json.loads(file.read_text())) if file.exists() else None


def _write_kept(kept: _Kept) -> None:
    unfinished = _kept_file().with_suffix(".part")
    unfinished.write_text(json.dumps(asdict(kept)))
    unfinished.rename(_kept_file())


def _replace_table(desired: dict[str, str]) -> None:
    for name in entries():
        unregister(name)
    for line in desired.values():
        register(line)


EMULATOR = f"{_EMULATOR}arm64-{os.getpid()}"
"""The entry with which this machine itself runs arm64 programs for a moment."""


def register_emulator() -> None:
    """Registers `EMULATOR`, with a static qemu that the kernel holds open."""
    mount_table()
    register(f":{EMULATOR}:M::{AARCH64}:/usr/bin/qemu-aarch64-static:FP")
