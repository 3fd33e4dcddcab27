"""No shell is asked to read what airgap puts together: commands are lists of arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

import pytest

from tests.unit.test_imports import MODULES

SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"}
THROUGH_A_SHELL = {
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "asyncio.create_subprocess_shell",
    "pty.spawn",
}
LAUNCHER = "airgap.isolated.steps.tool"
"""Writes the command `airgap` of a host: two lines that pass their arguments on as they are."""


def shells_of(tree: ast.AST) -> Iterator[str]:
    """Each place of a module that has a shell read something, with its line."""
    documentation = set(_documentation(tree))
    for node in ast.walk(tree):
        found = ""
        if isinstance(node, ast.Call):
            found = _call(node) or _command(node.args)
        elif isinstance(node, ast.List | ast.Tuple):
            found = _command(node.elts)
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found = ", ".join(names & THROUGH_A_SHELL)
        elif isinstance(node, ast.Constant) and node not in documentation:
            found = str(node.value) if "/bin/sh" in str(node.value) else ""
        if found:
            yield f"line {getattr(node, 'lineno', 0)}: {found!r}"


def _call(call: ast.Call) -> str:
    """A call of what hands text to a shell."""
    name = ast.unparse(call.func)
    shell = [word.value for word in call.keywords if word.arg == "shell"]
    asked = any(ast.unparse(value) != "False" for value in shell)
    return name if asked or name in THROUGH_A_SHELL else ""


def _command(words: Sequence[ast.expr]) -> str:
    """A command that has a shell read one of its arguments, as `sh -c` and `bash -ec` do."""
    texts = [str(word.value) for word in words if isinstance(word, ast.Constant)]
    shell = any(text.rpartition("/")[2] in SHELLS for text in texts)
    reads = any(text.startswith("-") and "c" in text for text in texts)
    return " ".join(texts) if shell and reads else ""


def _documentation(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


@pytest.mark.parametrize("module", [name for name in MODULES if name != LAUNCHER])
def test_no_module_has_a_shell_read_anything(module: str) -> None:
    assert list(shells_of(ast.parse(MODULES[module].read_text()))) == []


def test_the_launcher_is_the_only_text_for_a_shell() -> None:
    (found,) = shells_of(ast.parse(MODULES[LAUNCHER].read_text()))
    assert found.endswith(repr("#!/bin/sh\nexec "))


# Programs that the check has to find; they are read, and never run.
@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.system('ls')",
        "import os\nos.popen(command)",
        "from os import system",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess\nsubprocess.run('ls', shell=wanted)",
        "import subprocess\nsubprocess.getoutput('ls')",
        "run(['sh', '-c', text])",
        "run(('/bin/bash', '-ec', text))",
        "os.execlp('sh', 'sh', '-c', text)",
        "write('#!/bin/sh\\n' + text)",
    ],
)
def test_a_shell_is_found(text: str) -> None:
    assert list(shells_of(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        '"""Writes a file for /bin/sh."""',
        "subprocess.run(['ls', '-c'], shell=False)",
        "names = ('sudo', 'sh', 'bash')",
    ],
)
def test_what_is_not_one_is_not(text: str) -> None:
    assert list(shells_of(ast.parse(text))) == []
