"""Where the benchmark works: a folder in the lab's cache, programs, a key, an environment."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from airgap.progress import LineProgress
from airgap.tool.build_pyz import HOST_PLATFORMS, build_tool
from benchmarks.tools import Programs
from lab.cache import cache_root
from lab.cleanup import removed_at_end
from lab.parts import program
from lab.run import run

ROOT = Path(__file__).resolve().parents[1]
_OURS = {"PYTHONPATH": str(ROOT)}
"""So that `airgap` is that of this tree, wherever its command was installed from."""

_SKOPEO_MEMORY = Path("/var/lib/containers")
"""What skopeo leaves on the machine, as root."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Workplace:
    """All that runs need.

    Attributes:
        folder: For everything that is written.
        programs: What is run.
        keep: What later runs start from stays, for a person to look at.
    """

    folder: Path
    programs: Programs
    keep: bool

    @contextmanager
    def new_folder(self, *, keep: bool = False) -> Iterator[Path]:
        """A folder with those that commands need, which is gone afterwards if not to be kept."""
        folder = self.folder / f"{next(_numbers):04}"
        for path in (folder, folder / "home", folder / "tmp", folder / "output"):
            path.mkdir()
        try:
            yield folder
        finally:
            if not keep:
                shutil.rmtree(folder)


def environment(folder: Path) -> Mapping[str, str]:
    """The environment of a command: nothing of the user's but the cache of airgap.

    Args:
        folder: Of `new_folder`; home and temporary files are in it.
    """
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "XDG_CACHE_HOME": str(user_cache_path()),
        **_OURS,
    }


@contextmanager
def workplace(hauler: str, *, keep: bool) -> Iterator[Workplace]:
    """Makes what all runs need, and removes it at the end.

    Args:
        hauler: Path of that program; empty if it is not to take part.
        keep: The folder stays, with what runs started from.

    Raises:
        HostError: A tool is missing, or cannot be built.
    """
    folder = cache_root() / f"benchmark-{os.getpid()}"
    with ExitStack() as stack:
        if not _SKOPEO_MEMORY.exists():
            stack.enter_context(removed_at_end("folder", str(_SKOPEO_MEMORY)))
        if not keep:
            stack.enter_context(removed_at_end("folder", str(folder)))
        folder.mkdir()
        yield Workplace(folder, _programs(folder, hauler), keep)


def _programs(folder: Path, hauler: str) -> Programs:
    airgap = str(Path(sys.prefix, "bin", "airgap"))
    run([airgap, "keygen", folder / "bench"], env=_OURS)
    # Has the parts of the tool for the isolated host in the cache, as every later bundle has.
    build_tool(HOST_PLATFORMS[:1], progress=LineProgress())
    return Programs(
        airgap=airgap,
        python=sys.executable,
        crane=str(program("crane")),
        oras=str(program("oras")),
        regctl=str(program("regctl")),
        skopeo="skopeo",
        hauler=hauler,
        key=folder / "bench.key",
        unsynced=frozenset(verb for verb in ("bundle", "install") if _has_no_sync(airgap, verb)),
    )


def _has_no_sync(airgap: str, verb: str) -> bool:
    return "--no-sync" in run([airgap, verb, "--help"], env=_OURS)
