"""What is known of a dockerd that runs, and what is left of its file afterwards."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airgap.builder.engine import Engine
from airgap.errors import HostError
from airgap.isolated.context import Context
from airgap.isolated.host import dockerd
from airgap.isolated.host.user import User
from airgap.isolated.state.changes import Changes
from airgap.isolated.state.layout import State
from airgap.isolated.state.settings import HostSettings
from airgap.isolated.steps import docker_mirror
from airgap.isolated.steps.base import Step
from airgap.isolated.steps.tool import ToolStep
from airgap.progress import Progress
from airgap.store.bundle_set import BundleSet

# A program that is called so, waits, and answers --validate as dockerd does.
_PROGRAM = """\
#!/bin/sh
for word; do last=$word; done
[ "$last" = --validate ] || { read -r line; exit 0; }
echo "asked: $*" >&2
exit 1
"""


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[int]:
    """A process of that name, in a folder."""
    program = folder / "dockerd"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    with subprocess.Popen([program, *arguments], stdin=subprocess.PIPE, cwd=folder) as process:
        comm = Path(f"/proc/{process.pid}/comm")
        while comm.read_text() != "dockerd\n":
            pass
        yield process.pid
        process.communicate(b"\n")


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        ([], "/etc/docker/daemon.json"),
        (["--debug", "-H", "fd://"], "/etc/docker/daemon.json"),
        (["--config-file=/srv/docker.json"], "/srv/docker.json"),
        (["--config-file", "/srv/docker.json", "--debug"], "/srv/docker.json"),
        (["--config-file=/a", "--config-file", "/srv/docker.json"], "/srv/docker.json"),
        (["--config-file=/etc/docker/../docker/daemon.json"], "/etc/docker/daemon.json"),
        (["--config-file=//etc/docker/daemon.json"], "/etc/docker/daemon.json"),
        (["--label", "--config-file"], "/etc/docker/daemon.json"),
        (["--config-file=own.json"], "FOLDER/own.json"),
    ],
)
def test_the_file_is_the_one_that_the_process_was_started_with(
    tmp_path: Path, arguments: list[str], file: str
) -> None:
    with running(tmp_path, *arguments) as number:
        assert str(dockerd.config_file(number)) == file.replace("FOLDER", str(tmp_path))


def test_of_no_process_the_file_is_the_usual_one() -> None:
    assert dockerd.config_file(None) == dockerd.DEFAULT_CONFIG


def test_a_mirror_on_the_command_line_is_seen(tmp_path: Path) -> None:
    url = "http://127.0.0.1:5001"
    with running(tmp_path, "--registry-mirror", url) as number:
        assert dockerd.states_on_its_command_line(number, url)
        assert not dockerd.states_on_its_command_line(number, f"{url}1")
    with running(tmp_path, f"--registry-mirror={url}") as number:
        assert dockerd.states_on_its_command_line(number, url)


def work_in(root: Path) -> Context:
    """What a step works with, in a folder of its own."""
    state = State(root)
    return Context(
        state=state,
        desired=BundleSet.of([]),
        settings=HostSettings(),
        engine=Engine(root),
        user=User.behind_this_process(),
        changes=Changes(state),
        progress=Progress(),
    )


CONTENTS = [
    "",
    " \n",
    "null",
    "{}",
    '{\n    "debug" : true }',
    '\ufeff{"debug": true}',
    '{"registry-mirrors": null}',
    '{"registry-mirrors": ["https://mirror.example.internal"], "debug": true}',
]


@pytest.mark.parametrize("way", ["file", "link"])
@pytest.mark.parametrize("content", [None, *CONTENTS])
def test_what_was_there_comes_back_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, way: str
) -> None:
    config, target = tmp_path / "docker" / "daemon.json", tmp_path / "site" / "managed.json"
    monkeypatch.setattr(docker_mirror, "_CONFIG", config)
    config.parent.mkdir()
    target.parent.mkdir()
    if way == "link":
        config.symlink_to(target)
    if content is not None:
        config.write_text(content)
        config.chmod(0o640)
    (tmp_path / "root").mkdir()
    context, step = work_in(tmp_path / "root"), docker_mirror.DockerMirrorStep()
    step._add(context)
    written = json.loads(config.read_bytes())
    assert written["registry-mirrors"][-1] == "http://127.0.0.1:5001"
    assert written.get("debug") == dockerd.parse((content or "").encode()).get("debug")
    assert config.is_symlink() == (way == "link")
    docker_mirror._take_out(context)
    assert (config.read_text() if config.exists() else None) == content
    assert config.is_symlink() == (way == "link")
    if content is not None:
        assert config.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "content", ["[]", '"x"', "{", "// no\n{}", '{"registry-mirrors": "x"}', '{"a": NaN}', "\xff"]
)
def test_what_dockerd_does_not_read_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    config = tmp_path / "daemon.json"
    config.write_bytes(content.encode("latin-1"))
    monkeypatch.setattr(docker_mirror, "_CONFIG", config)
    with pytest.raises(HostError, match=r"daemon\.json cannot be read"):
        docker_mirror._mirrors(config)


def test_a_step_that_cannot_write_where_it_must_is_refused_beforehand(tmp_path: Path) -> None:
    class Blocked(ToolStep):
        def places(self, context: Context) -> list[Path]:
            return [tmp_path / "file" / "below"]

    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=r"the step tool cannot write to .*file/below") as caught:
        Blocked().require(work_in(tmp_path))
    assert caught.value.meaning == "Nothing was changed."


@pytest.mark.parametrize("step", [ToolStep(), docker_mirror.DockerMirrorStep()])
def test_places_are_named_where_a_bundle_includes_something(tmp_path: Path, step: Step) -> None:
    places = step.places(work_in(tmp_path))
    assert all(path.is_absolute() for path in places)
    assert os.path.realpath(tmp_path) not in map(os.path.realpath, places)
