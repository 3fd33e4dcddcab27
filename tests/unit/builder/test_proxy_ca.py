"""The CA of BuildKit's proxy network is kept for one start of BuildKit, and for one user."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from airgap.builder import proxy_ca
from airgap.builder.buildx import Builder, Buildx
from airgap.builder.proxy_ca import kept_ca
from airgap.oci.platform import Platform, native_platform

_BUILDER = Builder(Buildx(["none"], "none"), "127.0.0.1", started="container moment")


def new_ca() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "proxy")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(1))
    return builder.sign(key, hashes.SHA256())


@pytest.fixture
def probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[x509.Certificate]:
    """The certificates that builds included out so far, each of them another."""
    found: list[x509.Certificate] = []

    def probe(_: Buildx, __: Platform) -> x509.Certificate:
        found.append(new_ca())
        return found[-1]

    monkeypatch.setattr(proxy_ca, "proxy_ca", probe)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return found


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "airgap" / "proxy-ca.json"


def asked(builder: Builder = _BUILDER) -> x509.Certificate:
    return kept_ca(builder, native_platform())


def test_one_build_is_enough_for_one_start(probes: list[x509.Certificate]) -> None:
    assert [asked(), asked()] == [probes[0]] * 2
    assert len(probes) == 1


def test_another_start_has_another_ca(probes: list[x509.Certificate]) -> None:
    again = replace(_BUILDER, started="container later")
    assert [asked(), asked(again), asked(again), asked()] == [
        *(probes[0], probes[1], probes[1]),
        probes[2],
    ]


def test_nothing_is_kept_of_a_start_that_cannot_be_told(
    probes: list[x509.Certificate], kept: Path
) -> None:
    unknown = replace(_BUILDER, started="")
    assert asked(unknown) != asked(unknown)
    assert not kept.exists()


def _for_others_to_write(path: Path) -> None:
    path.chmod(0o666)


def _of_another_user(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, 1, 1)
    else:
        path.chmod(0o666)


def _behind_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _of_another_kind(path: Path) -> None:
    path.write_text('["started"]')


def _with_no_certificate(path: Path) -> None:
    path.write_text('{"started": "container moment", "ca": "none"}')


def _with_a_number(path: Path) -> None:
    path.write_text('{"started": "container moment", "ca": 1}')


@pytest.mark.parametrize(
    "spoil",
    [
        _for_others_to_write,
        _of_another_user,
        _behind_a_link,
        _cut_off,
        _of_another_kind,
        _with_no_certificate,
        _with_a_number,
    ],
)
def test_what_is_not_surely_ours_is_asked_for_again(
    probes: list[x509.Certificate], kept: Path, spoil: Callable[[Path], None]
) -> None:
    asked()
    spoil(kept)
    assert asked() == probes[1]
    assert asked() == probes[1]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not kept.is_symlink()


def test_a_home_that_takes_nothing_is_no_hindrance(
    probes: list[x509.Certificate], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert [asked(), asked()] == probes
