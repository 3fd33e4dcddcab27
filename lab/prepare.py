"""Everything that takes long, made beforehand: a warm start takes seconds."""

from __future__ import annotations

from lab import debian, images
from lab.arm64 import disk, initramfs
from lab.cleanup import sweep
from lab.engine import lower_folders
from lab.parts import build_all
from lab.requirements import require_machine


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
    ready()
    build_all()
    for suite in (debian.TRIXIE, debian.BOOKWORM):
        lower_folders(suite)
    initramfs()
    disk()
    images.storage()
