"""Keys of both kinds, with and without a passphrase, checked by openssl."""

from __future__ import annotations

import hashlib
import stat
import subprocess
from pathlib import Path

import pytest

from lab.run import run
from tests.integration.command import airgap
from tests.integration.conftest import SINGLE

BOTH = pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ed25519"])


@BOTH
def test_a_pair_of_keys_is_made_and_its_fingerprint_is_openssls(
    algorithm: str, tmp_path: Path
) -> None:
    outcome = airgap("keygen", tmp_path / "site", "--algorithm", algorithm)
    assert outcome.code == 0
    private, public = tmp_path / "site.key", tmp_path / "site.pub"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", public, "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    assert f"fingerprint sha256:{hashlib.sha256(der).hexdigest()}" in outcome.out
    assert run(["openssl", "pkey", "-in", private, "-pubout"]) == public.read_text()


@BOTH
def test_openssl_opens_a_key_with_its_passphrase_alone(algorithm: str, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    arguments = ("--algorithm", algorithm, "--passphrase-file", secret)
    assert airgap("keygen", tmp_path / "site", *arguments).code == 0
    assert "BEGIN ENCRYPTED PRIVATE KEY" in (tmp_path / "site.key").read_text()
    run(["openssl", "pkey", "-in", tmp_path / "site.key", "-passin", f"file:{secret}", "-noout"])
    wrong = [
        "openssl",
        "pkey",
        "-in",
        str(tmp_path / "site.key"),
        "-passin",
        "pass:wrong",
        "-noout",
    ]
    assert subprocess.run(wrong, capture_output=True, check=False).returncode != 0


@BOTH
def test_a_bundle_signed_with_a_passphrase_is_good_for_openssl(
    algorithm: str, registries: Path, tmp_path: Path
) -> None:
    secret, out = tmp_path / "passphrase", tmp_path / "bundle"
    secret.write_text("correct horse\n")
    arguments = ("--algorithm", algorithm, "--passphrase-file", secret)
    airgap("keygen", tmp_path / "site", *arguments)
    outcome = airgap(
        "bundle", "lab/single:1", "--no-roles", "--registries", registries,
        "--key", tmp_path / "site.key", "--passphrase-file", secret, "-o", out,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    public = tmp_path / "site.pub"
    check = {
        "ecdsa-p256": f"dgst -sha256 -verify {public} -signature SHA256SUMS.sig SHA256SUMS",
        "ed25519": f"pkeyutl -verify -pubin -inkey {public} -rawin -in SHA256SUMS "
        "-sigfile SHA256SUMS.sig",
    }[algorithm]
    run(["openssl", *check.split()], cwd=out)
    assert airgap("verify", out, "--trust", public).code == 0


def test_a_wrong_passphrase_shows_before_anything_is_asked_for(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("right\n")
    wrong.write_text("wrong\n")
    airgap("keygen", tmp_path / "site", "--passphrase-file", right)
    outcome = airgap(
        "bundle", SINGLE, "--no-roles", "--key", tmp_path / "site.key",
        "--passphrase-file", wrong, "-o", tmp_path / "bundle",
    )  # fmt: skip
    assert outcome.code == 5
    assert "passphrase" in outcome.err
    assert not (tmp_path / "bundle").exists()


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    airgap("keygen", tmp_path / "site")
    before = (tmp_path / "site.key").read_bytes()
    assert airgap("keygen", tmp_path / "site").code == 2
    assert (tmp_path / "site.key").read_bytes() == before


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rsa.key"
    run(["openssl", "genpkey", "-algorithm", "RSA", "-out", path])
    outcome = airgap("bundle", SINGLE, "--no-roles", "--key", path, "-o", tmp_path / "bundle")
    assert outcome.code == 2
    assert "airgap keygen" in outcome.err
