"""`airgap` where there is no Docker: `install --only seed` needs it for nothing but its presence.

Run it as `python -m benchmarks.seed install DIR --only seed`; all else is airgap's own.
"""

from __future__ import annotations

from airgap.builder.engine import Engine
from airgap.cli.main import main


def _is_there(self: Engine) -> None:
    """Docker answers."""


def _image_folder(self: Engine) -> str:
    """A disk that has room for the images that Docker is to have, which are none."""
    return "/"


if __name__ == "__main__":
    Engine.check = _is_there  # type: ignore[method-assign]
    Engine.image_folder = _image_folder  # type: ignore[method-assign]
    main()
