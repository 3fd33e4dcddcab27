"""Below a bundle's folder nothing is written through what whoever made the medium put there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.connected.output import open_file, open_folder, write_file

_KEPT = b"as it was"


def _link(path: Path, precious: Path) -> None:
    path.symlink_to(precious)


def _dangling(path: Path, precious: Path) -> None:
    path.symlink_to(precious.with_name("absent"))


def _hard_link(path: Path, precious: Path) -> None:
    path.hardlink_to(precious)


def _pipe(path: Path, _precious: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path, _precious: Path) -> None:
    path.mkdir()


def _socket(path: Path, _precious: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)  # bind would take no path longer than 107 bytes


def _device(path: Path, _precious: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # /dev/null's


def _others(path: Path, _precious: Path) -> None:
    path.write_bytes(b"theirs")
    os.chown(path, 65534, 65534)


PLANTED = [_device, _others, _link, _dangling, _hard_link, _pipe, _folder, _socket]
Plant = Callable[[Path, Path], None]


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    path = tmp_path / "precious"
    path.write_bytes(_KEPT)
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "bundle").mkdir()
    return tmp_path / "bundle"


@pytest.mark.parametrize("plant", PLANTED)
@pytest.mark.parametrize("name", ["images.tar", "images.tar.007", "replay.tar", "tool/a"])
def test_only_a_regular_file_with_one_name_is_opened(
    name: str, plant: Plant, precious: Path, output: Path
) -> None:
    (output / "tool").mkdir()
    plant(output / name, precious)
    with pytest.raises(OSError, match=Path(name).name):
        open_file(output, name)
    assert precious.read_bytes() == _KEPT
    assert not precious.with_name("absent").exists()


@pytest.mark.parametrize("plant", [_device, _others, _link, _dangling, _hard_link, _pipe, _socket])
@pytest.mark.parametrize("name", ["SHA256SUMS", "README.txt", "tool/airgap.pyz", "bundle.json"])
@pytest.mark.parametrize("temporary", [False, True])
def test_a_small_file_takes_the_place_of_what_was_planted(
    name: str, temporary: bool, plant: Plant, precious: Path, output: Path
) -> None:
    path = output / name
    path.parent.mkdir(exist_ok=True)
    plant(path.with_name(f".{path.name}.new") if temporary else path, precious)
    write_file(output, name, b"new")
    assert stat.S_ISREG(path.lstat().st_mode)
    assert path.read_bytes() == b"new"
    assert precious.read_bytes() == _KEPT


@pytest.mark.parametrize("name", ["tool", ".unfinished", "tool/inner"])
@pytest.mark.parametrize("kind", ["absolute", "relative", "dangling", "file"])
def test_no_folder_is_reached_through_a_link(
    kind: str, name: str, output: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (output / name).parent.mkdir(exist_ok=True)
    if kind == "file":
        (output / name).touch()
    else:
        target = elsewhere / "absent" if kind == "dangling" else elsewhere
        short = os.path.relpath(target, (output / name).parent)
        (output / name).symlink_to(short if kind == "relative" else target)
    with pytest.raises(OSError, match="is a link, or no folder"):
        write_file(output, f"{name}/airgap.pyz", b"new")
    with pytest.raises(OSError, match="is a link, or no folder"):
        open_file(output, f"{name}/journal")
    assert list(elsewhere.iterdir()) == []


def test_the_folder_that_the_user_names_may_be_a_link(output: Path, tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to(output)
    write_file(tmp_path / "named", "tool/airgap.pyz", b"new")
    os.close(open_file(tmp_path / "named", "images.tar"))
    assert (output / "tool/airgap.pyz").read_bytes() == b"new"


def test_a_file_of_an_earlier_run_is_opened_again_as_it_is(output: Path) -> None:
    for data in (b"early", b""):
        descriptor = open_file(output, "images.tar")
        os.write(descriptor, data)
        os.close(descriptor)
    assert (output / "images.tar").read_bytes() == b"early"
    assert [path.name for path in output.iterdir()] == ["images.tar"]


def test_nothing_stays_open(output: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    (output / "images.tar").symlink_to("elsewhere")
    with pytest.raises(OSError, match="regular"):
        open_file(output, "images.tar")
    with open_folder(output, "tool/inner"):
        pass
    assert set(Path("/proc/self/fd").iterdir()) == before
