from __future__ import annotations

import gzip
import io
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.builder.arguments import BuildArguments
from airgap.builder.build_context import BuildSource, open_source
from airgap.errors import UsageError

_TEXT = "FROM scratch\n"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "Dockerfile").write_text(_TEXT)
    return folder


def opened(*words: str) -> BuildSource:
    with open_source(BuildArguments.parse(words)) as source:
        return source


def given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_the_dockerfile_of_the_context(context: Path) -> None:
    source = opened("-t", "x", str(context))
    assert (source.name, source.text, source.beside) == ("Dockerfile", _TEXT, {})
    assert source.arguments.words() == ["--tag=x", str(context)]


def test_another_one_is_looked_for_where_the_command_runs(context: Path) -> None:
    Path("Web").write_text("FROM busybox\n")
    source = opened("-f", "Web", str(context))
    assert (source.name, source.text) == ("Web", "FROM busybox\n")
    assert "--file" not in " ".join(source.arguments.words())


def test_a_lower_case_name_counts(context: Path) -> None:
    (context / "Dockerfile").rename(context / "dockerfile")
    assert opened(str(context)).name == "dockerfile"


def test_what_is_beside_it_and_for_it_alone_comes_along(context: Path) -> None:
    (context / "Dockerfile.dockerignore").write_bytes(b"*.log\n")
    (context / "Dockerfile.rego").write_bytes(b"package docker\n")
    (context / "Dockerfile.txt").touch()
    found = opened(str(context)).beside
    assert found == {".dockerignore": b"*.log\n", ".rego": b"package docker\n"}


def test_a_dockerfile_on_standard_input(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, b"FROM alpine\n")
    source = opened("-f", "-", str(context))
    assert (source.text, source.arguments.context) == ("FROM alpine\n", str(context))


def test_a_dockerfile_alone_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, b"FROM alpine\n")
    with open_source(BuildArguments.parse(["-"])) as source:
        assert source.text == "FROM alpine\n"
        assert list(Path(source.arguments.context).iterdir()) == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_context_as_a_tar_on_standard_input(
    pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, text in {"Dockerfile": b"FROM alpine\nCOPY a /\n", "a": b"hello"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    given(monkeypatch, pack(data.getvalue()))
    with open_source(BuildArguments.parse(["-"])) as source:
        assert source.text.startswith("FROM alpine")
        folder = Path(source.arguments.context)
        assert (folder / "a").read_bytes() == b"hello"
    assert not folder.exists()


def test_a_tar_cannot_write_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../escaped"))
    given(monkeypatch, data.getvalue())
    with pytest.raises(UsageError, match="standard input"):
        opened("-")


@pytest.mark.parametrize(
    "address",
    ["https://example.com/a.git", "git@example.com:a/b", "http://example.com/context.tar.gz"],
)
def test_a_context_elsewhere_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is not on this host"):
        opened(address)


def test_a_context_that_is_not_there(context: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        opened(str(context / "none"))
