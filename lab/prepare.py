"""Everything that takes long, made beforehand: a warm start takes seconds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event

from airgap.parallel import run_all
from lab import bases, debian, images
from lab.arm64 import disk, initramfs
from lab.cache import say
from lab.cleanup import sweep
from lab.engine import lower_folders
from lab.parts import BENCHMARK_PARTS, ENGINE_PARTS, PARTS, program
from lab.requirements import require_machine

_Job = Callable[[], object]


def ready() -> None:
    """Makes sure of the machine, and removes what a killed run left; every use begins with it.

    Raises:
        HostError: The machine lacks something; all of it is named.
    """
    require_machine()
    sweep()


def prepare() -> None:
    """Makes all parts, images and root file systems that no run made before.

    Raises:
        HostError: The machine lacks something, or a build failed.
    """
    own = [name for name in PARTS if name not in BENCHMARK_PARTS]
    programs = [*_for_arm64(images.parts_of(images.RECIPES)), *_for_arm64(ENGINE_PARTS)]
    programs += [partial(program, name) for name in own]
    systems: list[_Job] = [partial(lower_folders, debian.TRIXIE)]
    systems += [partial(lower_folders, debian.BOOKWORM), initramfs, *_bases(images.RECIPES)]
    _make(programs, systems)
    disk()
    images.storage()


def prepare_demo() -> None:
    """Makes what the demo uses, and nothing else.

    Raises:
        HostError: The machine lacks something, or a build failed.
    """
    parts = images.parts_of(images.DEMO_RECIPES)
    programs = [partial(program, name) for name in dict.fromkeys((*parts, *ENGINE_PARTS))]
    systems: list[_Job] = [partial(lower_folders, debian.TRIXIE), *_bases(images.DEMO_RECIPES)]
    _make([*programs, *_for_arm64(parts)], systems)
    images.storage(images.DEMO_RECIPES)


def _for_arm64(names: Sequence[str]) -> list[_Job]:
    return [partial(program, name, "arm64") for name in names]


def _bases(recipes: Sequence[images.Recipe]) -> list[_Job]:
    """The layers of images that are made of Debian packages."""
    makers = {maker for recipe in recipes for maker in recipe.layers}
    return [
        partial(maker, platform)
        for maker in (bases.debian_slim, bases.golang, bases.maven, bases.rust)
        if maker in makers
        for platform in (bases.AMD64, bases.ARM64)
    ]


def _make(programs: Sequence[_Job], systems: Sequence[_Job]) -> None:
    """Makes programs and root file systems side by side: Go compiles while others unpack."""
    ready()
    total = len(programs) + len(systems)
    count = itertools.count(1)

    def make_all(jobs: Sequence[_Job]) -> None:
        for job in jobs:
            job()
            say(f"{next(count)} of {total} parts are ready")

    run_all(make_all, [programs, systems], 2, Event())
