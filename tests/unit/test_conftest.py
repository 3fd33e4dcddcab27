"""What tests start can be interrupted, whoever started the tests."""

from __future__ import annotations

import subprocess
import sys

_SHOW = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
_TESTS = f"""
import subprocess, sys
import tests.conftest
subprocess.run([sys.executable, "-c", {_SHOW!r}], check=True)
"""


def test_what_tests_in_the_background_start_heeds_ctrl_c() -> None:
    shell = ["sh", "-c", '"$@" & wait $!', "sh"]

    def heeded(program: str) -> str:
        command = [*shell, sys.executable, "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert heeded(_SHOW) == "False\n", "this shell ignores nothing in the background"
    assert heeded(_TESTS) == "True\n"
