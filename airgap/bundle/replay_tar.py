"""`replay.tar`: what recorded builds asked the network for."""

from __future__ import annotations

from airgap.bundle.contents import Contents
from airgap.bundle.framing import SMALL_BYTES
from airgap.bundle.media import Media
from airgap.bundle.tar_reader import TarReader


class ReplayTar(TarReader):
    """`replay.tar` of a bundle whose contents are trusted; empty where it has no recordings.

    Args:
        media: Where its volumes are.
        contents: What they belong to.

    Raises:
        IntegrityError: A volume is missing, or not as large as it should be.
        HostError: The medium cannot be read.
    """

    def __init__(self, media: Media, contents: Contents) -> None:
        super().__init__(media, contents, contents.replay_volumes, contents.replay)

    def check_framing(self) -> None:
        """Read all framing and compare it with what the contents give.

        Raises:
            IntegrityError: It differs: another tool would read another tar.
        """
        if self.blobs:
            self._check_framing(b"", SMALL_BYTES)
