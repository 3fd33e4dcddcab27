from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given

from airgap.builder.mirrors.engines import ENGINES
from airgap.builder.mirrors.mirror import HEADER, Mirror, is_loopback
from airgap.builder.registry_server import RegistryServer
from tests.unit.builder.mirrors.servers import FOREIGN, PEM, mirrors


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:5001", True),
        ("127.9.9.9", True),
        ("localhost:5001", True),
        ("LOCALHOST", True),
        ("[::1]:5001", True),
        ("[::1]", True),
        ("172.17.0.1:5001", False),
        ("[2001:db8::1]:5001", False),
        ("mirror.example.internal", False),
        ("localhost.example.internal:5001", False),
    ],
)
def test_loopback_is_told_from_other_addresses(address: str, loopback: bool) -> None:
    assert is_loopback(RegistryServer(address)) is loopback


@pytest.mark.parametrize("engine", ENGINES)
@given(mirror=mirrors())
def test_every_file_has_a_whole_path_of_its_own_and_the_mark(engine: str, mirror: Mirror) -> None:
    config = ENGINES[engine](mirror)
    for path, text in config.files.items():
        assert PurePosixPath(path).is_absolute()
        assert ".." not in PurePosixPath(path).parts
        assert text.startswith(HEADER) or path.endswith(".json")
        assert text.endswith("\n")
    assert config.notes


@pytest.mark.parametrize("engine", ENGINES)
def test_the_authority_of_mirror_and_registry_comes_along(engine: str) -> None:
    files = ENGINES[engine](FOREIGN).files
    authorities = {path: text for path, text in files.items() if path.endswith("/ca.crt")}
    assert {PurePosixPath(path).parent.name for path in authorities} == {
        "harbor.example.internal",
        "harbor.example.internal:5000",
    }
    assert set(authorities.values()) == {HEADER + PEM}


@pytest.mark.parametrize("engine", ENGINES)
def test_no_file_names_a_path_of_this_host(engine: str) -> None:
    assert not [text for text in ENGINES[engine](FOREIGN).files.values() if "/srv/" in text]
