from __future__ import annotations

from pathlib import Path

import pytest

from airgap.builder.mirrors.mirror import HEADER
from airgap.builder.registry_server import RegistryServer
from airgap.errors import HostError
from airgap.isolated.commands.engine_config import reached, write

LOOPBACK = RegistryServer("127.0.0.1:5001", http=True)
BRIDGE = RegistryServer("172.17.0.1:5001", http=True)
LISTENED = RegistryServer("192.0.2.7:5001", ca="/var/lib/airgap/authority/ca.crt")
ALL = [LOOPBACK, BRIDGE, LISTENED]


def _reached(engine: str, *, elsewhere: bool = False) -> list[RegistryServer]:
    return reached(ALL, "172.17.0.1", engine, elsewhere=elsewhere)


def test_the_bridge_is_for_buildkit_which_may_be_in_a_container() -> None:
    assert _reached("buildkit") == ALL
    assert _reached("containerd") == [LOOPBACK, LISTENED]


@pytest.mark.parametrize("engine", ["buildkit", "k3s"])
def test_elsewhere_only_addresses_of_the_network_count(engine: str) -> None:
    assert _reached(engine, elsewhere=True) == [LISTENED]


def test_a_host_without_a_bridge_leaves_none_out() -> None:
    named = RegistryServer("mirror.example.internal")
    assert reached([named], "", "docker", elsewhere=False) == [named]
    assert reached([named], "", "docker", elsewhere=True) == [named]


def test_files_are_written_in_the_tree_that_they_belong_to(tmp_path: Path) -> None:
    (target,) = write({"/etc/engine/a.toml": f"{HEADER}a = 1\n"}, tmp_path)
    assert target == tmp_path / "etc" / "engine" / "a.toml"
    assert target.read_text() == f"{HEADER}a = 1\n"


def test_what_we_wrote_is_replaced(tmp_path: Path) -> None:
    write({"/a": f"{HEADER}old\n"}, tmp_path)
    write({"/a": f"{HEADER}new\n"}, tmp_path)
    assert (tmp_path / "a").read_text() == f"{HEADER}new\n"


def test_what_others_wrote_stays_and_then_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text('{"debug": true}')
    with pytest.raises(HostError, match=r"daemon\.json"):
        write({"/a": HEADER, "/daemon.json": "{}\n"}, tmp_path)
    assert (tmp_path / "daemon.json").read_text() == '{"debug": true}'
    assert not (tmp_path / "a").exists()


def test_the_same_content_is_no_foreign_file(tmp_path: Path) -> None:
    write({"/daemon.json": "{}\n"}, tmp_path)
    write({"/daemon.json": "{}\n"}, tmp_path)


def test_an_authority_that_somebody_has_put_there_stays_without_our_mark(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("PEM\n")
    write({"/ca.crt": f"{HEADER}PEM\n", "/a": f"{HEADER}a\n"}, tmp_path)
    assert (tmp_path / "ca.crt").read_text() == "PEM\n"
    assert (tmp_path / "a").exists()


def test_a_folder_instead_of_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(HostError, match=str(tmp_path / "a")):
        write({"/a": HEADER}, tmp_path)


def test_a_file_of_ours_that_is_a_link_now_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "managed").write_text(f"{HEADER}old\n")
    (tmp_path / "managed").chmod(0o600)
    (tmp_path / "a").symlink_to("managed")
    write({"/a": f"{HEADER}new\n"}, tmp_path)
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "managed").read_text() == f"{HEADER}new\n"
    assert (tmp_path / "managed").stat().st_mode & 0o777 == 0o600
