"""Runs commands one after another, and reports what they took together.

A program of its own, and a small one: Linux counts the memory that a child has before its exec,
which is its parent's, into the child's peak. So no peak is ever less than that of this program,
which is a bare interpreter.

It reads one JSON object: `commands`, lists of arguments; `sync`, whether everything is written to
disk afterwards, which counts; `report`, the file for the result. Standard output and error of the
commands are its own. It ends with the exit status of a command that failed, and no report.
"""

import json
import os
import sys
import time


def main() -> None:
    """Does it."""
    order = json.load(sys.stdin)
    cpu_seconds, peak_bytes = 0.0, 0
    begun = time.monotonic()
    for command in order["commands"]:
        process = os.posix_spawnp(command[0], command, os.environ)
        _, status, usage = os.wait4(process, 0)
        if status != 0:
            sys.exit(os.waitstatus_to_exitcode(status) or 1)
        cpu_seconds += usage.ru_utime + usage.ru_stime
        peak_bytes = max(peak_bytes, usage.ru_maxrss * 1024)  # getrusage(2): kilobytes
    if order["sync"]:
        os.sync()
    wall_seconds = time.monotonic() - begun
    with open(order["report"], "w") as report:  # noqa: PTH123 - pathlib would only cost memory
        json.dump([wall_seconds, cpu_seconds, peak_bytes], report)


if __name__ == "__main__":
    main()
