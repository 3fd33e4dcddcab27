"""Runs all campaigns and writes what they came to: `python -m tests.campaigns`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from lab.cache import say
from lab.prepare import ready
from tests.campaigns.connected_side import run_connected_side
from tests.campaigns.isolated_side import run_isolated_side
from tests.campaigns.results import Results


def main() -> int:
    options = _options()
    results = Results(f"python -m tests.campaigns {' '.join(sys.argv[1:])}".strip())
    begun = time.monotonic()
    ready()
    with tempfile.TemporaryDirectory() as connected, tempfile.TemporaryDirectory() as isolated:
        os.environ["DOCKER_CONFIG"] = connected  # the user's own credentials do not count
        run_connected_side(results, options.fault_runs, options.bundle_kills, Path(connected))
        run_isolated_side(results, options.install_kills, Path(isolated))
    results.seconds = round(time.monotonic() - begun)
    results.write(options.output)
    for failure in results.failures:
        say(f"{failure.what}, seed {failure.seed}: {failure.why}")
    return 1 if results.failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("--fault-runs", type=int, default=300)
    parser.add_argument("--bundle-kills", type=int, default=200)
    parser.add_argument("--install-kills", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
