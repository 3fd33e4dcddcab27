"""The start of the `airgap` command: it prints the version without importing a library.

Scripts ask for the version often, and the command line takes ten times as long to import.
"""

from __future__ import annotations

import sys

from airgap import __version__


def main() -> None:
    """Run the command line with the arguments of this process."""
    if sys.platform == "win32":
        print("error: airgap needs Linux or macOS; on Windows, run it in WSL 2", file=sys.stderr)
        sys.exit(9)
    if sys.argv[1:] == ["--version"]:
        print(f"airgap, version {__version__}")
        return
    from airgap.cli.main import main as run_command_line

    run_command_line()
