"""Instances of a user with nodes, written and shown by the real buildx, which reaches none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.builder import buildx_instance
from airgap.builder.buildx_instance import BuilderNode
from airgap.errors import HostError
from lab.parts import program

Runner = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]

DOCKER = '#!/bin/sh\nshift\nexec {buildx} "$@"\n'
OWN = BuilderNode("airgap0", "unix:///run/nothing.sock", ("linux/amd64",), ("default-load=true",))
NODE = BuilderNode("arm", "tcp://127.0.0.1:1", ("linux/arm64", "linux/arm/v7"))
NODES = [OWN, NODE]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's, with a docker command that takes buildx alone and defaults for their builders."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER.format(buildx=program("buildx")))
    docker.chmod(0o755)
    defaults = tmp_path / ".docker" / "buildx" / "buildkitd.default.toml"
    defaults.parent.mkdir(parents=True)
    defaults.write_text("debug = true\n")
    return tmp_path


@pytest.fixture
def run(home: Path) -> Runner:
    variables = {"HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}

    def run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, env=variables, capture_output=True, text=True, check=False)

    return run


def _create(run: Runner, home: Path, nodes: Sequence[BuilderNode]) -> None:
    buildx_instance.create(run, home / ".docker" / "buildx", "airgap", nodes)


def test_what_was_created_is_known_again(run: Runner, home: Path) -> None:
    assert buildx_instance.problem(run, "airgap", NODES) == "there is no builder 'airgap'"
    _create(run, home, NODES)
    assert "cannot be reached: it is not running" in buildx_instance.problem(run, "airgap", NODES)
    assert buildx_instance.states(run, "airgap") == {"airgap0": "inactive", "arm": "inactive"}
    assert "cannot be reached" not in buildx_instance.problem(run, "airgap", [OWN])


@pytest.mark.parametrize(
    "nodes",
    [
        [OWN],
        [replace(OWN, platforms=()), NODE],
        [OWN, replace(NODE, endpoint="tcp://127.0.0.1:2")],
        [OWN, replace(NODE, platforms=("linux/arm64",))],
        [OWN, replace(NODE, name="other")],
        [*NODES, replace(NODE, name="third", endpoint="tcp://127.0.0.1:3", platforms=())],
    ],
)
def test_other_nodes_are_noticed_and_fixed(
    run: Runner, home: Path, nodes: list[BuilderNode]
) -> None:
    _create(run, home, NODES)
    assert buildx_instance.problem(run, "airgap", nodes) == "the builder 'airgap' has other nodes"
    _create(run, home, nodes)
    assert "cannot be reached" in buildx_instance.problem(run, "airgap", nodes)


def test_a_builder_of_the_users_own_is_left_alone(run: Runner, home: Path) -> None:
    _create(run, home, [replace(OWN, endpoint="unix:///run/theirs.sock")])
    assert buildx_instance.problem(run, "airgap", NODES) == "the builder 'airgap' leads elsewhere"
    with pytest.raises(HostError, match="leads elsewhere"):
        _create(run, home, NODES)


def test_an_instance_that_is_alone_leaves_nothing(run: Runner, home: Path) -> None:
    _create(run, home, NODES)
    with buildx_instance.alone(run, [OWN]) as variable:
        inspect = ["env", variable, "docker", "buildx", "inspect", "airgap"]
        shown = run(inspect).stdout
        assert OWN.endpoint in shown
        assert NODE.endpoint not in shown
        folder = Path(variable.partition("=")[2])
        assert folder.is_dir()
    assert not folder.exists()
    assert set(buildx_instance.states(run, "airgap")) == {"airgap0", "arm"}


def test_what_buildx_refuses_is_said(run: Runner, home: Path) -> None:
    with pytest.raises(HostError, match="invalid driver option"):
        _create(run, home, [OWN, replace(NODE, options=("nonsense=1",))])
